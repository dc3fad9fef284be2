"""Theory curves, which the figures draw, and averages along a run."""

from __future__ import annotations

import numpy as np
import xarray as xr

from weightgas import trace as traces
from weightgas.analysis.cells import axes, evaluate, in_equilibrium
from weightgas.errors import TraceError, refuse
from weightgas.measurement.entropy import published
from weightgas.protocols import At
from weightgas.theory import ideal_gas, stationary, vmf
from weightgas.trace import fixed, kind_of, protocol_of


def is_paper_model(data: xr.Dataset) -> bool:
    """Whether a trace or state is of the linear loss with isotropic noise, whose closed form is von Mises–Fisher."""
    about = data.attrs
    constant = bool(about.get("noise_isotropic")) and not about.get("noise_state_dependent")
    return about.get("loss") == "linear" and constant


def model_values(state: xr.Dataset, *, finite_step: bool = True) -> xr.Dataset:
    """Values of the isotropic noise model in every cell: ``energy`` and ``entropy_direction``.

    With ``finite_step`` they are those of the discrete step at the cell's hyperparameters, to all orders in η_e, with
    ``radius`` and ``temperature`` too. Only σ² is measured (:mod:`weightgas.theory.stationary`); NaN if there is no
    stationary state. Without it: von Mises–Fisher at the measured temperature.
    """
    if finite_step:
        found = _model(state, fixed(state))
        names = ("energy", "entropy_direction", "radius", "temperature")
        return xr.Dataset({n: ("cell", found[n]) for n in names}, state["cell_id"].coords)
    t, dim = state["temperature"].values, int(state.attrs["dim"])
    energy, entropy = (evaluate(lambda x, f=f: f(dim, x), t) for f in (vmf.energy, vmf.entropy))
    return xr.Dataset({"energy": ("cell", energy), "entropy_direction": ("cell", entropy)}, state["cell_id"].coords)


def model_curve(dim: int, temperature: np.ndarray) -> dict[str, np.ndarray]:
    """``energy`` and ``entropy_direction`` of the isotropic noise model in continuous time along ``temperature``."""
    energy, entropy = vmf.energy(dim, temperature), vmf.entropy(dim, temperature)
    return {"energy": np.asarray(energy), "entropy_direction": np.asarray(entropy)}


def model_step_curve(state: xr.Dataset) -> dict[str, np.ndarray]:
    """``temperature``, ``energy`` and ``entropy_direction`` with the finite step, over the step sizes of the cells."""
    kind = kind_of(state)
    size = kind.step_number(fixed(state))
    size = size[np.isfinite(state["temperature"].values) & (size > 0)]
    if not size.size:
        return {n: np.empty(0) for n in ("temperature", "energy", "entropy_direction")}
    rate, other = kind.steers or kind.axes[0], kind.axes[1]
    found = _model(state, {rate: np.geomspace(size.min(), size.max(), 40), other: np.array(1.0)})
    return {n: found[n] for n in ("temperature", "energy", "entropy_direction")}


def model_radius(state: xr.Dataset, at: At, *, discrete: bool) -> np.ndarray:
    """Root mean square radius of the isotropic noise model at any hyperparameters.

    It uses no measured G. ``discrete``: with the finite step to all orders (:mod:`weightgas.theory.stationary`). In
    continuous time G = σ²(d−1) + E‖∇L‖² with E‖∇L‖² = (d−1)T(1−U), in the laws of :mod:`weightgas.theory.ideal_gas`; at
    fixed LR, T and r are found together by iteration.
    """
    if discrete:
        return _model(state, at)["radius"]
    at = _complete(state, at)
    kind, dim, noise = kind_of(state), int(state.attrs["dim"]), _mean(state, "noise_trace")
    radius = evaluate(kind.stationary_radius, at, noise, discrete=False)
    for _ in range(1 if kind.scaled else 5):
        grad_sq = _model_grad_sq(dim, noise, kind.effective_rate(at, radius**2))
        radius = evaluate(kind.stationary_radius, at, grad_sq, discrete=False)
    return radius


def model_pressure(state: xr.Dataset, at: At, *, discrete: bool) -> np.ndarray:
    """Pressure of the isotropic noise model on the sphere: RT/V, or η_eG/(2r²), which holds at every step."""
    kind, at = kind_of(state), _complete(state, at)
    grad_sq = _mean(state, "noise_trace") + (_model(state, at)["mean_grad_sq"] if discrete else 0.0)
    return evaluate(kind.stationary_pressure, at, np.square(kind.fixed_radius(at)), grad_sq)


def model_temperature(state: xr.Dataset, at: At) -> np.ndarray:
    """T = E[η/r²] σ²/2 of the isotropic noise model at any hyperparameters."""
    return _model(state, at)["temperature"]


def model_energy(state: xr.Dataset, at: At) -> np.ndarray:
    """U of the isotropic noise model at any hyperparameters, with the finite step."""
    return _model(state, at)["energy"]


