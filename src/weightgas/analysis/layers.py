"""The gases of a network: temperature, pressure and volume of every group or layer, and their sums.

Every scale-invariant group i is a separate gas with R_i = (d_i − 1)/2. With η the step of the
weights (η_e r² at fixed ELR and on the sphere) and g_i the gradient of its weights,

    V_i = E[r_i²]/2      R_i T_i = E[η tr Σ_i/r_i²]/4      p_i V_i = E[η G_i/r_i²]/(4 (1 − c/2))      G_i = r_i² ‖g_i‖²

c = ηλ, 0 on the sphere. All three are sums of squares over weights, so those of groups add up to those of a layer, and
those of layers to the network's: ΣV_i = V, ΣR_i T_i = RT and Σp_i V_i = pV, at every step. A layer has T = ΣR_i
T_i/ΣR_i, the mean over its degrees of freedom, and p = Σp_i V_i/ΣV_i.

Stationarity alone fixes the pressures: E[r_i²] neither grows nor falls, so p_i = λ for every group under weight decay.
On the sphere, where groups share r², all have the same p, that of the total. Groups are in mechanical equilibrium, like
gases with movable walls. Temperatures need not be equal, unless the noise is isotropic over all groups, since each
group is heated by its own gradient. p_i V_i = R_i T_i (1 + ‖∇_i L‖²/tr Σ_i)/(1 − c/2).

Level 2, consistency checks. Source: arXiv 2511.07308 for one group; the sums follow from the definitions.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr

from weightgas import quantities
from weightgas.analysis.cells import in_equilibrium
from weightgas.errors import TraceError, one_of, typed
from weightgas.measurement.blocks import Blocks
from weightgas.trace import batches, fixed, kind_of
from weightgas.trace.digest import check_pair

NAMES = (
    *("volume", "temperature", "pressure", "temperature_ratio", "pressure_ratio", "heat_share"),
    *("volume_sum", "heat_sum", "work_sum"),
)
"""Variables of the layers; each has its standard error ``<name>_err``."""


@typed
def layer_gases(trace: xr.Dataset, state: xr.Dataset, *, by: str = "layer") -> xr.Dataset:
    """Measure volume, temperature and pressure of every layer, or group, of each cell.

    Parameters
    ----------
    trace, state
        A trace of networks, and its state, which gives burn-in and correlation times.
    by
        ``"layer"`` (all groups with the same name before the first dot, as ``conv1`` of ``conv1.0``) or ``"group"``.

    Returns
    -------
    xarray.Dataset
        On (cell, part), each with ``<name>_err``: ``volume``, ``temperature``, ``pressure``; ``temperature_ratio``,
        T_i over T of the network; ``pressure_ratio``, p_i over λ, or on the sphere over the pressure from the growth of
        the norm; ``heat_share`` = R_i T_i/(RT). On part: the coordinate ``part`` (its name), ``dof`` and ``groups``,
        the number of its groups. On cell: ``volume_sum``, ``heat_sum`` and ``work_sum``, sums over the parts divided by
        the value of the network, expected 1.

    Raises
    ------
    ValueError, TraceError
        For another ``by``, a trace without groups or noise, or a state that was not measured from it.
    """
    one_of("by", by, ("layer", "group"))
    needed = ("group_radius", "group_grad_sq", "group_noise_trace", "noise_trace")
    if lacking := [name for name in needed if name not in trace]:
        raise TraceError(f"trace: expected {', '.join(lacking)}, got none. Pass a trace of train().")
    if "group_sizes" not in trace.attrs:
        raise TraceError("trace: expected the attribute group_sizes, got none. Open the trace again.")
    check_pair(trace, state)
    parts, belongs = _membership(trace, by)
    dof = belongs.T @ (np.atleast_1d(trace.attrs["group_sizes"]) - 1)
    names = [*needed, "radius", "grad_sq", "radius_unprojected", "samples", "step", kind_of(trace).steers]
    some = [name for name in names if name in trace]
    found = [_gases(batch, state.isel(cell=cells), belongs, dof) for cells, batch in batches.each(trace, *some)]
    out = xr.Dataset(coords={"part": ("part", np.array(parts, np.dtypes.StringDType())), **state["cell_id"].coords})
    out["dof"], out["groups"] = ("part", dof), ("part", belongs.sum(axis=0))
    for name in found[0]:
        value, error = (np.concatenate([one[name][k] for one in found]) for k in (0, 1))
        out = out.assign(quantities.of(name).estimated(value, error, over=("cell", "part")[: value.ndim]))
    return out.assign_attrs(state.attrs)


def _gases(
    trace: xr.Dataset, state: xr.Dataset, belongs: np.ndarray, dof: np.ndarray
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The quantities of the parts of some cells, (cells, parts), and their sums, (cells,), with errors."""
    blocks = Blocks.slow(trace, state)
    whole, each, expected = _columns(trace, blocks, belongs)
    found = {
        "volume": blocks.estimate(lambda v: v / 2, each["square"]),
        "temperature": blocks.estimate(lambda h: h / (2 * dof), each["heat"]),
        "pressure": blocks.estimate(lambda k, v: k / (2 * v), each["update"], each["square"]),
        "temperature_ratio": blocks.estimate(lambda h, w: h / w * dof.sum() / dof, each["heat"], whole["heat"]),
        "heat_share": blocks.estimate(lambda h, w: h / w, each["heat"], whole["heat"]),
        "pressure_ratio": blocks.estimate(lambda k, v, p: k / (2 * v * p), each["update"], each["square"], expected),
    }
    sums = {n: blocks.estimate(lambda a, b: a / b, each[k].sum(-1), whole[k][..., 0]) for n, k in _SUMS.items()}
    return found | sums


