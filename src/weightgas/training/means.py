"""The loss at the mean of the weights of a run, and along the rays from there.

The mean m is that over every step of the recorded windows (``Record(means=16)``), or over stored directions
(``Record(snapshots=…)``). So L(m), the mean loss U of the same weights over the same batches, and L(m + s(w − m)) for
some of these weights need no further training. The consequences for the gas are in :mod:`weightgas.analysis.virial`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from weightgas import networks, probes, runs
from weightgas import trace as traces
from weightgas.datasets import Images
from weightgas.errors import TraceError, finite_number, refuse, typed, whole_number
from weightgas.measurement.entropy.directions import chains
from weightgas.training.plan import DTYPES, fitting

_Function = Callable[[np.ndarray], np.ndarray]
"""The losses (n,) of weights (n, dim)."""
SCALES = (0.25, 0.5, 1.0)
"""Fractions s of the ray from m to the weights."""
NEAR = 1 / 32
"""Fraction of the ray on both sides of m whose difference is the slope of the loss at m."""


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
    """Loss L(m) at the mean weights m of a trained run, U over the same weights, and the loss along rays from m.

    With windows, m is the mean over all their steps, U is that of the samples in them, and rays lead to the weights at
    their ends. Without windows, m and U are means over the stored directions w̄, with weights r w̄ of the norm r of the
    samples about them. All losses are means over disjoint batches in training mode, so normalisation uses the
    statistics of each batch at the weights in question. With ``batch_energy`` in the trace, U of the windows is the
    mean loss of the training batches of all steps.

    Parameters
    ----------
    trace
        The trace of :func:`weightgas.train` with ``record=Record(means=16)``, or with
        ``Record(snapshots=400, snapshot_every=…)``. Each window, or all directions together, should span many
        relaxation times.
    network, data
        The network and data of that run.
    scales
        Increasing fractions s > 0 of the rays; the exponent needs 1/4 and 1/2.
    rays
        Largest number of rays of a run, to evenly spaced stored weights.
    blocks
        Number of blocks of successive directions, each of which is omitted once, for errors and for the bias of L(m).
        With windows, these are the blocks.
    batches
        Number of batches in a loss, with windows in the losses along rays; None for all.
    device
        Torch device on which the losses are computed.
    progress
        Whether to show progress; by default on a terminal.

    Returns
    -------
    xarray.Dataset
        On (cell, replica): ``mean_energy``, L(m); ``mean_sq``, ‖m‖²; ``square``, ⟨‖w‖²⟩; ``change``,
        ⟨m, w_end − w_start⟩ from the first to the last of the weights; ``span``, the steps between these;
        ``last_step``, those of the run. Along ``snapshot``: ``snapshot_energy``, L(w), and ``snapshot_block``, its
        block. Along ``block``: ``energy_without``, L of the mean without that block. Along (ray, scale):
        ``ray_excess``, L(m + s(w − m)) − L(m); along ``ray``: ``ray_slope``, its derivative at s = 0. If the energies
        of windows are over a part of the batches, ``mean_energy`` and ``energy_without`` are over the same part, and
        along ``ray`` there are the excess at s = 1 over this part, ``ray_part``, and over all batches, ``ray_all``.
        With ``batch_energy`` there is instead ``window_energy``, U along ``block``. NaN for runs that did not finish.

    Raises
    ------
    TypeError, ValueError
        For a network or data that are not those of the run, or numbers out of range.
    TraceError
        If the trace has neither windows nor directions, fewer than two windows, or fewer than two samples or directions
        for a block.
    """
    network, images = trained(trace, network, data)
    fixed = probes.disjoint_batches(len(images), int(trace.attrs["batch_size"]))
    fixed = fixed[: None if batches is None else whole_number("batches", batches)]
    windows = "window_mean" in trace
    sparse = windows and "batch_energy" not in trace
    part = fixed[: int(trace.attrs.get("energy_batches", len(fixed)))] if sparse else fixed
    loss, of_part = (
        _Loss(network, images, each, trace.attrs.get("dtype", "float32"), device) for each in (fixed, part)
    )
    source = _windows(trace) if windows else _directions(trace, whole_number("blocks", blocks, minimum=2))
    return _measured(trace, source, loss, of_part if len(part) < len(fixed) else None, scales, rays, progress)


@typed
def of_loss(
    trace: xr.Dataset,
    loss: Callable[[np.ndarray], np.ndarray],
    *,
    scales: Sequence[float] = SCALES,
    rays: int = 64,
    blocks: int = 8,
) -> xr.Dataset:
    """The result of :func:`mean_weights` for any trace with stored directions and ``loss(weights)``, (n, dim) to (n,).

    For a simulated loss on the sphere pass ``lambda w: form.loss(w / np.linalg.norm(w, axis=-1, keepdims=True))``.

    Raises
    ------
    TypeError, ValueError, TraceError
        As :func:`mean_weights`.
    """
    traces.check(trace)
    if "directions" not in trace:
        raise TraceError("trace: expected stored directions, got none. Make it with record=Record(snapshots=400).")
    source = _directions(trace, whole_number("blocks", blocks, minimum=2))
    return _measured(trace, source, loss, None, scales, rays, False)


def _measured(
    trace: xr.Dataset, source: _Source, loss: _Function, of_part: _Function | None, scales: Sequence[float], rays: int,
    progress: bool | None,
) -> xr.Dataset:  # fmt: skip
    """Losses along ``rays`` by ``loss``; of the means by ``of_part``, if the energies are over part of the batches."""
    parts = [finite_number("scales", s) for s in scales]
    if not parts or any(b <= a for a, b in zip([0.0, *parts], parts, strict=False)):
        raise refuse("scales", "increasing numbers above 0", list(scales), "For instance (0.25, 0.5, 1.0).")
    count = min(whole_number("rays", rays), source.stored)
    chosen = np.unique(np.linspace(0, source.stored - 1, count).round().astype(int))
    shapes = {
        "mean_energy": (), "mean_sq": (), "square": (), "change": (), "snapshot_energy": source.block.shape,
        "energy_without": (source.block.max() + 1,), "ray_excess": (len(chosen), len(parts)),
        "ray_slope": chosen.shape,
    }  # fmt: skip
    shapes |= {"ray_part": chosen.shape, "ray_all": chosen.shape} if of_part is not None else {}
    shapes |= {"window_energy": shapes["energy_without"]} if source.of_batches else {}
    found = {name: np.full((*trace["outcome"].shape, *shape), np.nan) for name, shape in shapes.items()}
    with runs.progress("mean weights", trace["outcome"].size, progress) as advance:
        for i, j, stretch in source.stretches():
            for name, value in _losses(stretch, loss, of_part, chosen, parts).items():
                found[name][i, j] = value
            advance(1)
    return _dataset(trace, found, parts, source)


class _Stretch(NamedTuple):
    """The averages of a run: the mean weights (dim,), those without each block (blocks, dim), the weights at its
    beginning and end and between them (stored, dim), the losses (samples,) and, if they were recorded, the mean losses
    of the training batches in each block (blocks,), and ⟨‖w‖²⟩.
    """

    mean: np.ndarray
    without: np.ndarray
    weights: np.ndarray
    energy: np.ndarray | None
    batches: np.ndarray | None
    square: float


class _Source(NamedTuple):
    """Stretches of the finished runs, by cell and replica; ``block`` (samples,) of every loss, the number of ``stored``
    weights of each run, the steps from the first to the last of them (cells,), and whether the losses of the training
    batches were recorded.
    """

    stretches: Callable[[], Iterator[tuple[int, int, _Stretch]]]
    block: np.ndarray
    stored: int
    span: np.ndarray
    of_batches: bool = False


def _windows(trace: xr.Dataset) -> _Source:
    """Means over the recorded windows, with the losses of the samples in them."""
    edges, step = trace["window_step"].values, trace["step"].values
    count = trace.sizes["window"]
    if count < 2:
        raise TraceError(f"window_mean: expected 2 or more windows for errors, got {count}. Record(means=16).")
    inside = (step[0] > edges[0, 0]) & (step[0] <= edges[0, -1])
    block = np.searchsorted(edges[0], step[0, inside]) - 1
    if (np.bincount(block, minlength=count) < 2).any() or (edges != edges[0]).any() or (step != step[0]).any():
        raise TraceError("energy: expected 2 or more samples in every window, got fewer. Take more samples.")
    of_batches, each = "batch_energy" in trace, np.arange(count)[:, None] == block

    def stretches() -> Iterator[tuple[int, int, _Stretch]]:
        for i, j in np.argwhere(np.isfinite(trace["window_end"].values[:, :, -1]).all(axis=-1)):
            means, ends = (trace[name].values[i, j].astype(float) for name in ("window_mean", "window_end"))
            energy, radius = (trace[name].values[i, j, inside] for name in ("energy", "radius"))
            without = (means.sum(axis=0) - means) / (count - 1)
            batches = each @ trace["batch_energy"].values[i, j, inside] / each.sum(axis=1) if of_batches else None
            yield (
                int(i),
                int(j),
                _Stretch(means.mean(axis=0), without, ends, energy, batches, float(np.mean(radius**2))),
            )

    return _Source(stretches, block, count + 1, (edges[:, -1] - edges[:, 0]).astype(float), of_batches)


def _directions(trace: xr.Dataset, blocks: int) -> _Source:
    """Means over the stored directions, whose losses are not recorded."""
    count = trace.sizes["snapshot"]
    if count < 2 * blocks:
        raise TraceError(f"directions: expected {2 * blocks} or more for {blocks} blocks, got {count}. Store more.")
    groups = np.array_split(np.arange(count), blocks)

    def stretches() -> Iterator[tuple[int, int, _Stretch]]:
        for i, j, x in chains(trace):
            weights = weights_of(trace, i, j, x)
            without = np.stack([np.delete(weights, group, axis=0).mean(axis=0) for group in groups])
            square = float(np.mean(weights**2) * x.shape[1])
            yield i, j, _Stretch(weights.mean(axis=0), without, weights, None, None, square)

    step = trace["snapshot_step"].values
    block = np.repeat(np.arange(blocks), [len(group) for group in groups])
    return _Source(stretches, block, count, (step[:, -1] - step[:, 0]).astype(float))


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


def trained(trace: xr.Dataset, network: Any, data: Any, *, directions: bool = False) -> tuple[Any, Images]:
    """The network and images of a trained run with mean weights, or with ``directions`` of one with stored directions.

    TraceError or ValueError if it is another trace, or the network or data are not those of the run.
    """
    traces.check(trace)
    network, images = fitting(network, data)
    usable = {"directions"} if directions else {"directions", "window_mean"}
    if trace.attrs.get("producer") != "train" or not usable & {*trace}:
        what, fix = "mean weights or stored directions", "means=16"
        if directions:
            what, fix = "stored directions", "snapshots=400, snapshot_every=25"
        raise TraceError(f"trace: expected one of train() with {what}, got another. Train with record=Record({fix}).")
    for name, mine in (("network", network.name), ("data", images.name)):
        if trace.attrs[name] != mine:
            raise refuse(name, f"{trace.attrs[name]!r}, which was trained", mine, "Pass what the trace was made with.")
    return network, images


def weights_of(trace: xr.Dataset, i: int, j: int, directions: np.ndarray) -> np.ndarray:
    """The weights (snapshots, dim) at the stored directions of a run."""
    count = int(trace["samples"].values[i, j])
    step, radius = trace["step"].values[i, :count], trace["radius"].values[i, j, :count]
    return directions * np.interp(trace["snapshot_step"].values[i], step, radius)[:, None]


def means_of(trace: xr.Dataset) -> Iterator[tuple[int, int, np.ndarray]]:
    """Cell, replica and mean weights (dim,) of every run that finished, of windows or else of directions."""
    source = _windows(trace) if "window_mean" in trace else _directions(trace, 2)
    return ((i, j, stretch.mean) for i, j, stretch in source.stretches())


def _losses(
    stretch: _Stretch, loss: _Function, of_part: _Function | None, chosen: np.ndarray, scales: Sequence[float]
) -> dict[str, np.ndarray | float]:
    mean, rays, recorded = stretch.mean, stretch.weights[chosen] - stretch.mean, loss if of_part is None else of_part
    here = recorded(np.concatenate([mean[None], stretch.without]))
    origin = here[0] if of_part is None else loss(mean[None])
    found = {
        "mean_energy": here[0],
        "mean_sq": mean @ mean,
        "square": stretch.square,
        "change": mean @ (stretch.weights[-1] - stretch.weights[0]),
        "snapshot_energy": recorded(stretch.weights) if stretch.energy is None else stretch.energy,
        "energy_without": here[1:],
        "ray_excess": np.stack([loss(mean + s * rays) - origin for s in scales], axis=1),
        "ray_slope": (loss(mean + NEAR * rays) - loss(mean - NEAR * rays)) / (2 * NEAR),
    }
    if stretch.batches is not None:
        found["window_energy"] = stretch.batches
    if of_part is not None:
        found |= {"ray_part": of_part(mean + rays) - here[0], "ray_all": loss(mean + rays) - origin}
    return found


_MEANINGS = {
    "mean_energy": ("loss at the mean weights", ()),
    "mean_sq": ("squared norm of the mean weights", ()),
    "square": ("mean squared norm of the weights", ()),
    "change": ("overlap of the mean weights with their change from first to last", ()),
    "snapshot_energy": ("loss at the weights", ("snapshot",)),
    "energy_without": ("loss at the mean weights without a block", ("block",)),
    "window_energy": ("mean loss of the training batches in a window", ("block",)),
    "ray_excess": ("loss along a ray above that at the mean weights", ("ray", "scale")),
    "ray_slope": ("slope of the loss along a ray at the mean weights", ("ray",)),
    "ray_part": ("loss at the end of a ray above that at the mean weights, over the recorded batches", ("ray",)),
    "ray_all": ("loss at the end of a ray above that at the mean weights, over all batches", ("ray",)),
}


def _dataset(trace: xr.Dataset, found: dict[str, np.ndarray], scales: Sequence[float], source: _Source) -> xr.Dataset:
    variables: dict[str, Any] = {
        name: (("cell", "replica", *_MEANINGS[name][1]), value, {"long_name": _MEANINGS[name][0], "units": "1"})
        for name, value in found.items()
    }
    about = {"long_name": "steps from the first to the last of the weights", "units": "step"}
    variables["span"] = ("cell", source.span, about)
    last = trace["step"].values[:, -1].astype(float)
    variables["last_step"] = ("cell", last, {"long_name": "recorded steps of the run", "units": "step"})
    variables["snapshot_block"] = ("snapshot", source.block, {"long_name": "block of a loss", "units": "1"})
    kept = ("producer", "protocol", "network", "data", "dim", "dof", "batch_size", "seed", "steps")
    attributes = {name: trace.attrs[name] for name in kept if name in trace.attrs}
    return xr.Dataset(
        {**variables, **traces.digest.variable(traces.digest.digests(trace))},
        {**trace["cell_id"].coords, "scale": ("scale", list(scales))},
        attributes,
    )
