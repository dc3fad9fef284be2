"""The paper next to a run: its figures as views of the page, and its numbers with those of the run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from weightgas.analysis.cells import axes
from weightgas.analysis.compare import compare_isotropic, compare_networks
from weightgas.analysis.findings import Findings
from weightgas.figures.canvas import plain
from weightgas.quantities import of
from weightgas.report.columns import rounded
from weightgas.trace import kind_of

Runs = Mapping[str, Findings]


@dataclass(frozen=True)
class PaperFigure:
    """A figure of the paper as a view of the page: ``y`` over each of ``x`` (named in the title), for runs with both.

    ``view`` is the part of the page that shows it. ``projected`` restricts it to the sphere (True), or to protocols
    where the norm is free (False).
    """

    title: str
    x: tuple[str, ...]
    y: str
    view: str = "explorer"
    projected: bool | None = None


_RATES, _OTHERS = ("lr", "elr"), ("wd", "radius")
_POTENTIALS = (
    PaperFigure("Gibbs potential at the temperature and pressure of a cell", ("",), "potential", "grid", False),
    PaperFigure("Helmholtz potential at the temperature of a cell", ("",), "potential", "grid", True),
)
OF_MODEL = (
    PaperFigure("energy over {}, with theory", ("temperature",), "energy"),
    PaperFigure("entropy of the direction over {}, with theory", ("temperature",), "entropy_direction"),
    PaperFigure("norm over {}, with theory", ("wd",), "radius", projected=False),
    PaperFigure("pressure over {}, with theory", ("radius",), "pressure", projected=True),
    PaperFigure("entropy over {}", (*_OTHERS, *_RATES), "entropy"),
    *_POTENTIALS,
)
"""The figures of the isotropic model [arXiv 2511.07308]."""
OF_NETWORKS = (
    PaperFigure("norm over {}, with its discrete prediction", _RATES, "radius", projected=False),
    PaperFigure("pressure over {}, with its discrete prediction", ("elr",), "pressure", projected=True),
    PaperFigure("temperature over {}", _RATES, "temperature"),
    PaperFigure("training loss over {}", _RATES, "energy"),
    PaperFigure("variance of the noise over {}", _RATES, "noise_var"),
    PaperFigure("entropy over {}, with its quadratic fit", (*_RATES, *_OTHERS), "entropy"),
)
"""The figures of networks [arXiv 2511.07308]."""


def paper(runs: Runs) -> dict[str, Any]:
    """The published ``numbers`` with those of the runs and z, and the ``figures`` of the paper as views.

    Empty for other runs than the model and networks.
    """
    if runs and all(run.is_model for run in runs.values()):
        return {"numbers": list(_slopes(runs)), "figures": list(_views(OF_MODEL, runs))}
    if runs and all(run.state.attrs["producer"] == "train" for run in runs.values()):
        return {"numbers": list(_fits(runs)), "figures": list(_views(OF_NETWORKS, runs))}
    return {"numbers": [], "figures": []}


def _views(figures: Sequence[PaperFigure], runs: Runs) -> Iterator[dict[str, Any]]:
    for figure in figures:
        for x in figure.x:
            names = [name for name, run in runs.items() if _has(run, figure, x)]
            if names:
                yield {
                    "title": figure.title.format(of(x).long_name.removesuffix(" as set") if x else ""),
                    "x": x,
                    "y": figure.y,
                    "view": figure.view,
                    "runs": [plain(name) for name in names],
                }


def _has(run: Findings, figure: PaperFigure, x: str) -> bool:
    """Whether a figure can be drawn for a run: over a hyperparameter with several values, or over a quantity."""
    if figure.projected is not None and kind_of(run.state).projected != figure.projected:
        return False
    y = "entropy" if figure.view == "grid" else figure.y
    if y not in run.state or not np.isfinite(run.state[y].values).any():
        return False
    fixed = axes(run.state)
    return x in ("", "temperature") or (x in fixed and len(np.unique(fixed[x])) > 1)


def _slopes(runs: Runs) -> Iterator[dict[str, Any]]:
    """Maxwell slopes of the model over the hyperparameter ``along``, at constant other one or constant product."""
    for row in compare_isotropic(runs):
        names = list(axes(runs[row.protocol].state))
        along = next(r.along for r in kind_of(runs[row.protocol].state).maxwell if r.key == row.key)
        among = "product" if along not in names else names[1 - names.index(along)]
        numbers = _row(row.quantity, row.published, row.published_spread, row.value, row.error, row.theory)
        place = {"run": plain(row.protocol), "along": along if along in names else names[0], "across": among}
        yield numbers | place


def _fits(runs: Runs) -> Iterator[dict[str, Any]]:
    """The published fits of S: mean and spread of the published networks, and this run by the same estimator."""
    for row in compare_networks(runs):
        published = np.array([v for v in row.published.values() if np.isfinite(v)])
        value, error = row.measured.get("published", (np.nan, np.nan))  # of the same estimator
        if published.size and np.isfinite(value):
            spread = published.std(ddof=1) if published.size > 1 else np.nan
            first = next(iter(axes(runs[row.protocol].state)))
            numbers = _row(row.quantity, published.mean(), spread, value, error, row.ideal)
            yield {**numbers, "run": plain(row.protocol), "along": first, "across": None}


def _row(quantity: str, published: float, spread: float, value: float, error: float, ideal: float) -> dict[str, Any]:
    """One quantity; ``z`` is its distance from the published value over spread and error, added in quadrature."""
    scale = np.hypot(*np.nan_to_num([error, spread]))
    z = (value - published) / scale if scale > 0 else np.nan
    numbers: Sequence[float | None] = rounded([published, spread, value, error, ideal, z])
    names = ("published", "spread", "value", "error", "ideal", "z")
    return {"quantity": quantity, **dict(zip(names, numbers, strict=True))}
