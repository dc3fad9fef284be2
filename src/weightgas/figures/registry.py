"""The built-in figures of a report, by chapter, with their captions.

A custom figure is another :class:`~weightgas.figures.entry.Figure`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from matplotlib import figure as mpl

from weightgas.analysis.findings import Findings
from weightgas.figures.along import along_run
from weightgas.figures.cells import status_map
from weightgas.figures.diagnostics import configurational, fluctuation, gibbs_slope, group_temperatures
from weightgas.figures.entropies import energy_and_entropy, entropy
from weightgas.figures.entry import Figure
from weightgas.figures.equation_of_state import pressure, radius
from weightgas.figures.estimators import entropies
from weightgas.figures.families import named_axis
from weightgas.figures.layers import layers
from weightgas.figures.potentials import potential_maps
from weightgas.figures.reasons import anisotropy, finite_step, loss_dependence
from weightgas.figures.variables import energy, noise, temperature
from weightgas.figures.watched import watched
from weightgas.trace import fixed, kind_of


def _alone(draw: Callable[..., mpl.Figure]) -> Callable[..., mpl.Figure]:
    """A figure of all runs without the reference simulations."""
    return lambda runs, controls=None, **size: draw(runs, **size)


def _on_sphere(run: Findings) -> bool:
    return kind_of(run.state).projected


def _trained(run: Findings) -> bool:
    return run.state.attrs["producer"] == "train"


def _some_settled(run: Findings) -> bool:
    return bool(run.settled.any())


def _source(run: Findings) -> str:
    return "the hyperparameters alone" if run.is_model else "the gradient moment G of the same cell"


def _radius_caption(run: Findings) -> str:
    return (
        f"Radius, predicted from {_source(run)}. The points follow the discrete prediction; the dashed line is "
        "continuous time, which fails where ηλ or ηₑ is no longer small. Hollow points are not in equilibrium."
    )


def _pressure_caption(run: Findings) -> str:
    return (
        "Pressure measured from the growth of the norm before each projection, predicted from "
        f"{_source(run)}. The solid line is ηₑG/(2r²); the dashed one is RT/V, which omits the drift ‖∇L‖²."
    )


def _entropy(over: str, words: str, suits: Callable[[Findings], bool]) -> Figure:
    """The entropy over one hyperparameter, with the slope of theory."""

    def draw(run: Findings, **size: Any) -> mpl.Figure:
        return entropy(run, over=over, smoothing=_trained(run), **size)

    def caption(run: Findings) -> str:
        kind = kind_of(run.state)
        harmonic = not kind.entropy_slopes()[named_axis(kind, over)][1]
        slope = "the one of a harmonic gas at low temperature" if harmonic else "exact for any gas (a Maxwell relation)"
        text = f"Entropy of the weights over {words}; below, the distance from the dashed slope. That slope is {slope}."
        if _trained(run):
            text += " The dotted line is the quadratic fit in both logarithms, the published smoothing."
        return text

    def fits(run: Findings) -> bool:
        kind = kind_of(run.state)
        return run.state.sizes["cell"] > 1 and named_axis(kind, over) in kind.entropy_slopes() and suits(run)

    return Figure(f"entropy over {words}", caption, draw, level=2, suits=fits)


def _shares_products(run: Findings) -> bool:
    """Whether there is an exact slope within isotherms (at fixed LR, of one ηλ), for three cells or more."""
    kind = kind_of(run.state)
    if kind.exact_along not in kind.entropy_slopes():
        return False
    key = np.round(np.log(kind.isotherm_key(fixed(run.state))), 9)
    return bool(np.unique(key, return_counts=True)[1].max() >= 3)


def _potential_caption(run: Findings) -> str:
    if _on_sphere(run):
        return (
            "Helmholtz potential U − T*S, a panel for each radius (at most four): every row is a target temperature, "
            "every column a state. The star (least potential) should lie in the ring (the state measured at T*)."
        )
    return (
        "Gibbs potential U − T*S + p*V over the grid, for target cells spread over it. The star (least potential) "
        "should lie in the ring (the cell that was measured at T* and p*)."
    )


STATUS = Figure(
    "status",
    "The status of every cell. Only cells in equilibrium enter the laws.",
    status_map,
    level=1,
    suits=lambda run: not run.settled.all(),
)

CLOSED_FORM = (
    Figure(
        "energy and entropy",
        "Energy and entropy of the direction against temperature. All protocols fall on the von Mises–Fisher curve "
        "(black); below, the distance from it grows with the step, as the theory of the finite step predicts (coloured "
        "lines).",
        _alone(energy_and_entropy),
        joint=True,
    ),
    Figure(
        "distance in standard errors",
        "Distance from the theory of the isotropic model with its finite step, which holds to all orders in ηₑ, in "
        "standard errors. The points should scatter about 0 within the band of ±4.",
        _alone(partial(energy_and_entropy, residual="standard errors")),
        joint=True,
    ),
)

IDENTITIES = (
    Figure("radius", _radius_caption, radius, level=2, suits=lambda run: not _on_sphere(run)),
    Figure("pressure", _pressure_caption, pressure, level=2, suits=_on_sphere),
)

VARIABLES = (
    Figure(
        "temperature",
        "Temperature T = ηₑσ²/2 from the gradient noise, averaged over all groups of weights.",
        temperature,
    ),
    Figure(
        "energy",
        "Energy: the mean training loss at the weights, over disjoint batches of the training batch size.",
        energy,
    ),
    Figure(
        "noise",
        "Noise variance per degree of freedom on the unit sphere. The noise of a network depends on its weights; that "
        "of the isotropic model is constant.",
        noise,
    ),
    Figure(
        "energy and entropy",
        "Energy and integrated entropy against temperature, all protocols together. One curve of U for all of them "
        "means that U depends on the temperature alone. Entropies are relative to the coldest cell of each protocol.",
        _alone(energy_and_entropy),
        joint=True,
    ),
)

ENTROPIES = (
    _entropy("radius", "the radius", _on_sphere),
    _entropy("wd", "the weight decay", lambda run: not _on_sphere(run)),
    _entropy("lr", "the (effective) learning rate", lambda run: True),
    Figure(
        "entropy at constant ηλ",
        "Entropy over the learning rate along lines of constant ηλ, where the Maxwell relation ∂S/∂ln η − ∂S/∂ln λ = R "
        "is a single slope, exact for any gas.",
        partial(entropy, across="product"),
        level=2,
        suits=_shares_products,
    ),
    Figure(
        "entropy by estimator",
        "Entropy of the weights by each estimator over both hyperparameters, in units of R from its mean, with the "
        "published quadratic smoothing. Crosses: the published estimator on a random walk of the same diffusion, which "
        "has no loss. Where they lie on the points, the published entropy measures diffusion, and a good fit "
        "of it tests nothing.",
        entropies,
        level=2,
        suits=lambda run: _trained(run) and any(np.isfinite(s.entropies.value).any() for s in run.smoothings.values()),
    ),
)

POTENTIALS = (Figure("potentials", _potential_caption, potential_maps),)

LAYERS = (
    Figure(
        "layers",
        "The gases of the layers, mean over the cells in equilibrium. Pressures, from the gradients, must be that of "
        "the network in any stationary run: the layers are in mechanical equilibrium. Temperatures need not be equal.",
        _alone(layers),
        needs=("temperature_group",),
        level=2,
        suits=lambda run: _some_settled(run) and "temperature_group" in run.state,
        joint=True,
    ),
)

DIAGNOSTICS = (
    Figure(
        "configurational temperature",
        "Configurational temperature ⟨‖∇L‖²⟩/⟨ΔL⟩ over that of the noise, for every cell. An ideal gas lies at 1; "
        "noise along the curved directions raises it. Noise that depends on the loss is detected only at high "
        "temperature.",
        configurational,
        level=3,
        suits=lambda run: "conf_ratio" in run.state,
        joint=True,
    ),
    Figure(
        "fluctuation and response",
        "Fluctuation over response, (Var U/T²)/(dU/dT), between neighbouring temperatures. An ideal gas lies at 1; a "
        "gas with anisotropic noise lies above, although it satisfies the identities.",
        fluctuation,
        level=3,
        joint=True,
    ),
    Figure(
        "Gibbs slope",
        "Slope of ln P₂(U)/P₁(U) between neighbouring temperatures over its expectation 1/T₁ − 1/T₂. Gibbs states lie "
        "at 1. Where the energies at two temperatures do not overlap there is no slope.",
        gibbs_slope,
        level=3,
        joint=True,
    ),
    Figure(
        "anisotropy",
        "The reasons: the fluctuation of the energy over its prediction without any fluctuation, against T. The "
        "prediction is the degrees of freedom over the effective rank of the noise (a bound), times the effect of its "
        "dependence on the loss, times that of the finite step. Cells at 1 are explained, cells above 1 are not; in "
        "cells below 1 noise and curvature do not commute.",
        anisotropy,
        needs=("noise_dim",),
        level=3,
        suits=_some_settled,
        joint=True,
    ),
    Figure(
        "finite step",
        "The effect of the finite step on the configurational temperature, against the step times the curvature "
        "weighted by the noise.",
        finite_step,
        needs=("noise_dim",),
        level=3,
        suits=_some_settled,
        joint=True,
    ),
    Figure(
        "dependence on the loss",
        "The dependence of the noise on the loss: across cells (points), and among the samples of one cell (lines with "
        "its exponent).",
        _alone(loss_dependence),
        needs=("noise_dim",),
        level=3,
        suits=lambda run: _some_settled(run) and _trained(run),
        joint=True,
    ),
    Figure(
        "group temperatures",
        "The temperature of every scale-invariant group, from its noise (left) and from its gradient and Laplacian "
        "(right). In an ideal gas all lie on the line.",
        group_temperatures,
        level=3,
        suits=lambda run: _some_settled(run) and "temperature_group" in run.state,
    ),
)

ALONG_RUN = Figure(
    "along the run",
    "Loss, r − r₀ (r₀: the norm at the first sample), tr Σ and ‖∇L‖² against the logarithm of the step, by learning "
    "rate. Where loss, noise and gradient continue to fall together there is no stationary state and no temperature: "
    "the network fits the data and the gas freezes. In a stationary run all four become constant.",
    along_run,
    level=1,
)

WATCHED = Figure(
    "watched",
    "Norm of every group with r*, where decay and growth would balance, effective learning rate, angle of a step, and "
    "the budget of all groups together. The legend has the status of each group.",
    watched,
    level=1,
)

CHAPTERS: dict[str, tuple[Figure, ...]] = {
    "status": (STATUS,),
    "closed form": CLOSED_FORM,
    "identities": IDENTITIES,
    "variables": VARIABLES,
    "entropies": ENTROPIES,
    "potentials": POTENTIALS,
    "layers": LAYERS,
    "diagnostics": DIAGNOSTICS,
    "along the run": (ALONG_RUN,),
    "watched": (WATCHED,),
}
"""The built-in figures by chapter, in the order of a report."""
