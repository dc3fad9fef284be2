"""Every choice of the command line is the library's list."""

import inspect
from dataclasses import fields
from typing import Literal, get_args, get_origin

import pytest

from weightgas import cli, losses, settings
from weightgas.cli import app, values
from weightgas.cli.listing import SECTIONS
from weightgas.datasets import KNOWN as DATA
from weightgas.experiments import PRESETS
from weightgas.measurement.entropy import METHODS
from weightgas.networks import KNOWN as NETWORKS
from weightgas.optimizers import KNOWN as OPTIMIZERS
from weightgas.protocols import BUILT_IN, PROTOCOLS
from weightgas.status import Status
from weightgas.training.plan import STARTS


def words_of(annotation):
    """The words that a parameter may be; none where it is no choice."""
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    return tuple(word for inner in get_args(annotation) if inner is not None for word in words_of(inner))


CHOICES = {
    (command.name or command.callback.__name__, name): words_of(parameter.annotation)
    for command in app.registered_commands
    for name, parameter in inspect.signature(command.callback).parameters.items()
    if words_of(parameter.annotation)
}
PLACES = (settings.Record, settings.Until, settings.Run, settings.Evaluate)
GENERATED = {each.name: each.metadata["among"] for k in PLACES for each in fields(k) if each.metadata.get("among")}
LISTS = {
    "protocol": tuple(kind.name.replace("_", "-") for kind in BUILT_IN),
    "start": STARTS,
    **GENERATED,
}


@pytest.mark.parametrize(("command", "option"), CHOICES)
def test_a_choice_is_the_list_of_the_library(command, option):
    assert set(CHOICES[command, option]) == set(LISTS[option])


def named(kind):
    """The entries of a list, without their placeholders."""
    return [entry.partition(":")[0] for entry, _ in SECTIONS[kind]() if not entry.startswith("FILE.py")]


@pytest.mark.parametrize(
    ("kind", "library"),
    [
        ("protocols", PROTOCOLS),
        ("networks", NETWORKS),
        ("data", DATA),
        ("optimizers", OPTIMIZERS),
        ("entropies", METHODS),
        ("statuses", [status.name.lower() for status in Status]),
    ],
)
def test_a_list_is_that_of_the_library(kind, library):
    assert named(kind) == [name.replace("_", "-") if kind == "protocols" else name for name in library]


def test_the_presets_are_listed():
    calls = [call for call, _ in SECTIONS["presets"]()]
    rest = [(call.split()[2], call.split()[-1]) for call in calls if call != "weightgas demo"]
    assert rest == [(name, preset) for name, found in PRESETS.items() if name != "demo" for preset in found]
    assert calls.count("weightgas demo") == len(PRESETS["demo"])


EXAMPLES = {
    "linear": losses.Linear,
    "quadratic:0,0.5,1": losses.Quadratic,
    "isotropic": losses.Isotropic,
    "covariance:0.1,1": losses.Covariance,
    "hessian:0.5": losses.Hessian,
    "loss-dependent:8,1": losses.LossDependent,
}


@pytest.mark.parametrize("text", EXAMPLES)
def test_every_loss_and_noise_is_taken(text):
    is_loss = text.partition(":")[0] in named("losses")
    assert is_loss or text == "isotropic" or text.partition(":")[0] in named("noises")
    assert isinstance(values.loss_of(text) if is_loss else values.noise_of(text, None), EXAMPLES[text])


def test_no_loss_or_noise_of_the_library_is_missing():
    """All that are exported except the protocols, and those whose functions are the user's, and the general form."""
    exported = {getattr(losses, name) for name in losses.__all__}
    others = {losses.Loss, losses.Noise, losses.CustomLoss, losses.CustomNoise, losses.QuadraticForm}
    assert exported - others == set(EXAMPLES.values())


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_is_taken(name):
    assert values.network_of(name, None) is not None


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_is_taken(name, capsys):
    main = ["predict", name, "--lr", "0.01", "--wd", "0.01", "--dim", "1000", "--steps", "100"]
    main += ["--update-memory", "1"] if name == "muon" else ["--grad-sq", "1"]
    with pytest.raises(SystemExit) as end:
        cli.main(main)
    assert end.value.code == 0, capsys.readouterr().err


@pytest.mark.parametrize("name", ["auto", *METHODS, "quasi-harmonic"])
def test_every_entropy_is_taken(name):
    assert values.entropy_of(name) == name.replace("-", "_")


def test_another_entropy_is_refused_before_anything_is_read(tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["measure", str(tmp_path), "--entropy", "exact", "--dry-run"])
    assert end.value.code == 2
    assert "--entropy: expected one of auto, density, integration, knn" in capsys.readouterr().err
