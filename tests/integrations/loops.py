"""Training loops as users write them, each watched: ``python loops.py RANK COUNT FOLDER`` runs those of two processes.

Every loop also computes radius, angle and change of r² of each step itself, from entire copies of the weights.
"""

import json
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from weightgas.monitoring import watch

STEPS, SIZE = 40, 16
OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "sgd": lambda p: torch.optim.SGD(p, 0.1, weight_decay=1e-2),
    "momentum": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=5e-3),
    "adamw": lambda p: torch.optim.AdamW(p, 1e-2, weight_decay=0.1),
    "muon": lambda p: torch.optim.Muon(p, 1e-2, weight_decay=0.1),
}
ONE = ("plain", "accumulation", "clipping", "compiled model", "compiled step", "tied", "closure", "two optimizers")
TWO = ("ddp", "zero", "fsdp even", "fsdp uneven", "tensor parallel")
SAME_WEIGHTS = ("accumulation", "compiled model", "compiled step", "closure", *TWO)
"""Loops whose weights are those of the plain one."""


class Net(nn.Module):
    """Layers before LayerNorm, which does not mix the samples of a batch, and a readout; matrices only.

    Tensor parallelism leaves ``third`` alone: an ordinary tensor among DTensors.
    """

    def __init__(self, width: int, tied: bool) -> None:
        super().__init__()
        self.first = nn.Linear(width, width, bias=False)
        self.second = nn.Linear(width, width, bias=False)
        self.third = nn.Linear(width, width, bias=False)
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.readout = nn.Linear(width, 3, bias=False)
        if tied:
            self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        for layer in (self.first, self.second, self.third):
            x = self.norm(layer(x)).tanh()
        return self.readout(x)


def width_of(loop: str) -> int:
    """Even for all but one loop, whose rows two processes cannot have in equal parts."""
    return 9 if loop == "fsdp uneven" else 8


def net_of(loop: str, width: int) -> nn.Module:
    """The model of a loop, from the same seed in every process."""
    torch.manual_seed(0)
    net = Net(width, tied=loop == "tied").double()
    if loop in ("ddp", "zero"):
        return nn.parallel.DistributedDataParallel(net)
    if loop.startswith("fsdp"):
        from torch.distributed.fsdp import fully_shard

        for layer in (net.first, net.second, net.third, net.readout):
            fully_shard(layer)
        fully_shard(net)
    if loop == "tensor parallel":
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.tensor import Replicate
        from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

        plan = {
            "first": ColwiseParallel(output_layouts=Replicate()),
            "second": RowwiseParallel(input_layouts=Replicate()),
            "readout": RowwiseParallel(input_layouts=Replicate()),
        }
        parallelize_module(net, init_device_mesh("cpu", (2,)), plan)
    if loop == "compiled model":
        return torch.compile(net, backend="aot_eager")
    return net


