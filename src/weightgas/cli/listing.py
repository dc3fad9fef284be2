"""``weightgas list``: the names that the commands accept."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import typer

from weightgas.cli import options as opt
from weightgas.cli import terminal
from weightgas.cli.session import session
from weightgas.errors import one_of

Rows = Iterator[tuple[str, str]]


def show(
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="WHAT",
            help="One of protocols, presets, losses, noises, networks, data, optimizers, entropies, statuses.",
        ),
    ] = None,
    debug: opt.Debug = False,
) -> None:
    """List the names that commands accept: protocols, presets, losses, and so on.

    Everything, or one kind:
      weightgas list
      weightgas list statuses
    """
    with session("list", opt.Show(debug=debug)):
        out = terminal.console()
        if what is not None:
            one_of("WHAT", what, SECTIONS)
        for name, rows in SECTIONS.items():
            if what in (None, name):
                terminal.entries(out, name, list(rows()))


def _protocols() -> Rows:
    from weightgas.protocols import PROTOCOLS

    for name, kind in PROTOCOLS.items():
        options = " ".join(f"--{axis}" for axis in kind.axes)
        yield name.replace("_", "-"), f"{options}; holds {kind.holds}"


def _presets() -> Rows:
    from weightgas.experiments import PRESETS

    for name, presets in PRESETS.items():
        for preset in presets:
            call = "weightgas demo" if name == "demo" else f"weightgas reproduce {name} --preset {preset}"
            more = "with --net and --data also a custom network; " if name == "networks" else ""
            yield call, f"{more}--dry-run prints how long it takes"


def _losses() -> Rows:
    from weightgas.losses import Linear, Quadratic

    yield "linear", _first(Linear)
    yield "quadratic:EIGENVALUES", _first(Quadratic)
    yield "FILE.py:NAME", "your own: see weightgas.losses.Loss and CustomLoss"


def _noises() -> Rows:
    from weightgas.losses import Covariance, Hessian, Isotropic, LossDependent

    yield "--sigma SIGMA", _first(Isotropic)
    yield "covariance:VARIANCES", _first(Covariance)
    yield "hessian:SCALE", _first(Hessian)
    yield "loss-dependent:SLOPE,OFFSET", _first(LossDependent)
    yield "FILE.py:NAME", "your own: see weightgas.losses.Noise and CustomNoise"


def _networks() -> Rows:
    try:
        from weightgas.networks import KNOWN
    except ImportError as error:  # they alone need torch
        yield "none", f"torch cannot be imported ({error}): pip install torch"
        return
    for name, make in KNOWN.items():
        yield name if name == "mlp" else f"{name}:WIDTH", _first(make)
    yield "FILE.py:NAME", "your own: a module of torch, or see weightgas.networks.Network"


def _data() -> Rows:
    from weightgas.datasets import KNOWN

    for name, make in KNOWN.items():
        yield name, _first(make)
    yield "FILE.py:NAME", "your own: a weightgas.datasets.Images, or a function that makes one"


def _optimizers() -> Rows:
    from weightgas.optimizers import KNOWN

    for name, kind in KNOWN.items():
        yield name, _first(kind)
    yield "FILE.py:NAME", "your own: see weightgas.optimizers.Optimizer"


def _entropies() -> Rows:
    from weightgas.measurement.entropy import ESTIMATORS

    for name, kind in ESTIMATORS.items():
        yield name, _first(kind)
    yield "FILE.py:NAME", "your own: see weightgas.measurement.entropy.Estimator"


def _statuses() -> Rows:
    from weightgas.status import Status

    for status in Status:
        yield status.name.lower(), status.advice


SECTIONS: dict[str, Callable[[], Rows]] = {
    "protocols": _protocols,
    "presets": _presets,
    "losses": _losses,
    "noises": _noises,
    "networks": _networks,
    "data": _data,
    "optimizers": _optimizers,
    "entropies": _entropies,
    "statuses": _statuses,
}


def _first(documented: Any) -> str:
    """The first line of a docstring, without its marks of code."""
    return (inspect.getdoc(documented) or "").partition("\n")[0].replace("``", "")
