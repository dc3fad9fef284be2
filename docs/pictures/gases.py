"""Which laws survive in other gases: the study behind docs/results/gases.md.

    .venv/bin/python docs/pictures/gases.py

Simulates every gas at four temperatures, judges it in the three levels, writes the tables of the page between their
marks and draws ``gases.png`` alongside itself. Some minutes on two cores.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

import weightgas as wg
from weightgas.analysis.equation_of_state import momentum_share, radius_law, state_equation
from weightgas.analysis.fluctuation import collect, fluctuation_response
from weightgas.analysis.gibbs import gibbs_slope, logistic_slope
from weightgas.analysis.reasons import reasons
from weightgas.experiments.controls import curvatures
from weightgas.figures.canvas import GREY, OKABE_ITO
from weightgas.losses import (
    Covariance,
    CustomLoss,
    CustomNoise,
    Hessian,
    Isotropic,
    Linear,
    LossDependent,
    Quadratic,
)
from weightgas.rounding import with_error

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "results" / "gases.md"
DIM, SIGMA, STEPS, REPLICAS, SAMPLES = 10, 2.0, 1_000_000, 8, 800
ELR = 0.005 * 1.3 ** np.arange(-3.0, 1.0)
TEMPERATURE = ELR * SIGMA**2 / 2
A = curvatures(DIM)
ENERGY = (DIM - 1) / 2 * float(np.exp(np.log(TEMPERATURE).mean()))
POWER = 2.5
"""k (d − 3)/2 in the hottest cell of the gas whose noise is proportional to the loss: above 1 it is stationary."""

Expected = tuple[float, float, float]


# --- losses and custom noise ---


def four_wells(w):
    """L = 0.15 (u₀² − 0.3)² + ½ Σ aᵢuᵢ² over i ≥ 2, of u = w/‖w‖: minima at u₀ = ±√0.3, u₁ = ±√0.7."""
    square = np.dot(w, w)
    value = 0.15 * (w[0] ** 2 / square - 0.3) ** 2
    for i in range(2, w.size):
        value += 0.5 * (0.4 + 0.1 * i) * w[i] ** 2 / square
    return value


def four_wells_gradient(w, out):
    """Its gradient, of u at unit norm, projected and divided by the norm."""
    square = np.dot(w, w)
    norm = np.sqrt(square)
    out[0] = 0.6 * (w[0] ** 2 / square - 0.3) * w[0] / norm
    out[1] = 0.0
    for i in range(2, w.size):
        out[i] = (0.4 + 0.1 * i) * w[i] / norm
    along = np.dot(out, w) / square
    for i in range(w.size):
        out[i] = (out[i] - along * w[i]) / norm


def one_side_hot(w, normals, out):
    """Isotropic, with twice the variance at u₀ = √0.3 that it has at −√0.3; σ = SIGMA at u₀ = 0."""
    strength = 2.0 * np.sqrt(1.0 + w[0] / (3.0 * np.sqrt(0.3)))
    for i in range(w.size):
        out[i] = strength * normals[i]


WELLS = CustomLoss(four_wells, four_wells_gradient)


# --- what is expected ---


@dataclass(frozen=True)
class Gas:
    """One row: what is simulated, and T_conf/T, (Var U/T²)/(dU/dT) and Gibbs slope where a closed form has them."""

    title: str
    loss: Any
    noise: Any
    expected: Expected | None = None
    momentum: float = 0.0
    source: str = ""
    protocol: wg.protocols.Protocol = field(default_factory=lambda: wg.FixedSphere(elr=ELR))


def harmonic(variances: np.ndarray, eigenvalues: np.ndarray = A) -> Expected:
    """Of a covariance that stays as it is, at low T, the slope as if its energies were normal: 1/(Var U/RT²)."""
    h, s = eigenvalues[1:] - eigenvalues[0], variances[1:]
    fluctuation = (DIM - 1) * float(np.sum(s**2) / np.sum(s) ** 2)
    return (DIM - 1) * float(h @ s / (h.sum() * s.sum())), fluctuation, 1 / fluctuation


def from_draws(energy: list[np.ndarray], slopes: np.ndarray, laplacian: np.ndarray, noise: np.ndarray) -> Expected:
    """Of draws of the known densities at the four temperatures: energies, and means of ‖∇L‖², ΔL, tr Σ."""
    t = ELR * noise / (2 * (DIM - 1))
    mean, capacity = np.array([e.mean() for e in energy]), np.array([e.var() for e in energy]) / t**2
    ratio = np.sum((capacity[1:] + capacity[:-1]) / 2 * np.diff(t)) / (mean[-1] - mean[0])
    pairs = [
        logistic_slope(a, b)[0] / (1 / x - 1 / y)
        for a, b, x, y in zip(energy[:-1], energy[1:], t[:-1], t[1:], strict=True)
    ]
    return float(np.mean(slopes / laplacian / t)), float(ratio), float(np.mean(pairs))


def dependent(offset: float, slope: float) -> Expected:
    """Quadratic loss, Σ = (offset + slope L) σ²: ρ ∝ D⁻¹ exp(−∫dL/D), from Gibbs draws by their weights."""
    generator = np.random.default_rng(1)
    energies, rows = [], []
    for elr in ELR:
        base = elr * SIGMA**2 / 2
        hot = 3 * base * (offset + slope * ENERGY)  # so that the draws reach into the long tail
        u = Quadratic(A).sample(DIM, hot, 400_000, generator)
        form = Quadratic(A).form(DIM)
        loss = form.loss(u)
        share = offset + slope * loss
        weight = -np.log(share) * (1 + 1 / (base * slope)) + loss / hot
        kept = generator.choice(len(u), 100_000, p=np.exp(weight - weight.max()) / np.exp(weight - weight.max()).sum())
        loss, u = loss[kept], u[kept]
        energies.append(loss)
        rows.append((form.mean_grad_sq(u).mean(), A.sum() - 2 * DIM * loss.mean(), share[kept].mean()))
    gradient, laplacian, share = np.array(rows).T
    return from_draws(energies, gradient, laplacian, share * SIGMA**2 * (DIM - 1))


def exponents(slope: float) -> tuple[np.ndarray, float]:
    """Of the linear loss with Σ = slope L σ²: L/2 has the Beta density of these exponents, (temperatures,) and b."""
    k = ELR * SIGMA**2 * slope / 2
    return (DIM - 3) / 2 - 1 / k, (DIM - 1) / 2


def power_law(slope: float) -> Expected:
    """The same from draws of it."""
    generator = np.random.default_rng(2)
    first, second = exponents(slope)
    energies = [2 * generator.beta(a, second, 200_000) for a in first]
    gradient = np.array([(e * (2 - e)).mean() for e in energies])
    mean = np.array([e.mean() for e in energies])
    return from_draws(energies, gradient, (DIM - 1) * (1 - mean), slope * mean * SIGMA**2 * (DIM - 1))


STRONG = POWER * 2 / (DIM - 3) / (ELR[-1] * SIGMA**2 / 2)


def gases() -> list[Gas]:
    """The rows of the page. All but two have the loss ½ w̄ᵀAw̄, and noise of equal trace in its minimum."""
    well, heat = Quadratic(A), SIGMA**2 * (DIM - 1)
    hessian, uneven = A * heat / A.sum(), np.logspace(-1, 1, DIM)
    uneven *= heat / uneven[1:].sum()
    raised = A[-1] * np.linspace(0.1, 1, DIM)
    alike = raised * heat / raised[1:].sum()
    return [
        Gas("isotropic", well, Isotropic(SIGMA), (1, 1, 1)),
        Gas("∝ loss, with offset", well, LossDependent(0.5 / ENERGY, 0.5, Isotropic(SIGMA)),
            dependent(0.5, 0.5 / ENERGY), source="ρ ∝ D⁻¹ exp(−∫dL/D)"),
        Gas("∝ loss, hot (linear loss)", Linear(), LossDependent(STRONG, 0.0, Isotropic(SIGMA)), power_law(STRONG),
            source="L/2 is Beta"),
        Gas("∝ Hessian, frozen", well, Covariance(hessian, "hessian"), harmonic(hessian), source="low T"),
        Gas("the same, T/10", well, Covariance(hessian / 10, "hessian"), harmonic(hessian), source="low T"),
        Gas("∝ A, eigenvalues 0.2 … 2", Quadratic(raised), Covariance(alike, "∝ A"), harmonic(alike, raised),
            source="low T"),
        Gas("∝ Hessian", well, Hessian(heat / A.sum())),
        Gas("anisotropic, 0.1 … 10", well, Covariance(uneven, "anisotropic"), harmonic(uneven), source="low T"),
        Gas("momentum 0.9", well, Isotropic(SIGMA), (1, 1, 1), momentum=0.9,
            protocol=wg.FixedSphere(elr=ELR / 10)),
        Gas("four wells, isotropic", WELLS, Isotropic(SIGMA), (1, 1, 1)),
        Gas("four wells, one side hot", WELLS, CustomNoise(one_side_hot)),
    ]  # fmt: skip


# --- what is measured ---


@dataclass(frozen=True)
class Row:
    """A gas with its trace, its state and the three numbers of level 3, each with its error."""

    gas: Gas
    trace: xr.Dataset
    state: xr.Dataset
    judged: wg.analysis.Verdict
    found: list[tuple[float, float]]


def measured(gas: Gas) -> Row:
    """Simulate and judge."""
    trace = wg.simulate(
        gas.protocol,
        DIM,
        STEPS,
        loss=gas.loss,
        noise=gas.noise,
        replicas=REPLICAS,
        optimizer=wg.optimizers.SGD(momentum=gas.momentum),
        record=wg.Record(samples=SAMPLES),
        run=wg.Run(progress=False),
    )
    state = wg.measure(trace)
    judged = wg.verdict(trace, state, title=gas.title)
    good = state.isel(cell=np.flatnonzero(state["status"].values == 0))
    f, g = fluctuation_response(state, collect(state, 1.0)), gibbs_slope(trace, state, collect(state, 1.0))
    print(judged.sentence, flush=True)
    # plain means over cells and pairs, which a closed form can have too
    slope = (float(np.nanmean(g.ratio)), float(np.sqrt(np.nansum(g.ratio_err**2)) / np.isfinite(g.ratio).sum()))
    found = [mean_of(good["conf_ratio"], good["conf_ratio_err"]), (f.whole, f.whole_err), slope]
    return Row(gas, trace, state, judged, found)


def mean_of(values: xr.DataArray, errors: xr.DataArray) -> tuple[float, float]:
    """Mean over cells and its standard error."""
    return float(values.mean()), float(np.sqrt(np.sum(errors.values**2)) / len(errors))


def levels(rows: list[Row]) -> list[list[str]]:
    """The table of the three levels: measured, and in brackets expected."""
    out = []
    for row in rows:
        equation = state_equation(row.state)
        level_one = f"{int((row.state['status'].values == 0).sum())} of {len(ELR)}"
        books = with_error(*mean_of(equation["ratio"], equation["ratio_err"]))
        cells = []
        for k, (value, error) in enumerate(row.found):
            expected = "" if row.gas.expected is None else f" ({row.gas.expected[k]:.3g})"
            cells.append(with_error(value, error) + expected)
        ideal = {"yes": "yes", "no": "**no**"}.get(row.judged.hypotheses[2].answer, row.judged.hypotheses[2].answer)
        out.append([row.gas.title, level_one, books, *cells, ideal, row.gas.source])
    return out


def explained(rows: list[Row]) -> list[list[str]]:
    """For the gases that are not ideal: the factors of their fluctuation, as ``analysis.reasons`` has them."""
    out = []
    for row in rows:
        if row.judged.hypotheses[2].answer == "yes" or "noise_dim" not in row.state:
            continue
        why = reasons(row.trace, row.state)
        names = ("fluctuation", "explained", "anisotropy", "dependence", "step_factor", "conf_ratio", "alignment")
        found = [float(np.nanmedian(why[n])) for n in names]
        numbers = [f"{x:.3g}" if x > 0 else "–" for x in found]
        out.append([row.gas.title, *numbers])
    return out


def momentum() -> list[list[str]]:
    """The identities with momentum, in the three protocols and with Nesterov's: Z and radius over their expectation."""
    out = []
    for alpha, nesterov in ((0.0, False), (0.5, False), (0.9, False), (0.9, True)):
        for protocol in (wg.FixedSphere(elr=0.02 * (1 - alpha)), wg.FixedELR(elr=0.02 * (1 - alpha), wd=0.1),
                         wg.FixedLR(lr=0.05 * (1 - alpha), wd=0.05)):  # fmt: skip
            trace = wg.simulate(
                protocol,
                DIM,
                STEPS // 2,
                loss=Quadratic(A),
                replicas=REPLICAS,
                optimizer=wg.optimizers.SGD(momentum=alpha, nesterov=nesterov),
                run=wg.Run(progress=False),
            )
            state = wg.measure(trace)
            z, radius, t = state_equation(state), radius_law(state), state["temperature"]
            felt = state["elr"] * state["noise_trace"] / (2 * (DIM - 1))
            out.append([
                f"{alpha:g}" + (", Nesterov" if nesterov else ""), protocol.title, f"{float(felt[0]):.4f}",
                with_error(float(state["compressibility"][0]), float(state["compressibility_err"][0])),
                f"{float(z['expected'][0]):.4f}",
                "–" if protocol.title == "fixed sphere"
                else with_error(float(radius["ratio_discrete"][0]), float(radius["ratio_err"][0])),
                with_error(float((state["temperature_conf"] / t)[0]), float((state["temperature_conf_err"] / t)[0])),
                f"{momentum_share(state):.3g}",
            ])  # fmt: skip
    return out


