"""The part of every tensor that lies in this process, and the one sum over processes that a sample takes.

A DTensor (``fully_shard``, tensor parallelism) has its elements on the processes of a mesh: sharded along some of the
mesh's dimensions, replicated along the others. Each process computes the products of its own elements, with weight 1/n
for elements that n processes have. The sums over all processes are the products of the entire tensors, the same in
every process. Tensors that are not DTensors are equal in all processes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from weightgas.errors import refuse


def _is_dtensor(tensor: Any) -> bool:
    return hasattr(tensor, "placements") and hasattr(tensor, "device_mesh")


def local(tensor: Any) -> Any:
    """The part of a tensor in this process; anything else is returned unchanged."""
    return tensor.to_local() if _is_dtensor(tensor) else tensor


def like(gradient: Any, parameter: Any) -> Any:
    """The part of a gradient that belongs to this process's part of its parameter."""
    if _is_dtensor(gradient) and tuple(gradient.placements) != tuple(parameter.placements):
        gradient = gradient.redistribute(placements=parameter.placements)
    return local(gradient)


def _cuts_rows(place: Any) -> bool:
    return getattr(place, "dim", None) == 0


@dataclass(frozen=True)
class Layout:
    """The layout of tensors on one mesh; without a DTensor each process has all elements, and nothing is summed."""

    mesh: Any = None

    @classmethod
    def of(cls, tensors: Sequence[Any]) -> Layout:
        """The layout of ``tensors``; ValueError if they are on several meshes, since no process can sum over all."""
        meshes = [t.device_mesh for t in tensors if _is_dtensor(t)]
        if any(mesh != meshes[0] for mesh in meshes):
            fix = "Watch the parameters of one mesh, by groups=."
            raise refuse("model", "parameters on one device mesh", [str(m) for m in dict.fromkeys(meshes)], fix)
        return cls(meshes[0] if meshes else None)

    def weight(self, tensor: Any) -> float:
        """1 over the number of processes that have the same element of ``tensor``."""
        if self.mesh is None:
            return 1.0
        if not _is_dtensor(tensor):
            return 1.0 / self.mesh.size()
        return 1.0 / math.prod(self.mesh.size(k) for k, place in enumerate(tensor.placements) if place.is_replicate())

    def rows(self, tensor: Any, count: int) -> slice:
        """The rows of ``tensor``, of ``count``, in this process; ValueError if they are sharded over two dimensions."""
        cut = [k for k, place in enumerate(tensor.placements) if _cuts_rows(place)] if _is_dtensor(tensor) else []
        if count == 1 or not cut:
            return slice(0, count)
        if len(cut) > 1:
            raise refuse(
                "groups", "rows sharded over one dimension of the mesh", tensor.placements, "Pass groups without rows."
            )
        each = -(-count // self.mesh.size(cut[0]))
        first = min(count, each * self.mesh.get_local_rank(cut[0]))
        return slice(first, min(count, first + each))

    def total(self, values: Tensor) -> Tensor:
        """The sum over the processes of the mesh, the same in each: one collective if the mesh has all processes."""
        if self.mesh is not None:
            everywhere = self.mesh.size() == torch.distributed.get_world_size()
            for group in [None] if everywhere else self.mesh.get_all_groups():
                torch.distributed.all_reduce(values, group=group)
        return values


def refuse_flat(model: nn.Module) -> None:
    """TypeError for FSDP1, whose parameters are views of flat shards: their norm would be that of a piece only."""
    if any(type(module).__name__ == "FullyShardedDataParallel" for module in model.modules()):
        fix = "Use torch.distributed.fsdp.fully_shard (FSDP2), whose parameters are DTensors."
        raise TypeError(f"model: FullyShardedDataParallel (FSDP1) has flat shards in place of weights. {fix}")
