"""The table and the figure of docs/explanation/finite-steps.md.

    python docs/pictures/finite_steps.py        (about five minutes)

Each point is 16 runs of the isotropic noise model at (d−1)T = 1/2, so that every η_e is as stable in every dimension.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import weightgas as wg
from weightgas.losses import Isotropic
from weightgas.protocols import named
from weightgas.theory import vmf
from weightgas.theory.stationary import gibbs_slope, response_ratio, stationary_state, stationary_values

HERE = Path(__file__).parent
ELR, DIMS, WD = (0.01, 0.03, 0.1, 0.2), (3, 10, 100), 0.1
TITLES = {"fixed_sphere": "fixed sphere", "fixed_elr": "fixed ELR", "fixed_lr": "fixed LR"}
HEAT = 0.5
"""(d − 1) T."""


def point(protocol: str, dim: int, elr: float) -> tuple[object, dict[str, float], float]:
    """The protocol of a run with E[η/r²] about ``elr``, its two hyperparameters, and σ²."""
    t = HEAT / (dim - 1)
    noise_var = 2 * t / elr
    if protocol == "fixed_sphere":
        return wg.FixedSphere(elr, 1.0), {"elr": elr, "radius": 1.0}, noise_var
    if protocol == "fixed_elr":
        return wg.FixedELR(elr, WD), {"elr": elr, "wd": WD}, noise_var
    growth = elr**2 * (dim - 1) * (noise_var + t * (1 - float(vmf.energy(dim, t))))
    lr = float(1 - np.sqrt(1 - growth)) / WD
    return wg.FixedLR(lr, WD), {"lr": lr, "wd": WD}, noise_var


def compared(protocol: str, dim: int, elr: float) -> list[str]:
    """One row: predicted and measured U, r and S(w̄), distances in standard errors, and that of the first order."""
    cells, held, noise_var = point(protocol, dim, elr)
    theory = stationary_values(named(protocol), dim, held, noise_var)
    steps = int(np.clip(40_000 / elr, 400_000, 4_000_000))
    noise = Isotropic(float(np.sqrt(noise_var)))
    trace = wg.simulate(cells, dim, steps, noise=noise, replicas=16, run=wg.Run(progress=False))  # type: ignore[arg-type]
    state = wg.measure(trace)
    row, first = [TITLES[protocol], str(dim), f"{elr:g}"], ""
    for name in ("energy", "radius", "entropy_direction"):
        expected, value, error = float(theory[name]), state[name].item(), state[f"{name}_err"].item()
        if name == "radius" and protocol == "fixed_sphere":
            row.append("held")
            continue
        digits = int(np.clip(1 - np.floor(np.log10(error)), 0, 7))
        z = (value - expected) / error
        row.append(f"{expected:.{digits}f}, {value:.{digits}f} ± {error:.{digits}f} ({z:+.1f})")
        if name == "energy":
            t, h = theory["temperature"], theory["elr"]
            closed = vmf.energy(dim, t) + vmf.finite_step_energy(dim, t, h, named(protocol))
            first = f"{(value - float(closed)) / error:+.1f}"
    return [*row, first]


def level_three() -> list[list[str]]:
    """What an ideal gas shows at level 3 before the step is taken out, at d = 10."""
    rows = []
    for protocol in TITLES:
        for elr in ELR:
            _, held, noise_var = point(protocol, 10, elr)
            size = named(protocol).step_number(held)
            pair = [stationary_state(named(protocol), 10, size * f, noise_var) for f in (0.8, 1.0)]
            slope = gibbs_slope(*pair) / (1 / pair[0].temperature - 1 / pair[1].temperature)
            values = (pair[1].conf_ratio, 1 / response_ratio(named(protocol), 10, size, noise_var), slope)
            rows.append([TITLES[protocol], f"{elr:g}", *(f"{v:.4f}" for v in values)])
    return rows


def figure() -> Figure:
    """δU/U over η_e at (d−1)T = 1/2: to all orders and to first order."""
    drawing = Figure(figsize=(6.3, 2.9), dpi=200, layout="constrained")
    axes = drawing.subplots(1, 3, sharey=True)
    grid = np.geomspace(0.005, 0.2, 16)
    for ax, (protocol, title) in zip(axes, TITLES.items(), strict=True):
        for dim, color in zip(DIMS, ("#0072B2", "#D55E00", "#009E73"), strict=True):
            found = []
            for elr in grid:
                _, held, noise_var = point(protocol, dim, elr)
                s = stationary_values(named(protocol), dim, held, noise_var)
                plain = vmf.energy(dim, s["temperature"])
                first = vmf.finite_step_energy(dim, s["temperature"], s["elr"], named(protocol))
                found.append((s["elr"], s["energy"] / plain - 1, first / plain))
            x, full, first = np.array(found, dtype=float).T
            ax.plot(x, 100 * full, color=color, label=f"$d = {dim}$")
            ax.plot(x, 100 * first, color=color, ls="--", lw=0.9)
        ax.set(title=title, xlabel=r"effective learning rate $\eta_e$")
        ax.axhline(0, color="0.6", lw=0.8)
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("U above von Mises–Fisher (%)")
    axes[0].legend(frameon=False, fontsize=8, title="dashed: first order", title_fontsize=8)
    return drawing


def write(name: str, heads: str, rows: list[list[str]]) -> None:
    """Put a table into the page between ``<!-- NAME -->`` and ``<!-- end -->``."""
    page = HERE.parent / "explanation" / "finite-steps.md"
    text = page.read_text(encoding="utf-8")
    lines = [f"| {heads} |", "|" + "---|" * (heads.count("|") + 1), *(f"| {' | '.join(row)} |" for row in rows)]
    before, rest = text.split(f"<!-- {name} -->\n")
    text = f"{before}<!-- {name} -->\n\n" + "\n".join(lines) + "\n\n" + rest[rest.index("<!-- end -->") :]
    page.write_text(text, encoding="utf-8")


def main() -> None:
    """Simulate, compare, draw, write."""
    rows = [compared(protocol, dim, elr) for protocol in TITLES for dim in DIMS for elr in ELR]
    write("points", "protocol | d | η_e | U | r | S(w̄) | U by the first order, z", rows)
    write("evidence", "protocol | η_e | T_conf/T | (Var U/T²)/(dU/dT) | Gibbs slope", level_three())
    figure().savefig(HERE / "finite-steps.png")


if __name__ == "__main__":
    main()
