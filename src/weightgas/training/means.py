"""The loss at the mean of the weights of a run, and along the rays from there, from its stored directions.

With a trace that has ``snapshots``, the mean m of the weights over the end of a run costs no training: L(m), the mean
loss U of the same weights over the same batches, and L(m + s(w − m)) for some of them. What follows for the gas is in
:mod:`weightgas.analysis.virial`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from weightgas import networks, probes, runs
from weightgas import trace as traces
from weightgas.datasets import Images
from weightgas.errors import TraceError, finite_number, refuse, whole_number
from weightgas.measurement.entropy.directions import chains
from weightgas.training.plan import DTYPES, fitting

SCALES = (0.25, 0.5, 1.0)
"""Parts s of the ray from m to the weights."""


def mean_weights(
    trace: xr.Dataset,
    network: Any,
    data: Any,
    *,
    scales: Sequence[float] = SCALES,
    rays: int = 64,
    blocks: int = 8,
    batches: int | None = None,
    device: str = "cpu",
    progress: bool | None = None,
) -> xr.Dataset:
    """L(m), U over the same weights, and the loss along rays, of every cell and replica of a trained run.

    The weights at a stored direction w̄ are r w̄ with the norm r of the samples about it. L(m) and all other losses are
    means over the same disjoint batches in training mode, so normalisation has the statistics of each batch at the
    weights in question.

    Parameters
    ----------
    trace
        From :func:`weightgas.train` with ``record=Record(snapshots=400, snapshot_every=…)``. m is the mean over the
        stored directions, so together they should span many relaxation times.
    network, data
        Those that were trained.
    scales
        Increasing parts s > 0 of the rays; the exponent needs 1/4 and 1/2.
    rays
        Rays, to stored weights evenly apart.
    blocks
        Blocks of successive directions, each of which is omitted once, for errors and for the bias of L(m).
    batches
        Batches of a loss; None for all of them.
    device
        Where the losses are computed.
    progress
        Whether to show progress; by default on a terminal.

    Returns
    -------
    xarray.Dataset
        On ``cell, replica``: ``mean_energy`` L(m), ``mean_sq`` ‖m‖², ``square`` ⟨‖w‖²⟩, ``change`` ⟨m, w_end −
        w_start⟩ from the first to the last direction and ``span``, the steps between them; along ``snapshot``
        ``snapshot_energy`` L(w); along ``block`` ``energy_without``, L of the mean without that block; along ``ray,
        scale`` ``ray_excess``, L(m + s(w − m)) − L(m). NaN for runs that did not finish.

    Raises
    ------
    TypeError, ValueError
        For a network or data that were not trained, or numbers out of range.
    TraceError
        If the trace has no stored directions, or fewer than two for a block.
    """
    traces.check(trace)
    network, images = fitting(network, data)
    check_trained(trace, network, images)
    parts = [finite_number("scales", s) for s in scales]
    if not parts or any(b <= a for a, b in zip([0.0, *parts], parts, strict=False)):
        raise refuse("scales", "increasing numbers above 0", list(scales), "For instance (0.25, 0.5, 1.0).")
    rays, blocks = whole_number("rays", rays), whole_number("blocks", blocks, minimum=2)
    cells, replicas, count, _ = trace["directions"].shape
    if count < 2 * blocks:
        raise TraceError(f"directions: expected {2 * blocks} or more for {blocks} blocks, got {count}. Store more.")
    chosen = np.unique(np.linspace(0, count - 1, min(rays, count)).round().astype(int))
    fixed = probes.disjoint_batches(len(images), int(trace.attrs["batch_size"]))
    fixed = fixed[: None if batches is None else whole_number("batches", batches)]
    loss = _Loss(network, images, fixed, trace.attrs.get("dtype", "float32"), device)
    shapes = {
        "mean_energy": (), "mean_sq": (), "square": (), "change": (), "snapshot_energy": (count,),
        "energy_without": (blocks,), "ray_excess": (len(chosen), len(parts)),
    }  # fmt: skip
    found = {name: np.full((cells, replicas, *shape), np.nan) for name, shape in shapes.items()}
    each = count + 1 + blocks + len(chosen) * len(parts)
    with runs.progress("mean weights", cells * replicas * each, progress) as advance:
        for i, j, x in chains(trace):
            for name, value in _one(weights_of(trace, i, j, x), loss, chosen, parts, blocks).items():
                found[name][i, j] = value
            advance(each)
    return _dataset(trace, found, parts)


class _Loss:
    """The mean loss of any number of weights over fixed batches."""

    def __init__(self, network: Any, images: Images, batches: np.ndarray, dtype: str, device: str) -> None:
        self._to = {"dtype": DTYPES.get(dtype, torch.float32), "device": device}
        self._inputs = torch.as_tensor(images.inputs, **self._to)
        self._labels = torch.as_tensor(images.labels, device=device)
        self._batches = torch.from_numpy(batches).to(device)
        self._losses = partial(networks.shared_losses, network)

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        stacked: Tensor = torch.as_tensor(weights, **self._to)
        return probes.energies(self._losses, stacked, self._inputs, self._labels, self._batches).cpu().numpy()


def check_trained(trace: xr.Dataset, network: Any, images: Images) -> None:
    """TraceError or ValueError unless it is a trace with directions, of this network trained on these data."""
    if trace.attrs.get("producer") != "train" or "directions" not in trace:
        raise TraceError(
            "trace: expected one of train() with stored directions, got another. Train with "
            "record=Record(snapshots=400, snapshot_every=25)."
        )
    for name, mine in (("network", network.name), ("data", images.name)):
        if trace.attrs[name] != mine:
            raise refuse(name, f"{trace.attrs[name]!r}, which was trained", mine, "Pass what the trace was made with.")


def weights_of(trace: xr.Dataset, i: int, j: int, directions: np.ndarray) -> np.ndarray:
    """The weights (snapshots, dim) at the stored directions of a run."""
    count = int(trace["samples"].values[i, j])
    step, radius = trace["step"].values[i, :count], trace["radius"].values[i, j, :count]
    return directions * np.interp(trace["snapshot_step"].values[i], step, radius)[:, None]


def _one(
    weights: np.ndarray, loss: _Loss, chosen: np.ndarray, scales: Sequence[float], blocks: int
) -> dict[str, np.ndarray]:
    mean = weights.mean(axis=0)
    groups = np.array_split(np.arange(len(weights)), blocks)
    without = np.stack([np.delete(weights, group, axis=0).mean(axis=0) for group in groups])
    here = loss(np.concatenate([mean[None], without]))
    rays = [loss(mean + s * (weights[chosen] - mean)) - here[0] for s in scales]
    return {
        "mean_energy": here[0],
        "mean_sq": mean @ mean,
        "square": np.mean(np.sum(weights**2, axis=1)),
        "change": mean @ (weights[-1] - weights[0]),
        "snapshot_energy": loss(weights),
        "energy_without": here[1:],
        "ray_excess": np.stack(rays, axis=1),
    }


_MEANINGS = {
    "mean_energy": ("loss at the mean weights", ()),
    "mean_sq": ("squared norm of the mean weights", ()),
    "square": ("mean squared norm of the weights", ()),
    "change": ("overlap of the mean weights with their change from first to last", ()),
    "snapshot_energy": ("loss at the stored weights", ("snapshot",)),
    "energy_without": ("loss at the mean weights without a block", ("block",)),
    "ray_excess": ("loss along a ray above that at the mean weights", ("ray", "scale")),
}


def _dataset(trace: xr.Dataset, found: dict[str, np.ndarray], scales: Sequence[float]) -> xr.Dataset:
    variables: dict[str, Any] = {
        name: (("cell", "replica", *_MEANINGS[name][1]), value, {"long_name": _MEANINGS[name][0], "units": "1"})
        for name, value in found.items()
    }
    step = trace["snapshot_step"].values
    about = {"long_name": "steps from the first to the last stored weights", "units": "step"}
    variables["span"] = ("cell", (step[:, -1] - step[:, 0]).astype(float), about)
    kept = ("producer", "protocol", "network", "data", "dim", "dof", "batch_size", "seed", "steps")
    attributes = {name: trace.attrs[name] for name in kept if name in trace.attrs}
    return xr.Dataset(
        {**variables, **traces.digest.variable(traces.digest.digests(trace))},
        {**trace["cell_id"].coords, "scale": ("scale", list(scales))},
        attributes,
    )
