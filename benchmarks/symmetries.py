"""Time of ``symmetries`` on the paper's pre-activation ResNet-18 against the limit of 10 seconds.

One thread, 3 × 32 × 32 images in batches of 8, the network at its usual width of 64 (an eighth of it with --quick).
The answer must be exact, 8 single tensors and 4 residual streams, before the time counts; ``detail`` has width 8, a ViT
on images of 32 and 224 pixels (12 blocks of width 192, without packages for it), and the other test networks, which are
compared with what is known of them. ``ratio`` is 10 s over the time.

    python benchmarks/symmetries.py [--quick]
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

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


class ViT(nn.Module):
    """A pre-norm vision transformer of width 192 with 12 blocks of 3 heads: ViT-tiny."""

    def __init__(self, side: int, patch: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 192, patch, patch)
        self.position = nn.Parameter(0.02 * torch.randn((side // patch) ** 2, 192))
        options = {"dropout": 0.0, "activation": "gelu", "batch_first": True, "norm_first": True}
        self.blocks = nn.ModuleList(nn.TransformerEncoderLayer(192, 3, 768, **options) for _ in range(12))
        self.norm, self.head = nn.LayerNorm(192), nn.Linear(192, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2) + self.position
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x).mean(1))


def timed(network: nn.Module, batches: list, loss_fn: Callable[..., Tensor] = images_loss) -> tuple[float, Symmetries]:
    """Seconds of the processor, and what was found."""
    begun = time.process_time()
    found = symmetries(network, loss_fn, batches)
    return round(time.process_time() - begun, 2), found


def main() -> None:
    """Time the paper's network and the others, and print one JSON line."""
    quick = "--quick" in sys.argv
    torch.set_num_threads(1)
    torch.manual_seed(0)
    width, side = (8, 16) if quick else (64, 32)
    seconds, found = timed(PreActivationResNet(width), image_batches((3, side, side)))
    check(PAPER, found)
    print(found)
    detail: dict[str, float | str] = {"width": width, "seconds": seconds, "gap": f"{found.gap:.0e}"}
    if not quick:
        detail["seconds, width 8"], found = timed(PreActivationResNet(8), image_batches((3, side, side)))
        check(PAPER, found)
        for pixels, patch in ((32, 4), (224, 16)):
            took, found = timed(ViT(pixels, patch), image_batches((3, pixels, pixels)))
            assert [g.name for g in found.scale_invariant] == ["residual stream"], f"wrong groups\n{found}"
            detail[f"seconds, ViT-tiny, {pixels} pixels, patches of {patch}"] = took
    for name, case in CASES.items():
        detail[f"seconds, small {name}"], found = timed(case.make(), case.batches(), case.loss_fn)
        check(name, found)
    ratio = round(LIMIT / seconds, 1)
    print(json.dumps({"benchmark": "symmetries", "ratio": ratio, "unit": "times below 10 s", "detail": detail}))


if __name__ == "__main__":
    main()
