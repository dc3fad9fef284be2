"""The claims of arXiv 2511.07308 one by one: their place in the paper, what was run and measured, and the outcome.

A claim about several runs fails if it fails in one of them, and holds if it holds in all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from weightgas.analysis.checks import DIAGNOSTIC_TOLERANCE, Check, Key, judged
from weightgas.analysis.compare import compare_isotropic
from weightgas.analysis.findings import Findings
from weightgas.experiments.summary import crossed
from weightgas.figures.canvas import plain
from weightgas.rounding import with_error

Runs = Mapping[str, Findings]
HEAD = ("claim", "in the paper", "what we ran", "measured", "outcome")
WORDS = {"yes": "holds", "no": "fails", "undecided": "not decided here"}
ENTROPIES = "S(w̄) = R ln T + const: dS(w̄)/d ln T / R = 1"
_FRAMEWORK, _MODEL, _NETWORKS = "section 3", "section 5", "section 6"


@dataclass(frozen=True)
class Claim:
    """A row of the tables: the claim, its place in the paper, what was run, what was measured, the outcome in words."""

    claim: str
    place: str
    ran: str
    measured: str
    outcome: str

    @property
    def row(self) -> tuple[str, ...]:
        """The cells of its row."""
        word, _, counts = self.outcome.partition(" (")
        return self.claim, self.place, self.ran, self.measured, f"**{word}**" + (f" ({counts}" if counts else "")


def of_model(runs: Runs) -> list[Claim]:
    """The claims about the isotropic noise model, from its runs by protocol."""
    state = next(iter(runs.values())).state
    ran = f"{len(runs)} protocols, d = {state.attrs['dim']}, {state.attrs['steps']} steps"
    found = [_identity("stationary radius at fixed LR and fixed ELR", Key.RADIUS, _MODEL, ran, runs)]
    symbols = {"energy": ("U", "%"), "entropy_direction": ("S(w̄)", "nats"), "radius": ("r", "%")}
    for key, (symbol, unit) in symbols.items():
        scores = [s for run in runs.values() for s in run.scores if s.key == key and s.cells]
        if scores:
            worst = max(scores, key=lambda s: s.worst)
            z = max(s.worst_z for s in scores)
            cells = sum(s.cells for s in scores)
            text = f"{cells} cells, largest deviation {worst.unit[1] * worst.worst:.2g} {unit}, {z:.1f} standard errors"
            outcome = "yes" if z < 3 + np.log10(cells) / 2 else "no"
            found.append(Claim(f"{symbol} as in the closed form, at this step", _MODEL, ran, text, WORDS[outcome]))
    for row in compare_isotropic(runs):
        check = judged(Key.MAXWELL, row.value, row.error, row.theory if row.theory else 1e-9, DIAGNOSTIC_TOLERANCE)
        off = abs(row.value - row.theory) <= DIAGNOSTIC_TOLERANCE + 3 * row.error
        text = f"{with_error(row.value, row.error)} (published {row.published:.4f}, theory {row.theory:g})"
        found.append(Claim(row.quantity, _MODEL, ran, text, WORDS["yes" if off or check.outcome == "yes" else "no"]))
    found.append(_minimum(runs, _MODEL, ran))
    found += _laws(runs, _MODEL, ran)
    return found


def of_networks(runs: Runs) -> list[Claim]:
    """The claims about networks, from the runs of the answer by ``SIZE/PROTOCOL``."""
    ran = f"{len(runs)} runs: {len({n.split('/')[0] for n in runs})} perceptrons on digits, three protocols"
    decayed = {name: run for name, run in runs.items() if np.isfinite(run.radius_law["discrete"]).any()}
    found = [
        _stationary(runs, ran),
        _identity(
            "stationary radius at fixed LR and fixed ELR, with G of the same run", Key.RADIUS, _NETWORKS, ran, decayed
        ),
        *_predicted(runs),
        _identity("pV = RT (1 + SNR)/(1 − ηλ/2): Z over that", Key.COMPRESSIBILITY, _FRAMEWORK, ran, runs),
        _maxwell(runs, ran),
        *_laws(runs, _NETWORKS, ran),
        _minimum(runs, _NETWORKS, ran),
    ]
    over = "over-parameterised networks converge at low η_e: the noise dies, T → 0"
    place = "`reproduce networks`, `along_run`: [results](index.md)"
    return [*found, Claim(over, _NETWORKS, place, "–", "not decided here")]


def combined(answers: Iterable[str]) -> str:
    """``no`` if one answer is no, ``yes`` if all are yes, else ``undecided``."""
    found = set(answers)
    return "no" if "no" in found else "yes" if found == {"yes"} else "undecided"


def spans(checks: Mapping[str, Sequence[Check]]) -> str:
    """The range of the values of the checks of each size, with the largest error: ``under 1.4 to 1.5 (± 0.002)``."""
    parts = []
    for size in dict.fromkeys(name.split("/")[0] for name in checks):
        known = [c for name, each in checks.items() if name.split("/")[0] == size for c in each if np.isfinite(c.value)]
        if known:
            errors = [c.error for c in known if np.isfinite(c.error)]
            error = f" (± {max(errors):.1g})" if errors else ""
            low, high = (f"{v:.4g}" for v in (min(c.value for c in known), max(c.value for c in known)))
            prefix = f"{size} " if "/" in next(iter(checks)) else ""
            parts.append(f"{prefix}{low if low == high else f'{low} to {high}'}{error}")
    return "; ".join(parts) or "–"


def _counted(outcome: str, answers: Sequence[str]) -> str:
    """The outcome, with the numbers of runs if they differ."""
    if len(set(answers)) < 2:
        return outcome
    counts = ", ".join(f"{WORDS[a]} in {answers.count(a)}" for a in WORDS if a in answers)
    return f"{outcome} ({counts})"


def _checked(
    claim: str, place: str, ran: str, checks: Mapping[str, Sequence[Check]], *, identity: bool = False
) -> Claim:
    """A claim that the checks of every run decide; for an identity ``holds as an identity``."""
    answers = [c.outcome for each in checks.values() for c in each if c.outcome]
    answer = combined(answers)
    word = "holds as an identity" if identity and answer == "yes" else WORDS[answer]
    return Claim(claim, place, ran, spans(checks), _counted(word, answers))


def _identity(claim: str, key: Key, place: str, ran: str, runs: Runs) -> Claim:
    return _checked(claim, place, ran, {n: run.verdict.checks(key) for n, run in runs.items()}, identity=True)


def _stationary(runs: Runs, ran: str) -> Claim:
    answers = [run.verdict.levels[0].answer for run in runs.values()]
    cells, settled = (
        sum(len(run.settled) for run in runs.values()),
        sum(int(run.settled.sum()) for run in runs.values()),
    )
    text = f"{settled} of {cells} cells in equilibrium"
    return Claim(
        "training reaches a stationary state", _NETWORKS, ran, text, _counted(WORDS[combined(answers)], answers)
    )


def _maxwell(runs: Runs, ran: str) -> Claim:
    """The slopes over their theory: an identity of any S(w̄) that depends on η_e alone."""
    scaled = {
        name: [
            judged(Key.MAXWELL, s.value / s.theory, s.error / abs(s.theory)) for s in run.slopes if abs(s.theory) > 0
        ]
        for name, run in runs.items()
    }
    claim = "Maxwell's relations: slope of S over its theory"
    return _checked(claim, _NETWORKS, ran, {n: c for n, c in scaled.items() if c}, identity=True)


def _predicted(runs: Runs) -> Iterator[Claim]:
    """The radius at fixed LR from gradients on the sphere, a prediction."""
    for size in dict.fromkeys(name.split("/")[0] for name in runs):
        own = {name.split("/")[1]: run for name, run in runs.items() if name.split("/")[0] == size}
        for ratio in (found["ratio"].values[own["fixed_lr"].settled] for found in crossed(own).values()):
            off = np.abs(ratio[np.isfinite(ratio)] - 1)
            if not off.size:
                continue
            text = f"{off.size} cells within {off.max():.2%}, median {np.median(off):.2%}"
            claim = "stationary radius at fixed LR from G on the sphere at the same η_e, a prediction"
            yield Claim(
                claim, _NETWORKS, f"{size}, 2 runs", text, WORDS["yes" if off.max() <= DIAGNOSTIC_TOLERANCE else "no"]
            )


def _laws(runs: Runs, place: str, ran: str) -> Iterator[Claim]:
    """The equations of state, by the checks of hypothesis A, then B and C."""
    claims = {
        Key.GAS_LAW: ("ideal gas law pV = RT: pV/RT = 1", _FRAMEWORK),
        Key.ENERGY_LAW: ("U − U₀ = RT: (U − U₀)/RT = 1", _FRAMEWORK),
        Key.HEAT_CAPACITY: ("heat capacity C_V = R: C_V/R = 1", _FRAMEWORK),
        Key.ENTROPY_SLOPE: (ENTROPIES, place),
    }
    for key, (claim, where) in claims.items():
        found = {n: [c for c in run.verdict.checks(key) if np.isfinite(c.value)] for n, run in runs.items()}
        by = dict.fromkeys(c.of for each in found.values() for c in each) or {"": None}
        for of in by:
            own = {n: [c for c in each if c.of == of] for n, each in found.items()}
            own = {n: each for n, each in own.items() if each}
            note = next((c.note for each in own.values() for c in each if not c.outcome), "")
            made = _checked(f"{claim}, {of}" if of else claim, where, f"{len(own)} of the {len(runs)} runs", own)
            yield Claim(made.claim, where, made.ran, made.measured + (f" ({note})" if note else ""), made.outcome)
    densities = (
        (1, "one family of densities ρ_T ∝ e^(−Φ/T): d ln C/d ln T = 1 in every band", Key.BAND, _FRAMEWORK),
        (2, "the Gibbs density, Φ = L: T_conf/T = 1", Key.CONFIGURATIONAL, f"{_FRAMEWORK}, for isotropic noise"),
    )
    for index, claim, key, where in densities:
        answers = [run.verdict.hypotheses[index].answer for run in runs.values()]
        text = spans({n: run.verdict.checks(key) for n, run in runs.items()})
        yield Claim(claim, where, ran, text, _counted(WORDS[combined(answers)], answers))


def _minimum(runs: Runs, place: str, ran: str) -> Claim:
    """The states at the minimum of the potential; with an integrated entropy this is no test."""
    claim = "the stationary state minimises its potential over the grid"
    offsets = {n: o[np.isfinite(o)] for n, o in ((n, run.minima["offset"].values) for n, run in runs.items())}
    offsets = {n: o for n, o in offsets.items() if o.size}
    free = [n for n in offsets if runs[n].state.attrs.get("entropy_method") != "integration"]
    if not offsets:
        return Claim(claim, place, ran, "–", WORDS["undecided"])
    every = np.concatenate(list(offsets.values()))
    text = f"{int((every <= 1).sum())} of {every.size} states within one grid step of the minimum"
    if not free:
        return Claim(claim, place, ran, f"{text}, with an entropy that assumes it", WORDS["undecided"])
    kinds = ", ".join(plain(n.split("/")[-1]) for n in free)
    return Claim(
        claim, place, f"{ran}; entropy not integrated: {kinds}", text, WORDS["yes" if (every <= 1).all() else "no"]
    )
