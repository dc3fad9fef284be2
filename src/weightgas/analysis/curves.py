"""Theory curves for the figures: computed here, drawn there."""

from __future__ import annotations

import numpy as np
import xarray as xr

from weightgas import trace as traces
from weightgas.analysis.cells import axes, evaluate, in_equilibrium
from weightgas.errors import TraceError, refuse
from weightgas.measurement.entropy import paper
from weightgas.theory import ideal_gas, vmf


def is_paper_model(data: xr.Dataset) -> bool:
    """Whether a trace or state is of the linear loss with isotropic noise, whose closed form is von Mises–Fisher."""
    return data.attrs.get("potential") == "linear" and str(data.attrs.get("noise", "")).startswith("isotropic")


def model_values(state: xr.Dataset, *, finite_step: bool = True) -> xr.Dataset:
    """Energy and direction entropy of the isotropic noise model at the measured temperature of every cell.

    von Mises–Fisher values, with the correction of first order in η_e unless ``finite_step`` is False. Exact up to
    that order.
    """
    t, elr, dim = state["temperature"].values, state["elr"].values, int(state.attrs["dim"])
    energy, entropy = (evaluate(lambda x, f=f: f(dim, x), t) for f in (vmf.energy, vmf.entropy))
    if finite_step:
        protocol = state.attrs["protocol"]
        energy = energy + evaluate(lambda x, h: vmf.finite_step_energy(dim, x, h, protocol), t, elr)
        entropy = entropy + evaluate(lambda x, h: vmf.finite_step_entropy(dim, x, h, protocol), t, elr)
    return xr.Dataset({"energy": ("cell", energy), "entropy_direction": ("cell", entropy)}, state["cell_id"].coords)


def model_curve(
    dim: int, temperature: np.ndarray, elr: np.ndarray | None = None, protocol: str = "fixed_sphere"
) -> dict[str, np.ndarray]:
    """``energy`` and ``entropy_direction`` of the isotropic noise model along ``temperature``.

    With ``elr`` to first order in it.
    """
    energy, entropy = vmf.energy(dim, temperature), vmf.entropy(dim, temperature)
    if elr is not None:
        energy = energy + vmf.finite_step_energy(dim, temperature, elr, protocol)  # type: ignore[arg-type]
        entropy = entropy + vmf.finite_step_entropy(dim, temperature, elr, protocol)  # type: ignore[arg-type]
    return {"energy": np.asarray(energy), "entropy_direction": np.asarray(entropy)}


def model_radius(state: xr.Dataset, lr: np.ndarray, wd: np.ndarray, *, discrete: bool) -> np.ndarray:
    """Root mean square radius of the isotropic noise model at any hyperparameters (η at fixed LR, η_e at fixed ELR).

    No measured G enters: G = σ²(d−1) + E‖∇L‖², E‖∇L‖² = (d−1)T(1−U); at fixed LR T and r are solved together by
    iteration. ``discrete`` takes the finite step, and the spread of r to first order
    (:func:`weightgas.theory.ideal_gas.mean_square_radius_fixed_lr` and its relative).
    """
    dim, dof = int(state.attrs["dim"]), int(state.attrs["dof"])
    noise = _mean(state, "noise_trace")
    lr, wd = np.broadcast_arrays(np.asarray(lr, float), np.asarray(wd, float))
    if state.attrs["protocol"] == "fixed_elr":
        grad_sq = _model_grad_sq(dim, noise, lr)
        if discrete:
            return np.sqrt(evaluate(ideal_gas.mean_square_radius_fixed_elr, lr, wd, grad_sq, dof=dof))
        return evaluate(ideal_gas.radius_fixed_elr, lr, wd, grad_sq, discrete=False)
    grad_sq = np.full(lr.shape, noise)
    radius = evaluate(ideal_gas.radius_fixed_lr, lr, wd, grad_sq, discrete=discrete)
    for _ in range(5):
        grad_sq = _model_grad_sq(dim, noise, lr / radius**2)
        radius = evaluate(ideal_gas.radius_fixed_lr, lr, wd, grad_sq, discrete=discrete)
    return np.sqrt(evaluate(ideal_gas.mean_square_radius_fixed_lr, lr, wd, grad_sq, dof=dof)) if discrete else radius


def model_pressure(state: xr.Dataset, elr: np.ndarray, radius: np.ndarray, *, discrete: bool) -> np.ndarray:
    """Pressure of the isotropic noise model on the sphere: RT/V, or η_eG/(2r²) which holds at every step."""
    dim = int(state.attrs["dim"])
    noise = _mean(state, "noise_trace")
    elr, radius = np.broadcast_arrays(np.asarray(elr, float), np.asarray(radius, float))
    grad_sq = _model_grad_sq(dim, noise, elr) if discrete else np.full(elr.shape, noise)
    return evaluate(ideal_gas.pressure_fixed_sphere, elr, radius, grad_sq)


