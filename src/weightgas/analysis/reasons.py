"""Why a gas is not ideal: anisotropy of the noise, its dependence on the loss, and the finite step, each as a number.

At low temperature, in a minimum with Hessian H on the sphere (eigenvalues h) and noise Σ (s in the same directions),
direction i has the variance η_e s/(2h), so U − U₀ = RT for any noise, but

    anisotropy   (Var U/T²)/R ≤ (d−1) tr Σ²/(tr Σ)² = (d−1)/d_eff        low effective rank of the noise, a bound:
                 reached where Σ and H commute; in general (d−1) Σ_ij Σ_ij² 4h_ih_j/(h_i+h_j)²/(tr Σ)²
                 (:func:`weightgas.theory.anisotropic.fluctuation`)
    alignment    T_conf/T     = (d−1) tr(HΣ)/(tr H tr Σ)                  the hot directions are the curved ones
    dependence   T follows L with d ln tr Σ/d ln L = b: fluctuations of L heat the gas, and Var U grows by
                 1/(1 − b RT/U)
    finite step  direction i is hotter by 1/(1 − η_e h/2), where the noise is by about 1/(1 − η_e κ/2), κ = tr(HΣ)/tr Σ:
                 T_conf grows by this factor, Var U by about its square

so that (Var U/T²)/R ≲ anisotropy · dependence · (1 − η_e κ/2)⁻². The right-hand side contains no fluctuation, only
noise, curvature, the mean energy and the slope of the noise on the loss. So the explanation can fail in both ways: a
larger fluctuation is not explained, and a smaller one shows that Σ and H do not commute. The first three factors are
exact in their limits. The factor of the step is that of a single curvature; a spread of curvatures gives more. The
alignment is an identity of any stationary run, E L(w₊) = E L(w): T_conf measures the alignment of noise and curvature,
and at low temperature does not detect noise that depends on the loss. Weakness: a network is not in a quadratic
minimum.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from weightgas import trace as traces

BLOCKS = 16
"""Number of blocks of samples whose scatter gives the error of the exponent."""


def reasons(trace: xr.Dataset, state: xr.Dataset) -> xr.Dataset:
    """The prediction of each reason and the measurement in every cell; NaN if it was not recorded.

    Returns
    -------
    xarray.Dataset
        On ``cell``, each with ``<name>_err``: ``fluctuation`` = (Var U/T²)/R and ``anisotropy`` = dof/d_eff, its bound
        at small steps; ``conf_ratio`` = T_conf/T, not corrected for the step, and ``alignment`` = dof tr(HΣ)/(ΔL tr Σ);
        ``exponent`` b = d ln tr Σ/d ln L among the samples of the cell and ``dependence`` = 1/(1 − b RT/U);
        ``finite_step`` = η_e κ/2 and ``step_factor`` = (1 − η_e κ/2)⁻²; ``explained``, the product of anisotropy,
        dependence and step factor, an upper bound where Σ and H do not commute; ``unexplained`` =
        fluctuation/explained.
    """
    dof = int(state.attrs["dof"])
    out: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    nothing = np.full(state.sizes["cell"], np.nan)

    def get(name: str) -> tuple[np.ndarray, np.ndarray]:
        if name not in state:
            return nothing, nothing
        return state[name].values, state[f"{name}_err"].values

    def product(scale: float, *powers: tuple[str, float]) -> tuple[np.ndarray, np.ndarray]:
        value, relative = np.full(len(nothing), scale), np.zeros(len(nothing))
        for name, power in powers:
            x, error = get(name)
            value, relative = value * np.sign(x) * np.abs(x) ** power, np.hypot(relative, power * error / x)
        return value, np.abs(value) * relative

    with np.errstate(all="ignore"):
        out["fluctuation"] = product(2 / dof, ("energy_variance", 1), ("temperature", -2))
        out["anisotropy"] = product(dof, ("noise_dim", -1))
        out["conf_ratio"] = product(1.0, ("temperature_conf", 1), ("temperature", -1))
        out["alignment"] = product(dof, ("step_curvature", 1), ("laplacian", -1))
        out["finite_step"] = product(0.5, ("elr", 1), ("step_curvature", 1))
        out["exponent"] = _exponent(trace, state)
        b, error = out["exponent"]
        share = dof / 2 * get("temperature")[0] / get("energy")[0]
        out["dependence"] = (1 / (1 - b * share), np.abs(error * share) / (1 - b * share) ** 2)
        step, step_error = out["finite_step"]
        step = np.where(step < 1, step, np.nan)
        out["step_factor"] = ((1 - step) ** -2, 2 * step_error * (1 - step) ** -3)
        factors = [out[name] for name in ("anisotropy", "dependence", "step_factor")]
        explained = np.prod([value for value, _ in factors], axis=0)
        out["explained"] = (explained, explained * np.sqrt(sum((e / v) ** 2 for v, e in factors)))
        (seen, seen_error), (expected, error) = out["fluctuation"], out["explained"]
        ratio = seen / expected
        out["unexplained"] = (ratio, np.abs(ratio) * np.hypot(seen_error / seen, error / expected))
    variables = {k: ("cell", v) for k, (v, _) in out.items()} | {f"{k}_err": ("cell", e) for k, (_, e) in out.items()}
    return xr.Dataset(variables, state["cell_id"].coords)


def _exponent(trace: xr.Dataset, state: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Slope of tr Σ on L among the samples of each cell, times ⟨L⟩/⟨tr Σ⟩, with its error from blocks."""
    value, error = np.full(trace.sizes["cell"], np.nan), np.full(trace.sizes["cell"], np.nan)
    if "noise_trace" not in trace:
        return value, error
    names = [name for name in ("energy", "noise_trace", "noise_trace_sq", "samples", "step") if name in trace]
    for cells, batch in traces.batches.each(trace, *names):
        energy, noise = batch["energy"].values, batch["noise_trace"].values
        if trace.attrs["producer"] == "simulate":  # its noise_trace is that of the steps, which changed the energy
            noise = np.sqrt(batch["noise_trace_sq"].values)
        ends, holds = batch["samples"].values.min(axis=1), traces.holds(batch, "noise_trace")
        for i, begin in enumerate(state["burn_in"].values[cells]):
            valid = slice(int(begin), int(ends[i]))
            kept = holds[i, valid]
            if kept.sum() >= 2 * BLOCKS:
                x, y = (v[i, :, valid] if kept.all() else v[i, :, valid][:, kept] for v in (energy, noise))
                value[cells][i], error[cells][i] = _slope(x, y)
    return value, error


def _slope(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Slope of y on x, (replicas, samples) both, in units of their means, and its error from blocks of samples."""
    level = y.mean() / x.mean()
    # Replicas may be in different minima; the dependence of noise on loss is that within each replica.
    x, y = (v - v.mean(axis=1, keepdims=True) for v in (x, y))
    edges = np.linspace(0, x.shape[1], BLOCKS + 1).astype(int)[:-1]
    products, squares = (np.add.reduceat(v, edges, axis=1).sum(axis=0) for v in (x * y, x * x))
    if not squares.sum() > 0:
        return np.nan, np.nan
    left_out = (products.sum() - products) / (squares.sum() - squares) / level
    return products.sum() / squares.sum() / level, np.sqrt((BLOCKS - 1) * left_out.var())
