"""Whether another checkout computes the same numbers: ``simulate`` by all methods, ``train``, ``measure``, bit by bit.

    python benchmarks/compare.py OLD_CHECKOUT [NEW_CHECKOUT]

Both checkouts run the same cases with the same seeds on this machine, each in a process of its own; every variable of
the traces and states is compared bit by bit (NaN equals NaN). A variable that only one of the two has is listed. The
last line is JSON: ``ratio`` is the share of the common variables that are equal, 1 if all are.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

RENAMED = {"readings": "samples", "readings_kept": "samples_kept"}
"""Variables of 0.1 and their names of today."""


def protocols(wg: Any, lr: float = 0.02, wd: float = 0.05) -> dict[str, Any]:
    """One small grid for each protocol."""
    return {
        "lr": wg.FixedLR(lr=[lr, 2 * lr], wd=[wd, 3 * wd]),
        "elr": wg.FixedELR(elr=[lr / 2, lr], wd=[wd, 3 * wd]),
        "sphere": wg.FixedSphere(elr=[lr / 2, lr], radius=[1.0, 2.0]),
    }


def skewed(w):
    """A custom loss, of degree 0."""
    square = 0.0
    for x in w:
        square += x * x
    return (w[0] + 0.5 * w[1] * w[1] / np.sqrt(square)) / np.sqrt(square)


def halved(w, normals, out):
    """A custom noise: half as strong along the first axis."""
    for i in range(w.size):
        out[i] = normals[i] * (0.5 if i == 0 else 1.0)


def simulated(wg: Any, call: Callable[..., Any]) -> Iterator[tuple[str, Any]]:
    """Traces of ``simulate`` by every method under every protocol."""
    losses = wg.losses if call.__name__ == "simulate_new" else wg.potentials
    quadratic = losses.Quadratic([0.0, 0.5, 1.0, 2.0])
    cases: dict[str, tuple[int, dict[str, Any]]] = {
        "reduced": (10, {}),
        "full": (3, {"method": "full"}),
        "full with directions": (5, {"method": "full", "snapshots": 20, "snapshot_every": 50}),
        "diagonal": (4, {"loss": quadratic, "noise": losses.Covariance([0.5, 1.0, 1.0, 2.0])}),
        "correlated": (4, {"loss": quadratic, "noise": losses.Covariance(np.eye(4) + 0.3)}),
        "loss-dependent": (4, {"loss": quadratic, "noise": losses.LossDependent(1.0, 0.5)}),
        "hessian": (4, {"loss": quadratic, "noise": losses.Hessian(0.5)}),
        "custom": (4, {"loss": losses.CustomLoss(skewed), "noise": losses.CustomNoise(halved)}),
        "momentum": (6, {"momentum": 0.9}),
        "nesterov": (6, {"momentum": 0.8, "nesterov": True}),
    }
    for name, (dim, how) in cases.items():
        for kind, protocol in protocols(wg).items():
            yield f"{name}, {kind}", call(wg, protocol, dim, 4000, seed=3, replicas=2, samples=40, **how)


def simulate_old(wg: Any, protocol: Any, dim: int, steps: int, *, samples: int, **how: Any) -> Any:
    """``simulate`` of 0.1."""
    how |= {"potential": how.pop("loss")} if "loss" in how else {}
    return wg.simulate(protocol, dim, steps, readings=samples, progress=False, **how)


def simulate_new(wg: Any, protocol: Any, dim: int, steps: int, **how: Any) -> Any:
    """``simulate`` of today."""
    kept = {name: how.pop(name) for name in ("samples", "snapshots", "snapshot_every") if name in how}
    evaluate = wg.Evaluate(method=how.pop("method")) if "method" in how else None
    alpha, nesterov = how.pop("momentum", 0.0), how.pop("nesterov", False)
    if alpha:
        how["optimizer"] = wg.optimizers.SGD(momentum=alpha, nesterov=nesterov)
    run = wg.Run(progress=False)
    return wg.simulate(protocol, dim, steps, record=wg.Record(**kept), evaluate=evaluate, run=run, **how)


def trained(wg: Any, call: Callable[..., Any]) -> Iterator[tuple[str, Any]]:
    """Traces of ``train``, a cell at a time and stacked, and of a convolutional network."""
    small = wg.networks.mlp(hidden=(6, 6))
    for together in (1, 4):
        for kind, protocol in protocols(wg, 0.01, 0.02).items():
            yield f"mlp, {kind}, {together} at once", call(wg, protocol, small, 300, cells_at_once=together)
    convolutional = wg.networks.convnet(2)
    for kind, protocol in protocols(wg, 0.01, 0.02).items():
        yield f"convnet, {kind}", call(wg, protocol, convolutional, 20, cells_at_once=2)


def train_old(wg: Any, protocol: Any, network: Any, steps: int, *, cells_at_once: int) -> Any:
    """``train`` of 0.1."""
    how = {"readings": 20, "snapshots": 4, "snapshot_every": 5}
    return wg.train(protocol, network, "digits", steps, cells_at_once=cells_at_once, progress=False, threads=1, **how)


def train_new(wg: Any, protocol: Any, network: Any, steps: int, *, cells_at_once: int) -> Any:
    """``train`` of today."""
    record = wg.Record(samples=20, snapshots=4, snapshot_every=5)
    run, evaluate = wg.Run(progress=False, threads=1), wg.Evaluate(cells_at_once=cells_at_once)
    return wg.train(protocol, network, "digits", steps, record=record, run=run, evaluate=evaluate)


def child(path: Path) -> None:
    """Compute every case in this process, with the weightgas that it finds, and store the variables at ``path``."""
    import weightgas as wg

    new = hasattr(wg, "Record")
    traces = [*simulated(wg, simulate_new if new else simulate_old), *trained(wg, train_new if new else train_old)]
    arrays = {}
    for name, trace in traces:
        entropies = ("auto", "knn") if "directions" in trace and "full" in name else ("auto",)
        states = {f"measure {entropy}": wg.measure(trace, entropy=entropy) for entropy in entropies}
        for what, data in {"trace": trace, **states}.items():
            for key, variable in data.variables.items():
                if variable.dtype.kind in "biuf":
                    arrays[f"{name} | {what} | {RENAMED.get(str(key), str(key))}"] = variable.values
    np.savez(path, **arrays)


def main() -> None:
    """Run both checkouts and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path, help="the checkout to compare with")
    parser.add_argument("new", type=Path, nargs="?", default=Path(__file__).resolve().parents[1], help="default: this")
    parser.add_argument("--quick", action="store_true", help="accepted for the common command line; changes nothing")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        return child(given.old)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for k, checkout in enumerate((given.old, given.new)):
            place = Path(folder) / f"{k}.npz"
            environment = os.environ | {"PYTHONPATH": str(checkout.resolve() / "src")}
            subprocess.run([sys.executable, __file__, str(place), "--child"], env=environment, check=True)
            with np.load(place, allow_pickle=False) as stored:
                found.append({name: stored[name] for name in stored.files})
    old, new = found
    common = sorted(old.keys() & new.keys())
    differ = [name for name in common if not same(old[name], new[name])]
    for name in differ:
        print(f"differs: {name}: {distance(old[name], new[name])}")
    for which, names in (("old", old.keys() - new.keys()), ("new", new.keys() - old.keys())):
        for variable in sorted({" | ".join(name.split(" | ")[1:]) for name in names}):
            print(f"only in the {which}: {variable}")
    detail = {"common": len(common), "different": len(differ), "cases": len({n.split(" | ")[0] for n in common})}
    equal = 1 - len(differ) / max(len(common), 1)
    print(json.dumps({"benchmark": "compare", "ratio": equal, "unit": "share of equal variables", "detail": detail}))
    sys.exit(1 if differ else 0)


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays are equal bit by bit, NaN counting as equal to NaN."""
    return a.shape == b.shape and a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


def distance(a: np.ndarray, b: np.ndarray) -> str:
    """How far apart two arrays are, in words."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return f"{a.dtype} {a.shape} and {b.dtype} {b.shape}"
    with np.errstate(all="ignore"):
        off = np.abs(a.astype(float) - b.astype(float)) / np.maximum(np.abs(a.astype(float)), 1e-300)
    return f"largest relative difference {np.nanmax(off):.2g}, {int((a != b).sum())} of {a.size} values"


if __name__ == "__main__":
    main()
