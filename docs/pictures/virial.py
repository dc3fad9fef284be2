"""Make the table of docs/explanation/virial.md: U − L(mean weights) against pV in two networks.

They are trained on the digits, for some twenty minutes.

    python docs/pictures/virial.py FOLDER

FOLDER keeps the runs; the same call resumes them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import weightgas as wg
from weightgas.analysis.virial import KINDS, virial
from weightgas.training import mean_weights

PAGE = Path(__file__).parents[1] / "explanation" / "virial.md"
NETWORKS = {"64-20-10": (20,), "64-20-10-10": (20, 10)}
PROTOCOLS = {
    "sphere": wg.FixedSphere(elr=[0.003, 0.01, 0.03], radius=1.0),
    "fixed LR": wg.FixedLR(lr=[0.03, 0.1, 0.3], wd=0.003),
}
HEAD = "network | protocol | η_e or η | U | U − L(m) | pV | (U − L(m))/pV | n | RT | "


def rows(folder: Path) -> list[str]:
    """The lines of the table."""
    found = []
    for name, hidden in NETWORKS.items():
        network = wg.networks.mlp(hidden)
        for kind, protocol in PROTOCOLS.items():
            run = wg.Run(folder / f"{name}-{kind.replace(' ', '-')}", threads=1)
            record = wg.Record(snapshots=800, snapshot_every=30)
            trace = wg.train(protocol, network, "digits", 30_000, replicas=2, record=record, run=run)
            state = wg.measure(trace)
            law = virial(state, mean_weights(trace, network, "digits"))
            ideal = state["temperature"].values * trace.attrs["dof"] / 2
            for i, rate in enumerate(protocol.cells()["lr" if kind == "fixed LR" else "elr"]):

                def value(key: str, digits: int, i: int = i, law=law) -> str:
                    return f"{float(law[key][i]):.{digits}f} ± {float(law[f'{key}_err'][i]):.{digits}f}"

                cells = [
                    name,
                    kind,
                    f"{rate:g}",
                    f"{float(state['energy'][i]):.3f}",
                    value("cost", 5),
                    value("heat", 5),
                ]
                cells += [value("ratio", 3), value("exponent", 2), f"{ideal[i]:.5f}", KINDS[int(law["law"][i])]]
                found.append(f"| {' | '.join(cells)} |")
    return found


def main() -> None:
    """Train, measure, write."""
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    lines = rows(Path(sys.argv[1]))
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split("<!-- law -->\n")
    table = "\n".join([f"| {HEAD}|", "|" + "---|" * HEAD.count("|") + "---|", *lines])
    PAGE.write_text(f"{before}<!-- law -->\n\n{table}\n\n{rest[rest.index('<!-- end -->') :]}", encoding="utf-8")


if __name__ == "__main__":
    main()
