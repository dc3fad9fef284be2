"""One of the processes that train a model together: ``python two_processes.py RANK COUNT FOLDER``."""

import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

from weightgas.monitoring import watch

STEPS, SIZE = 30, 16
KINDS = {
    "sgd": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=1e-2),
    "adamw": lambda p: torch.optim.AdamW(p, 1e-2, weight_decay=0.1),
}


def model() -> nn.Module:
    """A scale-invariant layer before LayerNorm, which does not mix the samples of a batch, and a readout."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(12, 8, bias=False), nn.LayerNorm(8), nn.Tanh(), nn.Linear(8, 3)).double()


def batches() -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The batches of all processes together."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn((STEPS, SIZE, 12), generator=generator, dtype=torch.float64)
    return list(zip(x, torch.randint(3, (STEPS, SIZE), generator=generator), strict=True))


def watched(kind: str, rank: int = 0, count: int = 1) -> dict[str, np.ndarray]:
    """What is recorded in process ``rank`` of ``count``; each has its share of every batch."""
    net = model() if count == 1 else nn.parallel.DistributedDataParallel(model())
    optimizer = KINDS[kind](net.parameters())
    gas = watch(net, optimizer, every=2)
    for x, y in batches():
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x[rank::count]), y[rank::count]).backward()
        optimizer.step()
    assert gas.invariant == (True, False) and gas.attached and gas.notes() == []
    return gas.record.arrays()


def main(rank: int, count: int, folder: Path) -> None:
    """Train with the others, and write what was recorded."""
    torch.set_num_threads(1)
    store = torch.distributed.FileStore(str(folder / "store"), count)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=count)
    for kind in KINDS:
        np.savez(folder / f"{kind}-{rank}.npz", **watched(kind, rank, count))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
