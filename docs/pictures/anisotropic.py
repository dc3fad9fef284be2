"""Make the table of docs/explanation/anisotropic.md: trained networks against the gas of their curvature and noise.

It takes some ten minutes; what was measured is kept in FOLDER, and the same call resumes.

    python docs/pictures/anisotropic.py runs/answer runs/virial FOLDER

The first folder is that of ``weightgas reproduce answer --preset standard``, of whose runs those on the sphere have
directions; the second that of ``virial.py`` alongside. Only the traces are read. The over-parameterised network is
excluded: its loss comes in bursts, about no well.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import xarray as xr
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


def rows(name: str, network: Network, folder: Path, kept: Path) -> list[str]:
    """A line for every cell in equilibrium of a run with directions."""
    trace = wg.open_trace(folder)
    if "directions" not in trace:
        return []
    settled = np.flatnonzero(wg.measure(trace)["status"].values == Status.EQUILIBRIUM)
    trace = trace.isel(cell=settled)
    if not len(settled):
        return []
    state = wg.measure(trace)
    if kept.exists():
        gas, means = (xr.open_zarr(kept / each, consolidated=False).load() for each in ("gas", "means"))
    else:
        gas, means = (make(trace, network, "digits") for make in (harmonic_gas, mean_weights))
        for each, value in (("gas", gas), ("means", means)):
            value.to_zarr(kept.with_suffix(".new") / each, consolidated=False)
        kept.with_suffix(".new").rename(kept)
    found = anisotropic(trace, state, gas, virial(state, means))

    def ratio(key: str, i: int) -> str:
        value, error = (float(found[k][i]) for k in (key, f"{key}_err"))
        return f"{value:.2f} ± {error:.2f}" if np.isfinite(value) else "–"

    def plain(key: str, i: int) -> str:
        value = float(found[key][i])
        return f"{value:.3f}" if np.isfinite(value) else "–"

    lines = []
    for i in range(len(settled)):
        cells = [name, wg.trace.kind_of(trace).label, f"{float(found['steepest'][i]):.2f}"]
        cells += [ratio(key, i) for key in ("cost", "grad_sq", "energy_variance")]
        cells += [plain("distance", i), plain("slope", i), f"{float(found['samples'][i]):.0f}"]
        lines.append(f"| {' | '.join([*cells, KINDS[int(found['prediction'][i])]])} |")
    return lines


def main() -> None:
    """Measure, compare, write."""
    if len(sys.argv) != 4:
        raise SystemExit(__doc__)
    answer, trained, kept = map(Path, sys.argv[1:])
    kept.mkdir(parents=True, exist_ok=True)
    lines: list[str] = []
    for name, (network, folders) in networks(answer, trained).items():
        if not name.startswith("over"):
            for folder in folders:
                name = name.removeprefix("chosen on: ")
                lines += (new := rows(name, network, folder, kept / f"{name} {folder.name}.kept"))
                print("\n".join(new), flush=True)
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split("<!-- anisotropic -->\n")
    table = "\n".join([f"| {' | '.join(HEAD)} |", "|" + "---|" * len(HEAD), *lines])
    after = rest[rest.index("<!-- end -->") :]
    PAGE.write_text(f"{before}<!-- anisotropic -->\n\n{table}\n\n{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