def model_entropy(state: xr.Dataset, at: At) -> np.ndarray:
    """S = S(w̄) + (d−1) E ln r of the isotropic noise model at any hyperparameters, with the finite step."""
    found = _model(state, at)
    return found["entropy_direction"] + int(state.attrs["dof"]) * found["log_radius"]


def _model(state: xr.Dataset, at: At) -> dict[str, np.ndarray]:
    """``stationary_values`` at the mean σ² of the cells; NaN where a hyperparameter is not positive and finite."""
    at = _complete(state, at)
    arrays = np.broadcast_arrays(*(np.asarray(v, float) for v in at.values()))
    noise_var = _mean(state, "noise_trace") / int(state.attrs["dof"])
    good = np.all([np.isfinite(x) & (x > 0) for x in arrays], axis=0) & (noise_var > 0)
    usable = {axis: x[good] if good.any() else np.ones(1) for axis, x in zip(at, arrays, strict=True)}
    size = noise_var if noise_var > 0 else 1.0
    found = stationary.stationary_values(kind_of(state), int(state.attrs["dim"]), usable, size)
    out = {name: np.full(good.shape, np.nan) for name in found}
    for name, values in out.items():
        values[good] = found[name] if good.any() else np.nan
    return out


def _complete(state: xr.Dataset, at: At) -> At:
    """``at``, with the rate at the mean σ² of the cells if the protocol steers it."""
    protocol = protocol_of(state)
    if not protocol.steers or protocol.steers in at:
        return at
    noise_var = np.asarray(_mean(state, "noise_trace") / int(state.attrs["dof"]))
    return {**at, protocol.steers: protocol.steered(at, noise_var)}


def temperature_law(state: xr.Dataset) -> xr.Dataset:
    """Temperature of every fixed-LR cell from its noise and mean gradient, ``continuous`` and ``discrete``; level 2.

    √(ηλσ²/(2 dof)) in continuous time; NaN for the other protocols, whose measured temperature is T = η_e σ²/2.
    """
    kind, at, dof = kind_of(state), fixed(state), int(state.attrs["dof"])
    noise, drift = state["noise_trace"].values, np.maximum(state["mean_grad_sq"].values, 1e-300)
    continuous, discrete = np.full(len(noise), np.nan), np.full(len(noise), np.nan)
    if not kind.scaled:
        law = kind.stationary_temperature
        continuous = evaluate(law, at, noise, dof=dof, discrete=False)
        discrete = evaluate(lambda grid, n, m: law(grid, n, dof, mean_grad_sq=m), at, noise, drift)
    return xr.Dataset({"continuous": ("cell", continuous), "discrete": ("cell", discrete)}, state["cell_id"].coords)