# --- noise that dies with the loss ---


def lyapunov(elr: float, k: float) -> float:
    """d ln L/d(η_e t) in the minimum of the linear loss, exact for the step: E ln‖(1 − h)x + h s‖x‖ξ‖² over h."""
    generator = np.random.default_rng(3)
    scale = np.sqrt(k / elr)  # noise variance s²x²: σ² slope L = (σ² slope/2) x²
    along, rest = generator.standard_normal(2_000_000), generator.chisquare(DIM - 2, 2_000_000)
    return float(np.mean(np.log((1 - elr + elr * scale * along) ** 2 + (elr * scale) ** 2 * rest)) / elr)


def dying(share: float) -> tuple[np.ndarray, np.ndarray, float, float, float, str]:
    """Σ ∝ L at k(d − 3)/2 = ``share`` below 1: η_e t, mean ln L, its slope with error, the slope expected, status."""
    elr = 0.005
    k = share * 2 / (DIM - 3)
    slope = 2 * k / (elr * SIGMA**2)
    trace = wg.simulate(
        wg.FixedSphere(elr=elr),
        DIM,
        2400,
        loss=Quadratic(np.append(0.0, np.full(DIM - 1, 1.0))),
        noise=LossDependent(slope, 0.0, Isotropic(SIGMA)),
        replicas=400,
        record=wg.Record(samples=60, warmup=0),
        run=wg.Run(progress=False),
    )
    time = elr * trace["step"].values[0]
    log_loss = np.log(trace["energy"].values[0])
    rates = np.polyfit(time[20:], log_loss[:, 20:].T, 1)[0]
    status = wg.status.names(wg.measure(trace)["status"].values)[0]
    return time, log_loss.mean(axis=0), float(rates.mean()), float(rates.std() / np.sqrt(len(rates))), k, status


