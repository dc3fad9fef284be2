"""The picture of README.md and of the home page: the model on theory; a network off it, and on the virial law.

    .venv/bin/python docs/pictures/home.py

Simulates a grid smaller than the paper's and trains four cells of a perceptron, some minutes in all, and writes
``home.png`` next to itself.
"""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import weightgas as wg
from weightgas.analysis import virial
from weightgas.theory import vmf
from weightgas.training import mean_weights

BLUE, ORANGE, GREEN = "#0072b2", "#d55e00", "#009e73"


def model(axes: Axes) -> None:
    """Energy of the isotropic noise model over temperature, and von Mises–Fisher's."""
    protocol = wg.FixedLR(lr=np.logspace(-3, -1, 9), wd=np.logspace(-3, -1, 5))
    state = wg.measure(wg.simulate(protocol, dim=3, steps=2_000_000, seed=0))
    t = np.geomspace(float(state["temperature"].min()) * 0.8, float(state["temperature"].max()) * 1.25, 100)
    axes.plot(t, vmf.energy(3, t), color="black", lw=1, label="theory: von Mises–Fisher")
    axes.errorbar(
        state["temperature"], state["energy"], yerr=state["energy_err"], fmt="o", ms=4, color=BLUE, label="45 cells"
    )
    axes.set(xlabel="temperature T", ylabel="energy U", title="Isotropic noise model: an ideal gas")


def network(axes: Axes) -> None:
    """A perceptron on digits: the cost of noise on pV, and the temperature of the loss off that of the noise."""
    net = wg.networks.mlp(hidden=(20,))
    protocol = wg.FixedLR(lr=np.geomspace(0.05, 0.4, 4), wd=0.003)
    trace = wg.train(protocol, net, "digits", 40_000, replicas=2, record=wg.Record(means=16))
    state = wg.measure(trace)
    law = virial(state, mean_weights(trace, net, "digits"))
    rt = state["temperature"] * state.attrs["dof"] / 2
    print("T_conf/T", state["conf_ratio"].values.round(1), "(U − L(m))/pV", law["ratio"].values.round(2))
    ends = np.array([float(rt.min()) * 0.7, float(law["heat"].max()) * 1.4])
    axes.plot(ends, ends, color="black", lw=1, label="measured = predicted")
    axes.plot(ends, 10 * ends, color="grey", lw=1, ls="--", label="ten times")
    axes.errorbar(
        rt, rt * state["conf_ratio"], yerr=rt * state["conf_ratio_err"], fmt="s", ms=5, color=ORANGE,
        label="ideal gas: R T_conf over RT",
    )  # fmt: skip
    axes.errorbar(
        law["heat"], law["cost"], yerr=law["cost_err"], fmt="o", ms=5, color=GREEN, label="virial law: U − L(m) over pV"
    )
    axes.set(xlabel="predicted", ylabel="measured", title="A network on digits: not ideal, but virial")


def main() -> None:
    """Simulate, train, draw."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes, draw in ((left, model), (right, network)):
        draw(axes)
        axes.set(xscale="log", yscale="log")
        axes.title.set_size(11)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8)
    figure.savefig(Path(__file__).resolve().parent / "home.png", dpi=150)


if __name__ == "__main__":
    main()
