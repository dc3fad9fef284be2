"""Whether another checkout computes the same numbers: ``simulate`` by all methods, ``train``, ``measure``, bit by bit.

    python benchmarks/compare.py OLD_CHECKOUT [NEW_CHECKOUT]
    python benchmarks/compare.py OLD_CHECKOUT [NEW_CHECKOUT] --times 15

Both checkouts run the same cases with the same seeds on this machine, each in a process of its own; every variable of
the traces and states is compared bit by bit (NaN equals NaN). A variable that only one of the two has is listed. The
last line is JSON: ``ratio`` is the share of the common variables that are equal, 1 if all are.

With ``--times`` the same cases, longer, and ``watch`` and ``symmetries`` are timed instead. Both processes stay, and
run each case in turn, so that neither side has the quieter hour; the first round compiles and does not count. Each has
one thread, and its processor time counts; of all rounds the least, since other work on the machine only adds. A case
that only one side has is listed. ``ratio`` is the time of the old over that of the new, the median over cases;
``detail`` has every case.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

RENAMED = {"readings": "samples", "readings_kept": "samples_kept"}
RENAMED |= {f"{name}_drift{end}": f"{name}_trend{end}" for name in ("radius", "energy", "share") for end in ("", "_z")}
RENAMED |= {
    "noise_drift": "noise_trend",
    "pressure_drift": "pressure_signal",
    "pressure_drift_err": "pressure_signal_err",
}
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


Cases = Iterator[tuple[str, Callable[[], Any]]]
"""Names, and what computes a trace."""


def simulated(wg: Any, call: Callable[..., Any], steps: int = 4000) -> Cases:
    """``simulate`` by every method under every protocol."""
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
            yield f"{name}, {kind}", partial(call, wg, protocol, dim, steps, seed=3, replicas=2, samples=40, **how)


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


def trained(wg: Any, call: Callable[..., Any], steps: int = 300) -> Cases:
    """``train``, a cell at a time and stacked, and of a convolutional network."""
    small = wg.networks.mlp(hidden=(6, 6))
    for together in (1, 4):
        for kind, protocol in protocols(wg, 0.01, 0.02).items():
            yield f"mlp, {kind}, {together} at once", partial(call, wg, protocol, small, steps, cells_at_once=together)
    convolutional = wg.networks.convnet(2)
    for kind, protocol in protocols(wg, 0.01, 0.02).items():
        yield f"convnet, {kind}", partial(call, wg, protocol, convolutional, max(20, steps // 15), cells_at_once=2)


def train_old(wg: Any, protocol: Any, network: Any, steps: int, *, cells_at_once: int) -> Any:
    """``train`` of 0.1."""
    how = {"readings": 20, "snapshots": 4, "snapshot_every": 5}
    return wg.train(protocol, network, "digits", steps, cells_at_once=cells_at_once, progress=False, threads=1, **how)


def train_new(wg: Any, protocol: Any, network: Any, steps: int, *, cells_at_once: int) -> Any:
    """``train`` of today."""
    record = wg.Record(samples=20, snapshots=4, snapshot_every=5)
    run, evaluate = wg.Run(progress=False, threads=1), wg.Evaluate(cells_at_once=cells_at_once)
    return wg.train(protocol, network, "digits", steps, record=record, run=run, evaluate=evaluate)


def cases_of(wg: Any, *steps: int) -> dict[str, Callable[[], Any]]:
    """Every case of simulation and training of this version of weightgas."""
    new = hasattr(wg, "Record")
    calls = (simulate_new, train_new) if new else (simulate_old, train_old)
    return {**dict(simulated(wg, calls[0], *steps[:1])), **dict(trained(wg, calls[1], *steps[1:]))}


def timed() -> None:
    """Read the name of a case from the input, run it, print its processor seconds; first print the names of all."""
    import torch
    from monitor_overhead import loop, resnet

    import weightgas as wg

    torch.set_num_threads(1)
    cases = cases_of(wg, 1_000_000, 400)
    for name in ("full with directions, lr", "mlp, lr, 4 at once"):
        cases[f"measure: {name}"] = partial(wg.measure, cases[name]())
    cases["watch: mlp, 400 steps"] = partial(loop, "mlp", 400, watched=True)
    network, images = resnet(8), torch.randn(8, 3, 32, 32)
    batches = [(images, torch.arange(8))]
    cases["symmetries: ResNet-18 of width 8"] = partial(wg.symmetries, network, loss_fn=cross_entropy, batches=batches)
    print(json.dumps(list(cases)), flush=True)
    for line in sys.stdin:
        begun = time.process_time()
        cases[line.rstrip()]()
        print(time.process_time() - begun, flush=True)


def cross_entropy(model: Any, batch: Any) -> Any:
    """The loss of a batch."""
    from torch.nn.functional import cross_entropy as loss

    return loss(model(batch[0]), batch[1])


def child(path: Path) -> None:
    """Compute every case in this process, with the weightgas that it finds, and store the variables at ``path``."""
    import weightgas as wg

    arrays = {}
    for name, case in cases_of(wg).items():
        trace = case()
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
    parser.add_argument("old", type=Path, nargs="?", help="the checkout to compare with")
    parser.add_argument("new", type=Path, nargs="?", default=Path(__file__).resolve().parents[1], help="default: this")
    parser.add_argument("--quick", action="store_true", help="accepted for the common command line; changes nothing")
    parser.add_argument("--times", type=int, metavar="ROUNDS", help="time both instead, this many times in turn")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        return timed() if given.times else child(given.old)
    if given.old is None:  # as in `make bench`, which knows of no other checkout
        print(json.dumps({"benchmark": "compare", "ratio": None, "unit": "name a checkout to compare with"}))
        return
    if given.times:
        return times((given.old, given.new), given.times)
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


def times(checkouts: tuple[Path, Path], rounds: int) -> None:
    """Run every case of both checkouts in turn, and print how long they took."""
    sides = []
    for checkout in checkouts:
        environment = os.environ | {"PYTHONPATH": str(checkout.resolve() / "src"), "NUMBA_NUM_THREADS": "1"}
        command = [sys.executable, __file__, ".", "--child", "--times", "1"]
        sides.append(
            subprocess.Popen(command, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        )
    names = [json.loads(answer(side)) for side in sides]
    for which, only in (("old", set(names[0]) - set(names[1])), ("new", set(names[1]) - set(names[0]))):
        for name in sorted(only):
            print(f"only in the {which}: {name}")
    ratios, detail = [], {}
    for name in names[0]:
        if name not in names[1]:
            continue
        pairs = [[float(answer(side, name)) for side in sides] for _ in range(rounds + 1)][1:]
        old, new = (min(each) for each in zip(*pairs, strict=True))
        ratios.append(old / new)
        detail[name] = f"{old / new:.3f} of {1e3 * old:.0f} ms"
        print(f"{name}: {detail[name]}", flush=True)
    for side in sides:
        side.communicate()
    ratio = round(statistics.median(ratios), 3)
    print(
        json.dumps({"benchmark": "compare", "ratio": ratio, "unit": "time of the old over the new", "detail": detail})
    )


def answer(side: subprocess.Popen[str], name: str = "") -> str:
    """What a process prints next, of the case if one is named."""
    assert side.stdin
    assert side.stdout
    if name:
        side.stdin.write(f"{name}\n")
        side.stdin.flush()
    return side.stdout.readline() or sys.exit(f"a process ended at {name or 'its start'}")


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
