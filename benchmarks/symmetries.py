"""Time of ``symmetries`` on the paper's pre-activation ResNet-18 against the limit of 10 seconds.

One thread, 3 × 32 × 32 images in batches of 8, the network at an eighth of its usual width. The answer must be exact,
8 single tensors and 4 residual streams, before the time counts; ``detail`` has the paper's widths 4 and 32 (d = 43 692
and 2 790 240; 32 also in batches of 4) and the other test networks, all of them compared with what is known of them.
The fastest of three calls counts. ``ratio`` is 10 s over the time.

    python benchmarks/symmetries.py [--quick]
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from architectures import CASES, PreActivationResNet, image_batches, images_loss
from weightgas.symmetry import Symmetries, symmetries

LIMIT = 10.0
PAPER = "pre-activation ResNet-18"


def check(name: str, found: Symmetries) -> None:
    """Stop unless the answer is the entire truth."""
    case = CASES[name]
    groups = {frozenset(group.parameters) for group in found.scale_invariant}
    rescalings = {frozenset(zip(g.parameters, g.exponents, strict=True)) for g in found.rescalings}
    assert groups == set(map(frozenset, case.invariant)), f"{name}: wrong groups\n{found}"
    assert rescalings == {frozenset(r.items()) for r in case.rescalings}, f"{name}: wrong rescalings\n{found}"
    assert set(found.inert) == set(case.inert), f"{name}: wrong inert parameters\n{found}"


def main() -> None:
    """Time the paper's network and the small ones, and print one JSON line."""
    quick = "--quick" in sys.argv
    torch.set_num_threads(1)
    torch.manual_seed(0)
    width, side = (4, 16) if quick else (8, 32)
    network, batches = PreActivationResNet(width), image_batches((3, side, side))
    seconds = []
    for _ in range(1 if quick else 3):
        begun = time.perf_counter()
        found = symmetries(network, images_loss, batches)
        seconds.append(time.perf_counter() - begun)
        check(PAPER, found)
    print(found)
    detail: dict[str, float | str] = {"width": width, "seconds": round(min(seconds), 2), "gap": f"{found.gap:.0e}"}
    for other, batch in () if quick else ((4, 8), (32, 8), (32, 4)):
        network = PreActivationResNet(other)
        batches = [tuple(part[:batch] for part in whole) for whole in image_batches((3, side, side))]
        begun = time.perf_counter()
        check(PAPER, symmetries(network, images_loss, batches))
        detail[f"seconds, width {other}, batches of {batch}"] = round(time.perf_counter() - begun, 2)
    for name, case in CASES.items():
        begun = time.perf_counter()
        check(name, symmetries(case.make(), case.loss_fn, case.batches()))
        detail[f"seconds, small {name}"] = round(time.perf_counter() - begun, 2)
    ratio = round(LIMIT / min(seconds), 1)
    print(json.dumps({"benchmark": "symmetries", "ratio": ratio, "unit": "times below 10 s", "detail": detail}))


if __name__ == "__main__":
    main()
