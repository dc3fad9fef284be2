"""The scores of an experiment, one line each, and its runs by kind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np
import xarray as xr

from weightgas.analysis.checks import OUTCOMES, Verdict
from weightgas.analysis.compare import compare_isotropic
from weightgas.analysis.equation_of_state import radius_from_partners, radius_from_sphere
from weightgas.analysis.findings import Findings
from weightgas.analysis.smoothing import published_isotherm
from weightgas.trace import fixed, kind_of

_ANSWERS = (
    {"yes": "stationary", "undecided": "partly stationary", "no": "not stationary"},
    {"yes": "identities satisfied", "undecided": "inconclusive", "no": "violated"},
)
"""The meaning of each answer of the first two levels."""

_T = TypeVar("_T")


def select(items: Mapping[str, _T], kind: str) -> dict[str, _T]:
    """The runs of one kind (``"isotropic"``, ``"networks"``, ``"narrow"``) by the rest of their names."""
    return {name.split("/")[1]: item for name, item in items.items() if name.startswith(f"{kind}/")}


def kinds(names: Iterable[str]) -> list[str]:
    """The kinds among the names of runs, in their order."""
    return list(dict.fromkeys(name.split("/")[0] for name in names))


def scores(runs: Mapping[str, Findings]) -> list[str]:
    """The agreement of the model with its closed form and the published slopes, and of networks with the radius law."""
    model = select(runs, "isotropic")
    lines = [f"isotropic, {kind_of(run.state).title}: {score}" for run in model.values() for score in run.scores]
    for row in compare_isotropic(model):
        lines.append(
            f"{row.quantity}: {row.value:.4f} ± {row.error:.4f} (published {row.published:.4f}, theory {row.theory:g})"
        )
    for kind in kinds(runs):
        found = select(runs, kind)
        run, _ = _pair(found)
        if run is None or "network" not in run.state.attrs:
            continue
        name, good = f"{run.state.attrs['network']}, fixed LR", run.settled
        lines.append(f"{name}: {int(good.sum())} of {len(good)} cells in equilibrium")
        lines.append(f"{name}: radius against the discrete prediction: {_off(run.radius_law['ratio_discrete'], good)}")
        for source, one in crossed(found).items():
            lines.append(f"{name}: radius from G {source}: {_off(one['ratio'], good)}")
    return lines + [line for run in runs.values() if (line := published_isotherm(run.state, run.trace))]


def radius_across(runs: Mapping[str, Findings], kind: str) -> xr.Dataset | None:
    """The radius of the fixed-LR cells from G on the sphere: from partner runs if there are any, else from a grid."""
    return next(reversed(crossed(select(runs, kind)).values()), None)


def crossed(runs: Mapping[str, Findings]) -> dict[str, xr.Dataset]:
    """The radius of the fixed-LR cells from G of other runs, by the source of G, the most accurate last."""
    found = {}
    free, sphere = _pair(runs)
    if free is not None and sphere is not None and len(_rates(sphere)) > 1:
        found["of a grid on the sphere, from its own starts"] = radius_from_sphere(free.state, sphere.state)
    if free is not None and "partners" in runs:
        found["on the sphere at the same η_e, same basin"] = radius_from_partners(free.state, runs["partners"].state)
    return found


def _pair(runs: Mapping[str, Findings]) -> tuple[Findings | None, Findings | None]:
    """The run whose temperature is free, and that on a grid of the sphere; None for one that does not exist."""
    grids = [run for name, run in runs.items() if name != "partners"]
    free = next((run for run in grids if not kind_of(run.state).scaled), None)
    return free, next((run for run in grids if kind_of(run.state).projected), None)


def _rates(run: Findings) -> np.ndarray:
    """The effective learning rates of the cells in equilibrium: cells of several radii may share one."""
    return np.unique(kind_of(run.state).rate(fixed(run.state))[run.settled])


def _off(ratio: xr.DataArray, good: np.ndarray) -> str:
    """Worst and median distance of a ratio from 1 over the cells in equilibrium, in per cent."""
    off = 100 * np.abs(ratio.values[good] - 1)
    off = off[np.isfinite(off)]
    return f"within {off.max():.2g} %, median {np.median(off):.2g} %, {len(off)} cells" if len(off) else "no cells"


def counted(verdicts: Sequence[Verdict]) -> str:
    """The number of runs with each answer at the first two levels and for each hypothesis, in a sentence."""
    parts = []
    for number, meanings in enumerate(_ANSWERS):
        answers = [verdict.levels[number].answer for verdict in verdicts]
        parts.append(", ".join(f"{text} in {answers.count(a)}" for a, text in meanings.items() if a in answers))
    for each in zip(*(verdict.hypotheses for verdict in verdicts), strict=True):
        outcomes = [hypothesis.outcome for hypothesis in each]
        found = ", ".join(f"{text} in {outcomes.count(text)}" for text in OUTCOMES.values() if text in outcomes)
        parts.append(f"{each[0].title}: {found}")
    return f"Of {len(verdicts)} run{'s' * (len(verdicts) != 1)}: {'; '.join(parts)}."
