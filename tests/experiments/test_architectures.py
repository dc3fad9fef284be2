"""``reproduce networks`` with a network and data of one's choice: its plans, the time it states first, the entire
path."""

from __future__ import annotations

import dataclasses
import re
from functools import partial

import numpy as np
import pytest

import published
from command_line import call
from gases import EASY
from weightgas import datasets, networks
from weightgas import trace as traces
from weightgas.experiments import cost, presets, run
from weightgas.measurement import measure
from weightgas.protocols import FixedELR, FixedLR, FixedSphere
from weightgas.settings import Record
from weightgas.training.cost import Cost

CHEAP = Cost(together=1, step=1.0, loss=10.0, gradient=100.0, curvature=1000.0)


@pytest.fixture
def short(monkeypatch):
    """Every plan of a network of one's choice cut down to two cells of 40 steps a protocol; nothing is timed."""

    def cut(planned):
        axes = {
            axis: np.unique(getattr(planned.protocol, axis))[-2:][: 1 + (i == 0)]
            for i, axis in enumerate(planned.protocol.axes)
        }
        stored = min(planned.record.snapshots, 8)
        record = dataclasses.replace(planned.record, samples=20, snapshots=stored, snapshot_every=4)
        return dataclasses.replace(planned, protocol=type(planned.protocol)(**axes), steps=40, record=record)

    whole = presets.architecture
    monkeypatch.setattr(presets, "architecture", lambda *choice: tuple(map(cut, whole(*choice))))
    monkeypatch.setattr("weightgas.training.cost", lambda *_, **__: CHEAP)


@pytest.mark.parametrize(
    ("network", "dim", "data", "lr", "wd"),
    [
        (networks.convnet(8), 24_408, "cifar10", (1e-3, 0.1, 13), (1e-3, 0.1, 9)),
        (networks.convnet(16, classes=100), 97_200, "cifar100", (1e-3, 0.1, 13), (1e-2, 1.0, 9)),
        (networks.resnet18(4), 43_692, "cifar10", (1e-3, 1.0, 19), (1e-3, 0.1, 5)),
        (networks.resnet18(4, classes=100), 43_692, "cifar100", (1e-3, 1.0, 19), (1e-3, 0.1, 5)),
    ],
)
def test_the_paper_preset_is_what_the_paper_prints(network, dim, data, lr, wd):
    sphere, elr, free, along = plan = presets.architecture("paper", network, _colourful(data))
    assert [r.name for r in plan] == [f"networks/{n}" for n in ("fixed_sphere", "fixed_elr", "fixed_lr", "along_run")]
    assert all(r.steps == 1_000_000 and r.network.dim(r.data) == dim and r.start == "unit" for r in plan)
    assert isinstance(sphere.protocol, FixedSphere) and sphere.protocol.radius == (0.25, 0.5, 1.0, 2.0, 4.0)
    for found, (low, high, count) in (
        (sphere.protocol.elr, (1e-4, 1e-2, 13)),
        (elr.protocol.elr, (1e-4, 1e-2, 13)),
        (elr.protocol.wd, wd),
        (free.protocol.lr, lr),
        (free.protocol.wd, wd),
        (along.protocol.elr, (2e-5, 3e-3, 7)),
    ):
        np.testing.assert_allclose(found, np.geomspace(low, high, count))
    for planned in (sphere, elr, free):
        record = planned.record
        assert (record.snapshots, record.snapshot_every, record.warmup) == (4000, 25, 0)
    assert along.record.log_spaced and along.record.samples == 151
    biased = isinstance(network, networks.ConvNet)
    assert all(r.network.head_bias == biased for r in plan) and not network.head_bias
    assert along.auxiliary and not free.auxiliary


@pytest.mark.parametrize("preset", ["quick", "standard"])
def test_the_fit_of_the_entropy_exists_on_every_grid(preset):
    for planned in presets.architecture(preset, networks.mlp(hidden=(3,)), datasets.digits())[:3]:
        assert min(len(getattr(planned.protocol, axis)) for axis in planned.protocol.axes) >= 3
        assert planned.record.snapshots >= 200 and planned.record.snapshot_every == 25
    for planned in presets.networks(preset)[:3]:
        assert len(planned.protocol) >= 35 and planned.record.snapshots >= 1000