def batches(width: int) -> list[tuple[Tensor, Tensor]]:
    """The batches of all processes together."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn((STEPS, SIZE, width), generator=generator, dtype=torch.float64)
    return list(zip(x, torch.randint(3, (STEPS, SIZE), generator=generator), strict=True))


def entire(parameter: Tensor) -> Tensor:
    """A copy of all of a parameter."""
    found: Any = parameter.detach()
    return (found.full_tensor() if hasattr(found, "full_tensor") else found).clone()


def trained(
    loop: str, kind: str, rank: int = 0, count: int = 1, *, watched: bool = True, every: int = 2
) -> dict[str, Any]:
    """What is recorded in process ``rank`` of ``count``, what the loop sees itself, and the weights at the end."""
    width = width_of(loop)
    net = net_of(loop, width)
    inner: Any = {"ddp": lambda: net.module, "zero": lambda: net.module, "compiled model": lambda: net._orig_mod}.get(
        loop, lambda: net
    )()
    layers = {name: getattr(inner, name).weight for name in ("first", "second", "third")}
    groups = {name: [f"{name}.weight"] for name in layers}
    if loop == "tied":
        del layers["second"], groups["second"]
    other = []
    if loop == "two optimizers":
        optimizer, other = OPTIMIZERS[kind](list(layers.values())), [torch.optim.SGD([inner.readout.weight], 0.1)]
    elif loop == "zero":
        from torch.distributed.optim import ZeroRedundancyOptimizer

        optimizer: Any = ZeroRedundancyOptimizer(net.parameters(), OPTIMIZERS[kind])
    else:
        optimizer = OPTIMIZERS[kind](net.parameters())
    gas = watch(inner, optimizer, groups=groups, every=2) if watched else None
    step = torch.compile(optimizer.step, backend="eager") if loop == "compiled step" else optimizer.step
    own: dict[str, list[list[float]]] = {"radius": [], "angle": [], "change": []}

    def gradients(x: Tensor, y: Tensor) -> Tensor:
        optimizer.zero_grad()
        for one in other:
            one.zero_grad()
        parts = 4 if loop == "accumulation" else 1
        for k in range(parts):
            loss = nn.functional.cross_entropy(net(x[k::parts]), y[k::parts]) / parts
            loss.backward()
        if loop == "clipping":
            nn.utils.clip_grad_norm_(net.parameters(), 0.3)
        return loss.detach()

    shared = loop in ("ddp", "zero") or loop.startswith("fsdp")
    for x, y in batches(width):
        x, y = (x[rank::count], y[rank::count]) if shared else (x, y)
        before = [entire(w) for w in layers.values()]
        if loop == "closure":
            step(lambda x=x, y=y: gradients(x, y))
        else:
            gradients(x, y)
            step()
        for one in other:
            one.step()
        for name, values in compared(before, [entire(w) for w in layers.values()]).items():
            own[name].append(values)
    found: dict[str, Any] = {f"own_{name}": np.array(values) for name, values in own.items()}
    found["weights"] = np.concatenate([entire(p).numpy().ravel() for p in inner.parameters()])
    if gas is not None:
        expected = ["gradients are clipped"] if loop == "clipping" else []
        assert gas.attached and [note[: len("gradients are clipped")] for note in gas.notes()] == expected, gas.notes()
        states = gas.groups()
        order = [next(i for i, s in enumerate(states) if name in s.name) for name in layers]
        found |= {
            name: values[:, order] if values.ndim == 2 else values for name, values in gas.record.arrays().items()
        }
        found["radius_star"] = np.array([states[i].radius_star for i in order])
        found["table"] = str(gas).split("\n", 1)[1]  # without the cost
    return found


def compared(before: list[Tensor], after: list[Tensor]) -> dict[str, list[float]]:
    """Norm before, angle and change of r² of a step of each layer."""
    out: dict[str, list[float]] = {"radius": [], "angle": [], "change": []}
    for w, v in zip(before, after, strict=True):
        r, q = w.norm(), v.norm()
        out["radius"].append(r.item())
        out["change"].append((q**2 - r**2).item())
        out["angle"].append(2 * torch.asin((v / q - w / r).norm() / 2).item())
    return out


def refused(rank: int, count: int) -> tuple[str, list[str]]:
    """(table, warnings) of Adam with L2, whose decay takes a state that the other process has of some tensors."""
    from torch.distributed.optim import ZeroRedundancyOptimizer

    net = net_of("zero", width_of("zero"))
    optimizer = ZeroRedundancyOptimizer(net.parameters(), torch.optim.Adam, lr=1e-2, weight_decay=0.1)
    gas = watch(net, optimizer, groups={name: [f"module.{name}.weight"] for name in ("first", "second")}, every=2)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for x, y in batches(width_of("zero"))[:4]:
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(x[rank::count]), y[rank::count]).backward()
            optimizer.step()
    return str(gas), [str(w.message) for w in seen]


def main(rank: int, count: int, folder: Path) -> None:
    """Train with the others, with and without ``watch``, and write what was recorded."""
    torch.set_num_threads(1)
    store = torch.distributed.FileStore(str(folder / "store"), count)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=count)
    for loop in TWO:
        for kind in OPTIMIZERS:
            found = trained(loop, kind, rank, count)
            found["unwatched"] = trained(loop, kind, rank, count, watched=False)["weights"]
            np.savez(folder / f"{loop}-{kind}-{rank}.npz", **found)
    (folder / f"refused-{rank}.json").write_text(json.dumps(refused(rank, count)))
    torch.distributed.barrier()  # neither closes its connections while the other still uses them
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
    os._exit(0)  # all is written; threads of gloo that still run can abort an orderly end ("terminate called ...")