def model_temperature(state: xr.Dataset, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """T = η_e σ²/2 of the isotropic noise model at any hyperparameters, given in the order of the protocol's axes."""
    return _model_elr(state, first, second) * _mean(state, "noise_var") / 2


def model_energy(state: xr.Dataset, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """U of the isotropic noise model at any hyperparameters, to first order in η_e."""
    dim, protocol = int(state.attrs["dim"]), state.attrs["protocol"]
    t, elr = model_temperature(state, first, second), _model_elr(state, first, second)
    return evaluate(lambda x, h: vmf.energy(dim, x) + vmf.finite_step_energy(dim, x, h, protocol), t, elr)


def model_entropy(state: xr.Dataset, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """S = S(w̄) + (d−1) ln r of the isotropic noise model at any hyperparameters, S(w̄) to first order in η_e."""
    dim, protocol = int(state.attrs["dim"]), state.attrs["protocol"]
    t, elr = model_temperature(state, first, second), _model_elr(state, first, second)
    radius = second if protocol == "fixed_sphere" else model_radius(state, first, second, discrete=True)
    direction = evaluate(lambda x, h: vmf.entropy(dim, x) + vmf.finite_step_entropy(dim, x, h, protocol), t, elr)
    return direction + evaluate(ideal_gas.entropy_of_radius, radius, dof=int(state.attrs["dof"]))


def temperature_law(state: xr.Dataset) -> xr.Dataset:
    """Temperature of every fixed-LR cell from its own noise and drift, ``continuous`` and ``discrete``; level 2.

    √(ηλσ²/(2 dof)) in continuous time; NaN for the other protocols, where T = η_e σ²/2 is what is measured.
    """
    held, dof = axes(state), int(state.attrs["dof"])
    noise, drift = state["noise_trace"].values, np.maximum(state["mean_grad_sq"].values, 1e-300)
    continuous, discrete = np.full(len(noise), np.nan), np.full(len(noise), np.nan)
    if "lr" in held:
        law = ideal_gas.temperature_fixed_lr
        continuous = evaluate(law, held["lr"], held["wd"], noise, dof=dof, discrete=False)
        cells = (held["lr"], held["wd"], noise, drift)
        discrete = evaluate(lambda a, b, c, m: law(a, b, c, dof, mean_grad_sq=m), *cells)
    return xr.Dataset({"continuous": ("cell", continuous), "discrete": ("cell", discrete)}, state["cell_id"].coords)


def slope_lines(state: xr.Dataset, over: str, rows: np.ndarray) -> xr.Dataset:
    """Straight lines of S against the logarithm of a hyperparameter, one for each row, with the slope of theory.

    ============  ==========================  =====  ================================================
    protocol      S over                      slope  holds
    ============  ==========================  =====  ================================================
    fixed ELR     λ                           −R     exactly, a Maxwell relation
    fixed sphere  r                           2R     exactly, a Maxwell relation
    fixed LR      η at constant ηλ            R      exactly, a Maxwell relation
    fixed ELR     η_e                         2R     at low temperature (harmonic)
    fixed sphere  η_e                         R      at low temperature (harmonic)
    fixed LR      η at constant λ             R      at low temperature (harmonic)
    fixed LR      λ                           0      at low temperature (harmonic)
    ============  ==========================  =====  ================================================

    An exact line goes through the mean of its row's cells in equilibrium, a harmonic one through that of the
    coldest third.

    Parameters
    ----------
    state
        A state.
    over
        The hyperparameter S is drawn over; ``"product"`` rows (constant ηλ) make the fixed-LR line over η exact.
    rows
        Number of the row of each cell, (cells,); -1 where it is in none.

    Returns
    -------
    xarray.Dataset
        ``line`` on the cells, with the attributes ``slope`` and ``exact``.
    """
    held, r = axes(state), state.attrs["dof"] / 2
    if over not in held:
        raise refuse("over", " or ".join(held), over, f"The protocol {state.attrs['protocol']} holds these.")
    product = "lr" in held and _constant(np.log(held["lr"] * held["wd"]), rows)
    exact = over in ("wd", "radius") if "elr" in held else over == "lr" and product
    if "lr" in held:
        slope = {"lr": r, "wd": 0.0}[over]
    else:
        slope = {"wd": -r, "radius": 2 * r, "elr": 2 * r if "wd" in held else r}[over]
    x, s, t = np.log(held[over]), state["entropy"].values, state["temperature"].values
    good = in_equilibrium(state) & np.isfinite(s)
    line = np.full(len(x), np.nan)
    for row in np.unique(rows[rows >= 0]):
        here = np.flatnonzero((rows == row) & good)
        if here.size:
            anchor = here if exact else here[np.argsort(t[here])][: -(-here.size // 3)]
            line[rows == row] = np.mean(s[anchor] - slope * x[anchor]) + slope * x[rows == row]
    return xr.Dataset({"line": ("cell", line)}, state["cell_id"].coords, {"slope": slope, "exact": exact})


def along_run(trace: xr.Dataset, windows: int = 40) -> xr.Dataset:
    """Means of the readings in equal stretches of a run, over replicas too; for runs that need not be stationary.

    Returns
    -------
    xarray.Dataset
        On ``cell, window``: ``step`` (mean step of the stretch), ``energy``, ``radius`` and, where it was read,
        ``noise_trace``; NaN after the end of a cell.
    """
    valid, length = traces.valid(trace).values, trace.sizes["reading"]
    edges = np.unique(np.linspace(0, length, min(windows, length) + 1).astype(int))
    step = np.broadcast_to(trace["step"].values[:, None, :], valid.shape)

    def averages(values: np.ndarray) -> np.ndarray:
        good = valid & np.isfinite(values)
        count = np.add.reduceat(good.sum(axis=1), edges[:-1], axis=1)
        total = np.add.reduceat(np.where(good, values, 0.0).sum(axis=1), edges[:-1], axis=1)
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)

    names = [n for n in ("energy", "radius", "noise_trace") if n in trace]
    values = {"step": step.astype(float), **{n: trace[n].values for n in names}}
    return xr.Dataset({n: (("cell", "window"), averages(v)) for n, v in values.items()}, trace["cell_id"].coords)


def entropy_along_run(trace: xr.Dataset, windows: int | None = None) -> xr.Dataset:
    """The published entropy of the direction in successive windows of the stored directions.

    By default there are 32 directions or more to a window, and at most 12 windows.
    It measures diffusion wherever neighbours in space are neighbours in time, which ``temporal_neighbours`` says
    (:mod:`weightgas.measurement.entropy.paper`).

    Returns
    -------
    xarray.Dataset
        On ``cell, window``: ``step``, ``entropy_direction`` (nats, mean over replicas), ``temporal_neighbours``;
        NaN where the weights stopped being finite or did not move.

    Raises
    ------
    TraceError
        If the trace has no stored directions, or fewer than two for a window.
    """
    if "directions" not in trace:
        raise TraceError("directions: expected a trace with stored directions, got none. Run with snapshots=400.")
    directions = trace["directions"].values
    count = max(1, min(12, directions.shape[2] // 32)) if windows is None else windows
    edges = np.linspace(0, directions.shape[2], count + 1).astype(int)
    if np.diff(edges).min() < 2:
        got = f"{directions.shape[2]} for {count}"
        raise TraceError(f"directions: expected two or more to a window, got {got}. Use fewer windows.")
    shape = (*directions.shape[:2], count)
    entropy, near, step = np.full(shape, np.nan), np.full(shape, np.nan), np.full((shape[0], count), np.nan)
    for k in range(count):
        part = slice(edges[k], edges[k + 1])
        step[:, k] = trace["snapshot_step"].values[:, part].mean(axis=1)
        for i, j in np.ndindex(shape[:2]):
            if np.isfinite(directions[i, j, part]).all() and np.ptp(directions[i, j, part], axis=0).any():
                with np.errstate(divide="ignore"):
                    entropy[i, j, k], near[i, j, k] = paper.nearest_neighbour_entropy(directions[i, j, part])
    entropy[~np.isfinite(entropy)] = np.nan
    dims = ("cell", "window")
    values = {"step": step, "entropy_direction": entropy.mean(axis=1), "temporal_neighbours": near.mean(axis=1)}
    return xr.Dataset({n: (dims, v) for n, v in values.items()}, trace["cell_id"].coords)


def _constant(values: np.ndarray, rows: np.ndarray) -> bool:
    """Whether the values agree within every row."""
    return all(np.ptp(values[rows == row]) < 1e-6 for row in np.unique(rows[rows >= 0]))


def _mean(state: xr.Dataset, name: str) -> float:
    """Mean over the cells that have a value; NaN where none has."""
    values = state[name].values
    good = np.isfinite(values)
    return float(values[good].mean()) if good.any() else float("nan")


def _model_elr(state: xr.Dataset, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    first, second = np.broadcast_arrays(np.asarray(first, float), np.asarray(second, float))
    if state.attrs["protocol"] != "fixed_lr":
        return first
    dim, dof = int(state.attrs["dim"]), int(state.attrs["dof"])
    noise = _mean(state, "noise_trace")
    drift = _model_grad_sq(dim, noise, first / model_radius(state, first, second, discrete=True) ** 2) - noise
    law = ideal_gas.temperature_fixed_lr
    return evaluate(lambda a, b, m: law(a, b, noise, dof, mean_grad_sq=m), first, second, drift) * 2 * dof / noise


def _model_grad_sq(dim: int, noise: float, elr: np.ndarray) -> np.ndarray:
    t = evaluate(lambda h: ideal_gas.temperature(h, noise, dim - 1), elr)
    return noise + evaluate(lambda x: (dim - 1) * x * (1 - vmf.energy(dim, x)), t)