def deaths() -> tuple[list[list[str]], list[tuple[np.ndarray, np.ndarray, float]]]:
    """The table and the curves of the runs that converge."""
    table, curves = [], []
    for share in (0.25, 0.5, 0.75):
        time, mean, rate, error, k, status = dying(share)
        table.append([f"{share:g}", with_error(-rate, error), f"{2 - k * (DIM - 3):.3g}", f"{-lyapunov(0.005, k):.3g}",
                      status])  # fmt: skip
        curves.append((time, mean, 2 - k * (DIM - 3)))
    return table, curves


# --- the page ---


def figure(rows: list[Row], curves: list[tuple[np.ndarray, np.ndarray, float]]) -> Figure:
    """Left the three checks of level 3 of every gas with what a closed form states, right noise that dies."""
    drawing = Figure(figsize=(6.9, 4.2), dpi=200, layout="constrained")
    left, right = drawing.subplots(1, 2, width_ratios=(1.75, 1))
    left.axvline(1, color=GREY, lw=0.8)
    for k, name in enumerate(("T_conf/T", "(Var U/T²)/(dU/dT)", "Gibbs slope")):
        place = -np.arange(len(rows)) + (1 - k) * 0.22
        value, error = np.array([row.found[k] for row in rows]).T
        left.errorbar(value, place, xerr=error, fmt="os^"[k], ms=4.5, color=OKABE_ITO[k], label=name, lw=1)
        expected = [row.gas.expected[k] if row.gas.expected else np.nan for row in rows]
        left.plot(expected, place, "|", ms=9, mew=1.3, color="black", label="closed form" if k == 2 else None)
    left.set_xscale("log")
    ticks = (0.2, 0.5, 1, 2, 5)
    left.set_xticks(ticks, [f"{t:g}" for t in ticks])
    left.set_xticks([], minor=True)
    left.set_yticks(-np.arange(len(rows)), [row.gas.title for row in rows], fontsize=8)
    left.set_xlabel("measured, 1 if ideal")
    left.legend(fontsize=7, loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=4, columnspacing=0.8, frameon=False)
    left.set_ylim(-len(rows) + 0.2, 0.6)
    for (time, mean, rate), color, share in zip(curves, OKABE_ITO, (0.25, 0.5, 0.75), strict=False):
        right.plot(time, mean, color=color, lw=1.3, label=f"k(d − 3)/2 = {share:g}")
        right.plot(time[[10, -1]], mean[10] - rate * (time[[10, -1]] - time[10]), "--", color="black", lw=0.8)
    right.set_xlabel(r"$\eta_e t$")
    right.set_ylabel(r"mean $\ln L$, noise ∝ loss")
    right.legend(fontsize=7, frameon=False)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    return drawing


