"""Networks on digits, MNIST and Fashion-MNIST under three protocols: the study behind docs/results/networks.md.

    .venv/bin/python docs/pictures/networks.py FOLDER

Makes the runs in FOLDER, each as the command of the page does (what is there already is taken as it is), writes the
tables of the page between their marks and draws ``networks-layers.png`` and ``networks-cold.png`` alongside itself.
Each run states first how long it will take; runs named after FOLDER are excluded, as in ``convnet-fashion``.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from weightgas import experiments
from weightgas.cli import values
from weightgas.experiments import Experiment
from weightgas.experiments.answer import markdown, verdict_table
from weightgas.experiments.summary import select
from weightgas.figures.canvas import MARKERS, OKABE_ITO, canvas, drawn, line, marker, ordered, plain, zero_line
from weightgas.figures.canvas import PROTOCOLS as LOOKS
from weightgas.report.tables import status_counts
from weightgas.rounding import with_error
from weightgas.settings import Run
from weightgas.status import Status

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "results" / "networks.md"
PROTOCOLS = ("fixed_sphere", "fixed_elr", "fixed_lr")


@dataclass(frozen=True)
class Study:
    """One command of the page."""

    name: str
    net: str
    data: str
    steps: int | None = None
    hidden: str | None = None
    per_class: int | None = None

    @property
    def command(self) -> str:
        """What the page shows to type."""
        options = {"net": self.net, "hidden": self.hidden, "data": self.data, "per-class": self.per_class}
        options["steps"] = self.steps
        given = " ".join(f"--{key} {value}" for key, value in options.items() if value is not None)
        return f"weightgas reproduce networks --preset quick {given}"

    def run(self, folder: Path) -> Experiment:
        """Run it, or take what is there."""
        return experiments.reproduce(
            "networks",
            "quick",
            network=values.network_of(self.net, self.hidden),
            data=values.images_of(self.data, per_class=self.per_class),
            steps=self.steps,
            command=self.command,
            run=Run(folder / self.name, threads=1),
        )


STUDIES = (
    Study("mlp-digits", "mlp", "digits", 60_000, hidden="20,20"),
    Study("convnet-digits", "convnet:2", "digits", 20_000),
    Study("resnet18-digits", "resnet18:2", "digits", 1000),
    Study("mlp-mnist", "mlp", "mnist", hidden="20,20"),
    Study("mlp-fashion", "mlp", "fashion_mnist_14", 12_000, hidden="20,20"),
    Study("convnet-fashion", "convnet:2", "fashion_mnist_14", 4500),
    Study("convnet-few-digits", "convnet:2", "digits", 3000, per_class=15),
    Study("mlp-few-digits", "mlp", "digits", 20_000, hidden="64,64", per_class=15),
)


def commands(studies: dict[Study, Experiment]) -> str:
    """What ran: sizes, and whether the data could be fitted."""
    head = ("run", "command", "d", "groups", "images", "d / (images × classes)")
    rows = []
    for study, found in studies.items():
        about = next(iter(found.findings.values())).state.attrs
        images = len(values.images_of(study.data, per_class=study.per_class))
        ratio = about["dim"] / (images * about["classes"])
        sizes = (str(about["dim"]), str(np.size(about["group_sizes"])), str(images), f"{ratio:.2g}")
        rows.append((study.name, f"`{study.command}`", *sizes))
    return markdown(head, rows)


def levels(studies: dict[Study, Experiment]) -> str:
    """The three levels of every run, with its controls."""
    parts = []
    for study, found in studies.items():
        state = next(iter(found.findings.values())).state
        parts.append(f"**{study.name}**: {state.attrs['network']}, {state.attrs['steps']} steps")
        parts.append(verdict_table(select(found.judged, "networks"), found.controls.get("networks", {})))
    return "\n\n".join(parts)


def regimes(studies: dict[Study, Experiment]) -> str:
    """The status of every cell, by protocol, the range of η_e in equilibrium, and what is slow."""
    head = ("run", "protocol", "cells", "η_e in equilibrium", "energy there", "ESS of the loss", "of the direction")
    rows = []
    for study, found in studies.items():
        for name, run in select(found.findings, "networks").items():
            state, good = run.state, run.settled
            spans = (_span(state["elr"].values[good]), _span(state["energy"].values[good]))
            sizes = (_median(state[size].values) for size in ("ess", "ess_direction"))
            rows.append((study.name, plain(name), status_counts(state), *spans, *sizes))
    return markdown(head, rows)


def cold(studies: dict[Study, Experiment]) -> str:
    """The cold cells along their run: loss and noise of the first and the last quarter."""
    head = ("run", "η_e", "λ", "loss, first quarter", "last quarter", "tr Σ, first quarter", "last quarter", "status")
    rows = []
    for study, found in studies.items():
        run = found.findings["networks/along_run"]
        trace, state = run.traced, run.state
        for i in range(trace.sizes["cell"]):
            ends = [_quarter(trace, i, name, which) for name in ("energy", "noise_trace") for which in (0, 3)]
            status = Status(int(state["status"][i])).name.lower().replace("_", " ")
            held = (f"{float(trace[f'{axis}_set'][i]):.3g}" for axis in ("elr", "wd"))
            rows.append((study.name, *held, *(f"{x:.3g}" for x in ends), status))
    return markdown(head, rows)


def layers(studies: dict[Study, Experiment]) -> str:
    """Every layer of every run, and the sums."""
    head = ("run", "protocol", "layer", "groups", "R", "V", "T_i/T", "p_i/p", "share of RT")
    rows = []
    for study, found in studies.items():
        for protocol, mean in gases_of(found).items():
            for k, part in enumerate(mean["part"].values):
                numbers = (
                    with_error(float(mean[n].values[k]), float(mean[f"{n}_err"].values[k]))
                    for n in ("volume", "temperature_ratio", "pressure_ratio", "heat_share")
                )
                sizes = (f"{int(mean['groups'][k])}", f"{float(mean['dof'][k]) / 2:g}")
                rows.append((study.name, plain(protocol), str(part), *sizes, *numbers))
            sums = (f"**{float(mean[n]):.5f}**" for n in ("volume_sum", "work_sum", "heat_sum"))
            v, w, h = sums
            total = f"{float(mean['dof'].sum()) / 2:g}"
            rows.append((study.name, plain(protocol), "**sum / total**", "", total, f"V {v}", "", f"pV {w}", f"RT {h}"))
    return markdown(head, rows)


def gases_of(found: Experiment) -> dict[str, xr.Dataset]:
    """The layers of every protocol that has cells in equilibrium."""
    runs = {p: found.findings[f"networks/{p}"] for p in PROTOCOLS}
    return {p: run.layers for p, run in runs.items() if run.settled.any()}


@drawn
def layers_figure(studies: dict[Study, Experiment]) -> Figure:
    """T_i/T and p_i/p of every layer, a row for each run."""
    settled = {study.name: gases for study, found in studies.items() if (gases := gases_of(found))}
    sheet = canvas([1.75] * len(settled), 2)
    for row, (title, gases) in zip(sheet.axes, settled.items(), strict=True):
        for ax, name, label in zip(row, ("temperature_ratio", "pressure_ratio"), (r"$T_i/T$", r"$p_i/p$"), strict=True):
            zero_line(ax, 1.0)
            for protocol, mean in gases.items():
                k = LOOKS.index(protocol)
                place, error = np.arange(mean.sizes["part"]) + 0.16 * (1 - k), mean[f"{name}_err"]
                ax.errorbar(place, mean[name], error, fmt=MARKERS[k], ms=3.5, color=OKABE_ITO[k], elinewidth=0.8)
                parts = [str(part) for part in mean["part"].values]
                turned = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if len(parts) > 4 else {}
                ax.set_xticks(range(len(parts)), parts, **turned)
                ax.set_xlim(-0.5, len(parts) - 0.5)
            ax.set(ylabel=label)
        row[0].set_yscale("log")
        row[0].set_title(title)
    handles = [marker(plain(p), OKABE_ITO[LOOKS.index(p)], MARKERS[LOOKS.index(p)]) for p in PROTOCOLS]
    return sheet.finished(handles, columns=3)


@drawn
def cold_figure(studies: dict[Study, Experiment]) -> Figure:
    """Loss and noise of the cold cells along their run, a row for each run and a colour for each η_e."""
    sheet = canvas([1.5] * len(studies), 2)
    labels: list[str] = []
    for row, (study, found) in zip(sheet.axes, studies.items(), strict=True):
        trace = found.findings["networks/along_run"].traced
        labels = [rf"$\eta_e$ = {rate:.2g}" for rate in trace["elr_set"].values]
        for ax, name in zip(row, ("energy", "noise_trace"), strict=True):
            for i, color in enumerate(ordered(trace.sizes["cell"])):
                value = trace[name].values[i, 0]
                known = np.isfinite(value)
                ax.plot(trace["step"].values[i][known], value[known], color=color, lw=0.9)
            ax.set(xscale="log", yscale="log", xlim=(1, 1e5))
        row[0].set(title=study.name, ylabel="energy (loss)")
        row[1].set(ylabel=r"$\mathrm{tr}\,\Sigma$")
    for ax in sheet.axes[-1]:
        ax.set(xlabel="step")
    handles = [line(label, color=color) for label, color in zip(labels, ordered(len(labels)), strict=True)]
    return sheet.finished(handles, columns=4)


def _quarter(trace: xr.Dataset, cell: int, name: str, which: int) -> float:
    series = trace[name].values[cell, 0, : int(trace["samples"].values[cell, 0])]
    return float(np.nanmean(np.array_split(series, 4)[which]))


def _median(series: np.ndarray) -> str:
    finite = series[np.isfinite(series)]
    return f"{np.median(finite):.1f}" if finite.size else "–"


def _span(series: np.ndarray) -> str:
    finite = series[np.isfinite(series)]
    return f"{finite.min():.2g} to {finite.max():.2g}" if finite.size else "–"


def write(tables: dict[str, str]) -> None:
    """Put each table into the page between ``<!-- NAME -->`` and ``<!-- end -->``."""
    text = PAGE.read_text(encoding="utf-8")
    for name, table in tables.items():
        before, rest = text.split(f"<!-- {name} -->\n")
        text = f"{before}<!-- {name} -->\n\n{table}\n\n" + rest[rest.index("<!-- end -->") :]
    PAGE.write_text(text, encoding="utf-8")


def main(folder: str, *left_out: str) -> None:
    """Run, write, draw."""
    studies = {study: study.run(Path(folder)) for study in STUDIES if study.name not in left_out}
    made = {f.__name__: f(studies) for f in (commands, levels, regimes, cold, layers)}
    write(made)
    layers_figure(studies).savefig(HERE / "networks-layers.png")
    cold_figure(studies).savefig(HERE / "networks-cold.png")


if __name__ == "__main__":
    main(*sys.argv[1:])