def over_cells(found: xr.Dataset, state: xr.Dataset) -> xr.Dataset:
    """Means over the cells in equilibrium of the result of :func:`layer_gases`; NaN without any.

    Errors are from the scatter among cells, which differ in temperature; for one cell, its own error.
    """
    good = in_equilibrium(state)
    out = found.isel(cell=good).mean("cell").assign_attrs(found.attrs)
    if good.sum() > 1:
        scatter = found.isel(cell=good).std("cell", ddof=1) / np.sqrt(good.sum())
        out = out.assign({f"{name}_err": scatter[name] for name in NAMES})
    return out.assign({name: out[name].assign_attrs(found[name].attrs) for name in NAMES})


_SUMS = {"volume_sum": "square", "heat_sum": "heat", "work_sum": "update"}


def _membership(trace: xr.Dataset, by: str) -> tuple[list[str], np.ndarray]:
    """Names of the parts, and a matrix (groups, parts) that assigns the groups."""
    groups = [str(name) for name in np.atleast_1d(trace.attrs.get("group_names", np.arange(trace.sizes["group"])))]
    labels = groups if by == "group" else [name.split(".")[0] for name in groups]
    parts = list(dict.fromkeys(labels))
    return parts, np.array([[label == part for part in parts] for label in labels], dtype=float)


def _columns(trace: xr.Dataset, blocks: Blocks, belongs: np.ndarray) -> tuple[dict, dict, np.ndarray]:
    """Block means (cells, blocks, parts) of r_i², η tr Σ_i/r_i² and η G_i/r_i²/(1 − c/2); of the total, as one part;
    and the pressure that each part should have.

    G_i is a mean over the steps since the previous sample, and is combined with the norm there: a large gradient
    increases the norm after it, but is not correlated with the norm before it.
    """
    kind, at = kind_of(trace), {axis: v[:, None, None] for axis, v in fixed(trace).items()}
    radius, square = trace["radius"].values, trace["group_radius"].values ** 2
    with np.errstate(all="ignore"):
        step = kind.step_size(at, radius**2)
        decay = step * kind.decay(at)
        gained = np.broadcast_to(step / (1 - decay / 2), radius.shape)
    whole = {
        "square": blocks.of("radius", np.square, "square")[..., None],
        "heat": blocks.of("noise_trace", lambda n: step * n / radius**2, "power")[..., None],
        "update": blocks.of("grad_sq", lambda g: _before(gained / radius**2) * g, "power")[..., None],
    }

    def summed(weight: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        return lambda series: (series * weight) @ belongs

    each = {
        "square": blocks.of("group_radius", lambda r: r**2 @ belongs, "squares"),
        "heat": blocks.of("group_noise_trace", summed(step[..., None] / square), "powers"),
        "update": blocks.of("group_grad_sq", summed(_before(gained[..., None] / square)), "powers"),
    }
    if not kind.projected:
        return whole, each, np.broadcast_to(kind.decay(at), whole["square"].shape)
    if "radius_unprojected" in trace:
        growth = blocks.of("radius_unprojected", np.square, "square")[..., None] - whole["square"]
        return whole, each, growth / (2 * kind.rate(at) * whole["square"] ** 2)
    return whole, each, whole["update"] / (2 * whole["square"])


def _before(series: np.ndarray) -> np.ndarray:
    """The values at the previous sample, (cells, replicas, samples[, groups]); the first is unchanged."""
    return np.concatenate([series[:, :, :1], series[:, :, :-1]], axis=2)