def write(tables: dict[str, tuple[str, list[list[str]]]]) -> None:
    """Put tables, each with its heads joined by |, into the page between ``<!-- NAME -->`` and ``<!-- end -->``."""
    text = PAGE.read_text(encoding="utf-8")
    for name, (heads, lines) in tables.items():
        table = [f"| {heads} |", "|" + "---|" * (heads.count("|") + 1), *(f"| {' | '.join(line)} |" for line in lines)]
        before, rest = text.split(f"<!-- {name} -->\n")
        text = f"{before}<!-- {name} -->\n\n" + "\n".join(table) + "\n\n" + rest[rest.index("<!-- end -->") :]
    PAGE.write_text(text, encoding="utf-8")


def main() -> None:
    """Simulate, write, draw."""
    rows = [measured(gas) for gas in gases()]
    table, curves = deaths()
    checks = "T_conf/T | (Var U/T²)/(dU/dT) | Gibbs slope"
    why = "(Var U/T²)/R | explained | (d−1)/d_eff | 1/(1 − bRT/U) | step factor | T_conf/T | alignment"
    write(
        {
            "levels": (
                f"gas | 1 stationary | 2 Z over (1+SNR)/(1−ηλ/2) | {checks} | C Gibbs density | closed form",
                levels(rows),
            ),
            "explained": (f"gas | {why}", explained(rows)),
            "momentum": ("α | protocol | T | pV/RT | expected | r/expected | T_conf/T | m", momentum()),
            "deaths": ("k(d − 3)/2 | rate of ln L | 2 − k(d − 3) | of the discrete step | status", table),
        }
    )
    figure(rows, curves).savefig(HERE / "gases.png")


if __name__ == "__main__":
    main()