def test_standard_presets_have_the_replicas_between_which_slow_exchange_shows():
    """Four in all that are judged from standard on; the published set-up has one."""
    of = (networks.mlp(hidden=(3,)), datasets.digits())
    plans = [*presets.networks("standard"), *presets.networks("paper"), *presets.answer("standard")]
    for planned in (*plans, *presets.architecture("standard", *of)):
        assert planned.replicas == (1 if planned.name.endswith("along_run") else 4)
    assert {planned.replicas for planned in presets.architecture("paper", *of)} == {1}


@pytest.mark.parametrize("preset", ["quick", "standard", "paper"])
def test_sizes_go_with_the_preset_and_steps_replace_its_length(preset):
    network, data = networks.mlp(hidden=(3,)), datasets.digits()
    plan = presets.architecture(preset, network, data)
    assert {type(r.protocol) for r in plan[:3]} == {FixedSphere, FixedELR, FixedLR}
    shorter = presets.architecture(preset, network, data, 500)
    assert {r.steps for r in shorter} == {500} and {r.steps for r in plan} != {500}
    assert [len(r.protocol) for r in shorter] == [len(r.protocol) for r in plan]
    assert all(r.record.snapshots * (r.record.snapshot_every or 1) <= r.steps for r in (*plan, *shorter))


def test_the_estimated_time_counts_what_the_run_will_do(monkeypatch):
    """Steps, warm-up, and every part of every sample, by number; what is there already is not counted."""
    monkeypatch.setattr("weightgas.training.cost", lambda *_, **__: CHEAP)
    of = (networks.mlp(hidden=(3,)), datasets.digits())
    record = Record(samples=10, noise_samples=5)
    planned = presets.Trained("networks/fixed_lr", FixedLR([0.1, 0.2], 0.01), *of, 100, record, replicas=3)
    monkeypatch.setattr("weightgas.experiments.controls.estimated_seconds", lambda *_, **__: 7.0)
    seconds = cost.estimated("one", (planned,)).seconds - (7.0 + 25.0 + 2 * 0.4)  # controls, report, measuring
    batches = 1797 // 128
    each = 110 * 1.0 + 10 * batches * 10.0 + 5 * (8 * 100.0 + 2 * 1000.0)
    assert seconds == pytest.approx(6 * each + 16 * batches * 10.0)


@pytest.fixture
def cifar(monkeypatch, tmp_path):
    """The command for CIFAR-10 of 200 images, at the paper's preset."""
    monkeypatch.setattr(published, "RECORDS", 40)
    published.install(monkeypatch, tmp_path / "files")
    net = ("--net", "mlp", "--hidden", "3", "--data", "cifar10", "--data-dir", tmp_path / "files")
    return ("reproduce", "networks", "--preset", "paper", *net, "--out", tmp_path / "run", "--threads", 1)


