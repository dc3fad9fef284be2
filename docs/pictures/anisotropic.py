"""Make the table of docs/explanation/anisotropic.md: trained networks against the gas of their curvature and noise.

It takes some ten minutes.

    python docs/pictures/anisotropic.py runs/answer runs/virial

The first folder is that of ``weightgas reproduce answer --preset standard``, of whose runs those on the sphere have
directions; the second that of ``virial.py`` alongside. Only the traces are read.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from annealing import networks

import weightgas as wg
from weightgas.analysis.anisotropic import KINDS, anisotropic
from weightgas.analysis.virial import virial
from weightgas.networks import Network
from weightgas.status import Status
from weightgas.training import harmonic_gas, mean_weights

PAGE = Path(__file__).parents[1] / "explanation" / "anisotropic.md"
HEAD = (
    "network", "protocol", "η_e h", "(U − L(m))/predicted", "‖∇L‖²/predicted", "Var U/predicted", "distance",
    "Gibbs slope/predicted", "ESS", "",
)  # fmt: skip


def rows(name: str, network: Network, folder: Path) -> list[str]:
    """A line for every cell in equilibrium of a run with directions."""
    trace = wg.open_trace(folder)
    if "directions" not in trace:
        return []
    settled = np.flatnonzero(wg.measure(trace)["status"].values == Status.EQUILIBRIUM)
    trace = trace.isel(cell=settled)
    if not len(settled):
        return []
    state = wg.measure(trace)
    law = virial(state, mean_weights(trace, network, "digits", progress=False))
    found = anisotropic(trace, state, harmonic_gas(trace, network, "digits", wells=24), law)

    def ratio(key: str, i: int) -> str:
        value, error = (float(found[k][i]) for k in (key, f"{key}_err"))
        return f"{value:.2f} ± {error:.2f}" if np.isfinite(value) else "–"

    def plain(key: str, i: int) -> str:
        value = float(found[key][i])
        return f"{value:.3f}" if np.isfinite(value) else "–"

    lines = []
    for i in range(len(settled)):
        cells = [name, trace.attrs["protocol"].replace("_", " "), f"{float(found['steepest'][i]):.2f}"]
        cells += [ratio(key, i) for key in ("cost", "grad_sq", "energy_variance")]
        cells += [plain("distance", i), plain("slope", i), f"{float(found['samples'][i]):.0f}"]
        lines.append(f"| {' | '.join([*cells, KINDS[int(found['prediction'][i])]])} |")
    return lines


def main() -> None:
    """Measure, compare, write."""
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    lines = []
    for name, (network, folders) in networks(*map(Path, sys.argv[1:])).items():
        for folder in folders:
            lines += rows(name.removeprefix("chosen on: "), network, folder)
            print("\n".join(lines), flush=True)
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split("<!-- anisotropic -->\n")
    table = "\n".join([f"| {' | '.join(HEAD)} |", "|" + "---|" * len(HEAD), *lines])
    after = rest[rest.index("<!-- end -->") :]
    PAGE.write_text(f"{before}<!-- anisotropic -->\n\n{table}\n\n{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
