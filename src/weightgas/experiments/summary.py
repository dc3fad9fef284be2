"""An experiment in a few plain sentences, made of its verdicts, and its scores, one line each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from weightgas.analysis import Verdict
from weightgas.analysis.cells import in_equilibrium
from weightgas.analysis.compare import compare_isotropic
from weightgas.analysis.equation_of_state import radius_from_partners, radius_from_sphere, radius_law
from weightgas.analysis.scores import model_scores
from weightgas.experiments.nulls import Null
from weightgas.trace import kind_of

_ANSWERS = {"yes": "consistent with an ideal gas", "no": "not an ideal gas", "undecided": "undecided"}


def select(items: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """The runs of one kind (``"isotropic"``, ``"networks"``, ``"narrow"``) by their own name."""
    return {name.split("/")[1]: item for name, item in items.items() if name.startswith(f"{kind}/")}


def kinds(names: Iterable[str]) -> list[str]:
    """The kinds among the names of runs, in their order."""
    return list(dict.fromkeys(name.split("/")[0] for name in names))


def sentences(
    states: Mapping[str, xr.Dataset], judged: Mapping[str, Verdict], beside: Mapping[str, Mapping[str, Null]]
) -> list[str]:
    """One sentence for the model, for each network, and for each null gas beside them."""
    said = []
    for kind in kinds(judged):
        state = next(iter(select(states, kind).values()))
        network = "network" in state.attrs
        subject = f"{state.attrs['network']} on {state.attrs['data']}" if network else "Isotropic noise model"
        said.append(sentence(subject, list(select(judged, kind).values())))
        for null in beside.get(kind, {}).values():
            title = null.verdict.title
            said.append(sentence(f"{title[0].upper()}{title[1:]}", [null.verdict]))
    return said


def scores(states: Mapping[str, xr.Dataset]) -> list[str]:
    """How close the model comes to its closed form and to the published slopes, and networks to the radius law."""
    model = select(states, "isotropic")
    lines = [f"isotropic, {kind_of(state).title}: {score}" for state in model.values() for score in model_scores(state)]
    for row in compare_isotropic(model):
        lines.append(
            f"{row.quantity}: {row.value:.4f} ± {row.error:.4f} (published {row.published:.4f}, theory {row.theory:g})"
        )
    for kind in kinds(states):
        found = select(states, kind)
        state, sphere = _pair(found)
        if state is None or "network" not in state.attrs:
            continue
        name, good = f"{state.attrs['network']}, fixed LR", in_equilibrium(state)
        lines.append(f"{name}: {int(good.sum())} of {len(good)} cells in equilibrium")
        lines.append(
            f"{name}: radius against the discrete prediction: {_off(radius_law(state)['ratio_discrete'], good)}"
        )
        if sphere is not None and in_equilibrium(sphere).sum() > 1:
            ratio = radius_from_sphere(state, sphere)["ratio"]
            lines.append(f"{name}: radius from G of a grid on the sphere, from its own starts: {_off(ratio, good)}")
        if "partners" in found:
            ratio = radius_from_partners(state, found["partners"])["ratio"]
            lines.append(f"{name}: radius from G on the sphere at the same η_e, same basin: {_off(ratio, good)}")
    return lines


def radius_across(states: Mapping[str, xr.Dataset], kind: str) -> xr.Dataset | None:
    """The radius of the fixed-LR cells from G on the sphere: from partners where they ran, else from a grid."""
    found = select(states, kind)
    state, sphere = _pair(found)
    if state is not None and "partners" in found:
        return radius_from_partners(state, found["partners"])
    if state is not None and sphere is not None and in_equilibrium(sphere).sum() > 1:
        return radius_from_sphere(state, sphere)
    return None


def _pair(found: Mapping[str, xr.Dataset]) -> tuple[xr.Dataset | None, xr.Dataset | None]:
    """The states with a free temperature, and on a grid of the sphere; None where there is none."""
    grids = [state for name, state in found.items() if name != "partners"]
    free = next((state for state in grids if not kind_of(state).scaled), None)
    return free, next((state for state in grids if kind_of(state).projected), None)


def _off(ratio: xr.DataArray, good: np.ndarray) -> str:
    """Worst and median distance of a ratio from 1 over the cells in equilibrium, in per cent."""
    off = 100 * np.abs(ratio.values[good] - 1)
    off = off[np.isfinite(off)]
    return f"within {off.max():.2g} %, median {np.median(off):.2g} %, {len(off)} cells" if len(off) else "no cells"


def sentence(subject: str, verdicts: Sequence[Verdict]) -> str:
    """What the three levels say of several runs of one subject."""
    said = []
    for number, what in ((0, "stationary"), (1, "books balance")):
        answers = [v.levels[number].answer for v in verdicts]
        said.append(f"{what} in {answers.count('yes')} of {len(answers)} runs")
    answers = [v.levels[2].answer for v in verdicts]
    evidence = [f"{meaning} in {answers.count(a)}" for a, meaning in _ANSWERS.items() if a in answers]
    numbers = [f"{name} {_range(name, verdicts)}" for name in _names(verdicts)]
    tail = f" ({'; '.join(numbers)}; 1 is ideal)" if numbers else ""
    return f"{subject}: {', '.join(said)}; evidence: {', '.join(evidence)}{tail}."


def _names(verdicts: Sequence[Verdict]) -> list[str]:
    names = [c.name for v in verdicts for c in v.levels[2].checks if np.isfinite(c.value) and c.outcome]
    return list(dict.fromkeys(names))


def _range(name: str, verdicts: Sequence[Verdict]) -> str:
    values = [c.value for v in verdicts for c in v.levels[2].checks if c.name == name and np.isfinite(c.value)]
    low, high = min(values), max(values)
    return f"{low:.3g}" if f"{low:.3g}" == f"{high:.3g}" else f"{low:.3g} to {high:.3g}"