@pytest.mark.slow
def test_cifar_at_tiny_size_from_command_to_report(short, cifar, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("weightgas.analysis.findings.measure", partial(measure, criteria=EASY))
    monkeypatch.setattr(run, "controls_for", lambda *_, **__: {})
    dry = call(capsys, *cifar, "--dry-run")
    assert dry.code == 0 and not (tmp_path / "run").exists()
    first = "networks, preset paper, mlp(hidden=(3,)) on cifar10: about "
    assert dry.out.startswith(first) and "networks/fixed_sphere: 2 cells x 40 steps, about" in dry.out
    shard = call(capsys, *cifar, "--shard", "1/2")
    assert shard.err.startswith(first), shard.err  # before anything else is stated or done
    assert "--shard i/n divides it" in shard.err.partition("\n")[0]
    assert "Not complete yet: networks/fixed_sphere, networks/fixed_elr, networks/fixed_lr, " in shard.out
    called = call(capsys, *cifar)
    assert called.code == 0, called.err
    assert "networks/fixed_lr: 2 cells x 40 steps (1 are there), about" in called.err
    assert "fixed LR, mlp(hidden=(3,)), d = 9216" in called.out
    text = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "mlp(hidden=(3,)) on cifar10" in text and "weightgas reproduce networks --preset paper --net mlp" in text
    assert traces.open_trace(tmp_path / "run" / "networks" / "fixed_elr").attrs["data"] == "cifar10"
    other = call(capsys, *(4 if word == "3" else word for word in cifar))
    assert other.code == 2 and "other settings (network)" in other.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("networks", "--net", "convnot:2"), "network: expected one of convnet, mlp, resnet18, got 'convnot'"),
        (("networks", "--data", "cifar11"), "data: expected one of .*digits.*, got 'cifar11'"),
        (("networks", "--net", "convnet:2", "--data", "cifar10"), "https://www.cs.toronto.edu.*--data-dir"),
        (("networks", "--net", "convnet:2,classes=3"), "classes"),
        (("isotropic", "--net", "convnet:2"), "steps: expected none except with the experiment networks, got 'iso"),
        (("networks", "--net", "mlp", "--per-class", "5"), "batch_size: expected at most the 50 inputs"),
    ],
)
def test_what_is_refused_is_refused_before_any_work(arguments, said, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("WEIGHTGAS_DATA", str(tmp_path / "nowhere"))
    called = call(capsys, "reproduce", *arguments, "--out", tmp_path / "run")
    assert called.code == 2 and re.search(said, called.err), called.err
    assert not (tmp_path / "run").exists()


def test_the_cost_of_the_paper_is_foreseen_without_its_files(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("WEIGHTGAS_DATA", str(tmp_path / "nowhere"))
    monkeypatch.setattr("weightgas.training.cost", lambda *_, **__: CHEAP)
    arguments = ("reproduce", "networks", "--preset", "paper", "--net", "convnet:8", "--data", "cifar10")
    dry = call(capsys, *arguments, "--dry-run", "--out", tmp_path / "run")
    assert dry.code == 0 and not (tmp_path / "run").exists(), dry.err
    assert "The files of cifar10 are not here: the time is that of blank images" in dry.out
    assert "convnet(width=8, head_bias=True) on cifar10" in dry.out
    assert "networks/fixed_lr: 117 cells x 1000000 steps" in dry.out
    size = 4000 * 4 * 24_408 / 1e6  # stated before the run
    assert f"4000 directions, one in 25 steps: {size:.0f} MB of memory for each cell" in dry.out
    called = call(capsys, *arguments, "--out", tmp_path / "run")  # to run it takes the files
    assert called.code == 2 and "cifar-10-binary.tar.gz" in called.err


def test_blank_images_have_the_number_and_shape_of_the_real_ones():
    images = datasets.blank("fashion_mnist_14")
    assert len(images) == 60_000 and images.inputs.shape[1:] == (1, 14, 14) and not images.inputs.any()
    assert np.bincount(images.labels).tolist() == [6000] * 10
    with pytest.raises(ValueError, match="data: expected one of cifar10, cifar100, fashion_mnist"):
        datasets.blank("digits")


def test_the_device_is_that_of_the_networks(capsys, monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr("weightgas.training.cost", lambda *_, evaluate, **__: asked.append(evaluate.device) or CHEAP)
    call(capsys, "reproduce", "networks", "--net", "mlp", "--device", "cuda:3", "--dry-run", "--out", tmp_path / "run")
    assert set(asked) == {"cuda:3"}
    called = call(capsys, "reproduce", "networks", "--net", "mlp", "--device", "abacus", "--out", tmp_path / "run")
    assert called.code == 2


def _colourful(name="colourful"):
    generator = np.random.default_rng(0)
    classes = 100 if name == "cifar100" else 10
    return datasets.Images(name, generator.normal(size=(200, 3, 32, 32)), np.arange(200) % classes, classes)