def slope_lines(state: xr.Dataset, over: str, rows: np.ndarray) -> xr.Dataset:
    """Straight lines of S against the logarithm of a hyperparameter, one for each row, with the slope of theory.

    ============  ==========================  =====  ================================================
    protocol      S against                   slope  validity
    ============  ==========================  =====  ================================================
    fixed ELR     λ                           −R     exactly, a Maxwell relation
    fixed sphere  r                           2R     exactly, a Maxwell relation
    fixed LR      η at constant ηλ            R      exactly, a Maxwell relation
    fixed ELR     η_e                         2R     at low temperature (harmonic)
    fixed sphere  η_e                         R      at low temperature (harmonic)
    fixed LR      η at constant λ             R      at low temperature (harmonic)
    fixed LR      λ                           0      at low temperature (harmonic)
    ============  ==========================  =====  ================================================

    An exact line passes through the mean of the cells in equilibrium of its row, a harmonic one through that of the
    coldest third.

    Parameters
    ----------
    state
        A state.
    over
        The hyperparameter on the axis; ``"product"`` rows (constant ηλ) make the fixed-LR line over η exact.
    rows
        Number of the row of each cell, (cells,); -1 if it is in none.

    Returns
    -------
    xarray.Dataset
        ``line`` on the cells, with the attributes ``slope`` and ``exact``.
    """
    kind, grid, r = kind_of(state), axes(state), state.attrs["dof"] / 2
    slopes = kind.entropy_slopes()
    if over not in slopes:
        raise refuse("over", " or ".join(grid), over, f"The protocol {state.attrs['protocol']} fixes these.")
    slope, exact = slopes[over][0] * r, slopes[over][1]
    if over == kind.exact_along:
        exact = _constant(np.log(kind.isotherm_key(fixed(state))), rows)
    x, s, t = np.log(grid[over]), state["entropy"].values, state["temperature"].values
    good = in_equilibrium(state) & np.isfinite(s)
    line = np.full(len(x), np.nan)
    for row in np.unique(rows[rows >= 0]):
        here = np.flatnonzero((rows == row) & good)
        if here.size:
            anchor = here if exact else here[np.argsort(t[here])][: -(-here.size // 3)]
            line[rows == row] = np.mean(s[anchor] - slope * x[anchor]) + slope * x[rows == row]
    return xr.Dataset({"line": ("cell", line)}, state["cell_id"].coords, {"slope": slope, "exact": exact})


def along_run(trace: xr.Dataset, windows: int = 40) -> xr.Dataset:
    """Means of the samples in windows of a run, over replicas too; the run need not be stationary.

    The windows are equal in the logarithm of the step, from the first sample to the last.

    Returns
    -------
    xarray.Dataset
        On ``cell, window``: ``step`` (mean step of the window), ``energy``, ``radius``, ``radius_change`` (r − r₀, r₀
        the norm at the first sample) and, if recorded, ``noise_trace`` and ``mean_grad_sq``; NaN without a sample.
    """
    valid, step = traces.valid(trace).values, trace["step"].values.astype(float)
    windows = min(windows, trace.sizes["sample"])
    with np.errstate(invalid="ignore", divide="ignore"):
        place = windows * np.log(step / step[:, :1]) / np.log(step[:, -1:] / step[:, :1])
    place = np.clip(np.nan_to_num(place), 0, windows - 1).astype(int)

    def averages(values: np.ndarray) -> np.ndarray:
        good = valid & np.isfinite(values)
        total, count = np.where(good, values, 0.0).sum(axis=1), good.sum(axis=1)
        found = np.full((len(values), windows), np.nan)
        for i, where in enumerate(place):
            number = np.bincount(where, count[i], windows)
            np.divide(np.bincount(where, total[i], windows), number, out=found[i], where=number > 0)
        return found

    names = [n for n in ("energy", "radius", "noise_trace", "mean_grad_sq") if n in trace]
    radius = trace["radius"].values
    values = {"step": np.broadcast_to(step[:, None], valid.shape), "radius_change": radius - radius[..., :1]}
    values |= {n: trace[n].values for n in names}
    return xr.Dataset({n: (("cell", "window"), averages(v)) for n, v in values.items()}, trace["cell_id"].coords)


def entropy_along_run(trace: xr.Dataset, windows: int | None = None) -> xr.Dataset:
    """The published entropy of the direction in successive windows of the stored directions.

    By default a window has at least 32 directions, and there are at most 12 windows. It measures diffusion if
    neighbours in space are neighbours in time, which ``temporal_neighbours`` shows
    (:mod:`weightgas.measurement.entropy.published`).

    Returns
    -------
    xarray.Dataset
        On ``cell, window``: ``step``, ``entropy_direction`` (nats, mean over replicas), ``temporal_neighbours``;
        NaN if the weights are no longer finite or did not move.

    Raises
    ------
    TraceError
        If the trace has no stored directions, or fewer than two for a window.
    """
    if "directions" not in trace:
        raise TraceError("directions: expected a trace with stored directions, got none. Pass Record(snapshots=400).")
    directions = trace["directions"].values
    count = max(1, min(12, directions.shape[2] // 32)) if windows is None else windows
    edges = np.linspace(0, directions.shape[2], count + 1).astype(int)
    if np.diff(edges).min() < 2:
        got = f"{directions.shape[2]} for {count}"
        fix = "Use fewer windows." if count > 1 else "Record more snapshots."
        raise TraceError(f"directions: expected two or more in each window, got {got}. {fix}")
    shape = (*directions.shape[:2], count)
    entropy, near, step = np.full(shape, np.nan), np.full(shape, np.nan), np.full((shape[0], count), np.nan)
    for k in range(count):
        part = slice(edges[k], edges[k + 1])
        step[:, k] = trace["snapshot_step"].values[:, part].mean(axis=1)
        for i, j in np.ndindex(shape[:2]):
            if np.isfinite(directions[i, j, part]).all() and np.ptp(directions[i, j, part], axis=0).any():
                with np.errstate(divide="ignore"):
                    entropy[i, j, k], near[i, j, k] = published.nearest_neighbour_entropy(directions[i, j, part])
    entropy[~np.isfinite(entropy)] = np.nan
    dims = ("cell", "window")
    values = {"step": step, "entropy_direction": entropy.mean(axis=1), "temporal_neighbours": near.mean(axis=1)}
    return xr.Dataset({n: (dims, v) for n, v in values.items()}, trace["cell_id"].coords)


def _constant(values: np.ndarray, rows: np.ndarray) -> bool:
    """Whether the values agree within every row."""
    return all(np.ptp(values[rows == row]) < 1e-6 for row in np.unique(rows[rows >= 0]))


def _mean(state: xr.Dataset, name: str) -> float:
    """Mean over the cells with a value; NaN if none has one."""
    values = state[name].values
    good = np.isfinite(values)
    return float(values[good].mean()) if good.any() else float("nan")


def _model_grad_sq(dim: int, noise: float, elr: np.ndarray) -> np.ndarray:
    t = evaluate(lambda h: ideal_gas.temperature(h, noise, dim - 1), elr)
    return noise + evaluate(lambda x: (dim - 1) * x * (1 - vmf.energy(dim, x)), t)
