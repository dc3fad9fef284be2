"""The figure of docs/explanation/paths.md: four paths, what haste costs there and back, and a heat engine.

    .venv/bin/python docs/pictures/paths.py

About five minutes on one core. Writes ``paths.png`` alongside itself and prints the numbers of the page.
"""

from pathlib import Path

import numpy as np

import weightgas as wg
from weightgas import paths
from weightgas.rounding import with_error

NOISE = wg.losses.Isotropic(sigma=2.0)  # T = 2 η_e: 0.02 at the common start, where V = 1 and p = 0.02
SLOW, FAST = 200_000, 1500


def main() -> None:
    """Drive, measure, print, draw."""
    four = {
        "isotherm": paths.isotherm(elr=0.01, wd=(0.02, 0.005)),
        "isobar": paths.isobar(wd=0.02, elr=(0.01, 0.04)),
        "isochore": paths.isochore(radius=np.sqrt(2), elr=(0.01, 0.04)),
        "adiabat": paths.adiabat(lr=0.02, wd=(0.02, 0.005)),
    }
    courses = {name: wg.drive(path, steps=SLOW, noise=NOISE, replicas=1000) for name, path in four.items()}
    for name, course in courses.items():
        balance(name, course)
    courses["isotherm, fast"] = wg.drive(four["isotherm"], steps=FAST, noise=NOISE, replicas=1000)
    costs = {
        "isochore (lag)": wg.experiments.dissipation(
            paths.isochore(radius=1.0, elr=(0.02, 0.08)), [1, 3, 10, 30, 100, 300, 1000, 3000], replicas=40_000
        ),
        "isotherm (friction)": wg.experiments.dissipation(
            paths.isotherm(elr=0.02, wd=(0.01, 0.04)), [10, 30, 100, 300, 1000, 3000, 10_000, 30_000],
            noise=NOISE, replicas=2000,
        ),
    }  # fmt: skip
    for name, found in costs.items():
        dissipation(name, found)
    engine = wg.experiments.carnot((0.01, 0.005), (1.0, 2.0), [300, 1000, 3000, 10_000, 30_000], noise=NOISE)
    print("engine: Carnot", float(engine["carnot"]), "limit of the finite step", float(engine["limit"]))
    for n in range(engine.sizes["duration"]):
        one = engine.isel(duration=n)
        print(f"  {int(one.duration)} steps: {with_error(float(one.efficiency), float(one.efficiency_err))}, "
              f"linear response {float(one.slow):.4f}")  # fmt: skip
    figure = wg.figures.paths(courses, dissipation=costs, engine=engine)
    figure.savefig(Path(__file__).resolve().parent / "paths.png", dpi=200)


def balance(name: str, course) -> None:
    """One row of the table: measured, and quasi-static in parentheses."""
    measured, slow = wg.balance(course).isel(sample=-1), wg.driving.quasi_static(course).isel(sample=-1)
    start = wg.balance(course).isel(sample=0)
    cells = [name]
    for key in ("work", "heat", "exchanged"):
        value, error = float(measured[key]), float(measured[f"{key}_err"])
        cells.append(f"{with_error(value, error)} ({float(slow[key]):.4g})")
    change = float(measured["entropy"] - start["entropy"])
    error = float(np.hypot(measured["entropy_err"], start["entropy_err"]))
    exact = float(slow["entropy"] - wg.driving.quasi_static(course)["entropy"][0])
    response = wg.driving.linear_response(course)["entropy_production"].isel(sample=-1)
    produced = with_error(float(measured["entropy_production"]), float(measured["entropy_production_err"]))
    expected = float(response + slow["entropy_production"])
    print("|", " | ".join([*cells, f"{with_error(change, error)} ({exact:.3g})", f"{produced} ({expected:.3f})"]), "|")


def dissipation(name: str, found) -> None:
    """The exponent and the coefficient at the slowest drives."""
    slope, error = wg.experiments.exponent(found)
    print(f"{name}: exponent {with_error(slope, error)}")
    for n in range(found.sizes["duration"]):
        one = found.isel(duration=n)
        ratio, error = float(one.produced / one.slow), float(one.produced_err / one.slow)
        print(f"  {int(one.duration)} steps, {float(one.duration / one.relaxation):.2g} relaxation times: "
              f"{with_error(float(one.produced), float(one.produced_err))} nats, of linear response "
              f"{with_error(ratio, error)}")  # fmt: skip


if __name__ == "__main__":
    main()
