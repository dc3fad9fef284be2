"""Changes of the number or spacing of samples, by which a run of any length has a fixed number of them."""

from __future__ import annotations

import numpy as np
import xarray as xr

from weightgas.errors import TraceError

_POWERS = {"sample: mean": 1, "sample: root_mean_square": 2}


def halve(trace: xr.Dataset) -> xr.Dataset:
    """The trace with half the samples: means over steps are averaged in pairs, every second point value is kept.

    If the number of valid samples is odd, the last one is dropped. Blocks of counts are added in pairs. Snapshots and
    final weights are unchanged. The attribute ``sample_every``, if present, doubles.

    Raises
    ------
    TraceError
        If the trace has an odd number of samples or of blocks.
    """
    for dim in ("sample", "block"):
        if trace.sizes.get(dim, 0) % 2:
            raise TraceError(
                f"halve: expected an even number of {dim}s, got {trace.sizes[dim]}. Drop one of them first."
            )
    out = trace.isel(sample=slice(1, None, 2))
    for name, v in trace.data_vars.items():
        if "block" in v.dims:
            paired = v.coarsen(block=2).sum().astype(v.dtype).assign_attrs(v.attrs)
            out = out.drop_vars([name]).assign({name: paired})
        elif (power := _POWERS.get(v.attrs.get("cell_methods", ""))) is not None:
            axis = v.get_axis_num("sample")
            first, second = (np.take(v.values, np.arange(k, v.sizes["sample"], 2), axis) ** power for k in (0, 1))
            out[name] = out[name].copy(data=((first + second) / 2) ** (1 / power))
    out["samples"] = trace["samples"].copy(data=trace["samples"].values // 2)
    if "sample_every" in trace.attrs:
        out.attrs["sample_every"] = 2 * trace.attrs["sample_every"]
    return out


def lengthen(trace: xr.Dataset, samples: int, blocks: int) -> xr.Dataset:
    """The trace extended to ``samples`` and ``blocks`` of counts: by NaN, 0, and steps at the same spacing."""
    sizes = {"sample": samples, "block": blocks}
    out = {}
    for name, v in trace.data_vars.items():
        more = [(0, sizes[d] - v.sizes[d] if d in sizes else 0) for d in map(str, v.dims)]
        if name == "step":
            last, spacing = v.values[:, -1:], v.values[:, -1:] - v.values[:, -2:-1]
            out[name] = np.concatenate([v.values, last + spacing * np.arange(1, more[1][1] + 1)], axis=1)
        else:
            out[name] = np.pad(v.values, more, constant_values=np.nan if v.dtype.kind == "f" else 0)
    variables = {name: (trace[name].dims, data, trace[name].attrs) for name, data in out.items()}
    return xr.Dataset(variables, trace.coords, trace.attrs)
