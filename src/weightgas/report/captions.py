"""What to see in each figure."""

from __future__ import annotations

_TEXTS = """
closed form
    Energy and entropy of the direction against temperature. All protocols fall on the von Mises–Fisher curve (black);
    below, the distance from it grows with the step, as the first-order correction says (coloured lines).
standard errors
    Distance from von Mises–Fisher with the finite-step correction, in standard errors. Where ηₑ is at most 0.01 the
    points should scatter about 0 within the band of ±4; at larger steps the second order shows.
radius
    Radius, predicted from {source}. The points follow the discrete prediction; the dashed line is continuous time,
    which fails where ηλ or ηₑ is no longer small. Hollow points are not in equilibrium.
pressure
    Pressure measured from the growth of the norm before each projection, predicted from {source}. The solid line is
    ηₑG/(2r²); the dashed one is RT/V, which leaves out the drift ‖∇L‖².
radius from the sphere
    Radius at fixed LR over its prediction from G measured on the sphere at the same ηₑ. Nothing of the fixed-LR run
    enters, so this is a prediction: runs that share ηₑ share G, whatever holds them.
temperature
    Temperature T = ηₑσ²/2 from the gradient noise, averaged over all groups of weights.
energy
    Energy: the mean training loss at the weights, over disjoint batches of the training batch size.
noise
    Noise variance per degree of freedom on the unit sphere. A network's noise depends on where it is; the isotropic
    model has one constant.
energy and entropy
    Energy and integrated entropy against temperature, all protocols together. One curve of U for all of them means
    that U depends on the temperature alone. The entropies count from the coldest cell of each protocol.
entropy
    Entropy of the weights over {over}; below, the distance from the dashed slope.
Maxwell
    That slope holds exactly for any gas (a Maxwell relation).
harmonic
    That slope is the one of a harmonic gas at low temperature.
smoothing
    The dotted line is the quadratic fit in both logarithms, the published smoothing.
product
    Entropy over the learning rate along lines of constant ηλ, where the Maxwell relation ∂S/∂ln η − ∂S/∂ln λ = R is
    one slope, exact for any gas.
helmholtz
    Helmholtz potential U − T*S at four radii: every row is a target temperature, every column a state. The star (least
    potential) should lie in the ring (the state that was measured at T*).
gibbs
    Gibbs potential U − T*S + p*V over the grid, for target cells spread over it. The star (least potential) should lie
    in the ring (the cell that was measured at T* and p*).
status
    The status of every cell. Only cells in equilibrium enter the laws.
configurational
    Configurational temperature ⟨‖∇L‖²⟩/⟨ΔL⟩ over that of the noise, every cell. An ideal gas lies at 1; noise along the
    curved directions lifts it. A noise that depends on the loss it sees only at high temperature.
fluctuation
    Fluctuation over response, (Var U/T²)/(dU/dT), between neighbouring temperatures. An ideal gas lies at 1; noise
    that is not isotropic lies above, though its books balance.
Gibbs slope
    Slope of ln P₂(U)/P₁(U) between neighbouring temperatures over its expectation 1/T₁ − 1/T₂. Gibbs states lie at 1.
    Where the energies at two temperatures do not overlap there is no slope.
anisotropy
    Why: the fluctuation of the energy in units of an ideal gas, (Var U/T²)/R, against what is predicted without it:
    degrees of freedom over directions of the noise, times its dependence on the loss, times the finite step. Points on
    the line are explained.
dependence on the loss
    How the noise follows the loss: across cells (points) and among the samples of one cell (lines with its exponent).
finite step
    What the finite step adds to the configurational temperature, against step times the curvature that the noise sees.
group temperatures
    Every scale-invariant group has a temperature of its own, from its noise (left) and from its gradient and Laplacian
    (right). In an ideal gas all lie on the line.
layers
    The gases of the layers, mean over the cells in equilibrium. Pressures, from the gradients, must be that of the
    network in any stationary run: the layers are in mechanical equilibrium. Temperatures need not be equal.
along the run
    Loss, radius, noise and entropy along the run, by learning rate. Where loss and noise go on falling there is no
    stationary state and no temperature: the network fits the data and the gas freezes. The entropy is the published
    nearest-neighbour estimate over successive windows; with windows this short it measures how far the weights diffuse.
watched
    Norm of every group with r*, where decay and growth would balance, effective learning rate, angle of a step, and the
    budget of all groups together. The status in the legend is that of the monitor, group by group.
"""


def _read(texts: str) -> dict[str, str]:
    found: dict[str, str] = {}
    name = ""
    for line in texts.strip().split("\n"):
        if line.startswith(" "):
            found[name] = f"{found[name]} {line.strip()}".strip()
        else:
            name = line
            found[name] = ""
    return found


CAPTIONS = _read(_TEXTS)
"""Captions by the name of what is drawn; some have a field to fill."""
