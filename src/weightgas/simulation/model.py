"""What is simulated: a loss and a noise of one dimension, checked, in the axes in which the loss is diagonal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from weightgas.errors import finite_number, refuse, whole_number
from weightgas.losses import CustomLoss, CustomNoise, Isotropic, Linear, Loss, Noise, QuadraticForm
from weightgas.optimizers import SGD
from weightgas.protocols import Protocol
from weightgas.simulation import compiled, validation
from weightgas.simulation.compiled import CompiledLoss, CompiledNoise, CustomForm


@dataclass(frozen=True, eq=False)
class Model:
    """A loss and a noise in ``dim`` dimensions.

    ``form`` is the loss; ``factor`` is B of the noise covariance Σ = B Bᵀ in the axes of the loss, (dim,) if the
    coordinates are independent, else (dim, dim). ``strength`` is a and b of a noise with the covariance (a + b L) Σ.
    ``curved``: Σ = B² max(A − m, 0), A − m the curvature of the loss in its axes. ``own_loss`` and ``own_noise`` are
    compiled custom functions; ``form`` then has no coefficients and ``factor`` is 1. ``linear_noise``: whether a custom
    noise is linear in its normals. ``momentum`` is α, ``nesterov`` whether it is Nesterov's.
    """

    loss: Loss | CustomLoss
    noise: Noise | CustomNoise
    dim: int
    form: QuadraticForm
    factor: np.ndarray
    strength: tuple[float, float] = (1.0, 0.0)
    curved: bool = False
    own_loss: CompiledLoss | None = None
    own_noise: CompiledNoise | None = None
    linear_noise: bool = True
    momentum: float = 0.0
    nesterov: bool = False

    @property
    def general(self) -> bool:
        """Whether it needs the step of :mod:`.general`: for momentum, custom functions, or noise of the curvature."""
        return bool(self.momentum or self.curved or self.own_loss or self.own_noise)

    @property
    def side_by_side(self) -> bool:
        """Whether full runs go side by side (:mod:`.diagonal`): independent noises, not :mod:`.general`."""
        return self.factor.ndim == 1 and not self.general

    @property
    def linear(self) -> bool:
        """Whether the loss is that of one overlap z = b·w̄ with a unit vector b; the density of z is then counted."""
        return not self.form.curvature.any() and bool(abs(self.form.linear @ self.form.linear - 1) < 1e-12)

    @property
    def isotropic(self) -> bool:
        """Whether Σ is a multiple of the identity before the projection, for any strength."""
        return self.own_noise is None and self.factor.ndim == 1 and bool((self.factor == self.factor[0]).all())

    @property
    def state_dependent(self) -> bool:
        """Whether Σ depends on the weights; this is assumed for a custom function."""
        return self.curved or self.strength[1] != 0 or self.own_noise is not None

    @property
    def reducible(self) -> bool:
        """Whether overlap and radius form a Markov chain: linear loss, isotropic noise of any strength."""
        return self.linear and self.isotropic and not self.general

    @property
    def spread(self) -> np.ndarray:
        """The factor in the form of the kernels: (dim, dim), for :mod:`.general` also one column (dim, 1)."""
        return np.ascontiguousarray(self.factor[:, None] if self.factor.ndim == 1 else self.factor)

    def overlap(self, directions: np.ndarray) -> np.ndarray:
        """z = b·w̄ of unit vectors (…, dim)."""
        return directions @ self.form.linear

    def noise_trace(self, directions: np.ndarray) -> np.ndarray:
        """tr PΣP = (a + b L)(tr Σ − w̄ᵀΣw̄) of unit vectors (…, dim), shape (…)."""
        strength = self.strength[0] + self.strength[1] * self.form.loss(directions)
        if self.own_noise is not None:
            return validation.noise_trace(self.own_noise, directions, linear=self.linear_noise)
        if self.curved:
            slope = self.form.linear + self.form.curvature * directions
            above = np.maximum(self.form.curvature - np.sum(slope * directions, axis=-1, keepdims=True), 0)
            return strength * np.sum(self.factor**2 * above * (1 - directions**2), axis=-1)
        along = directions * self.factor if self.factor.ndim == 1 else directions @ self.factor
        return strength * (np.sum(self.factor**2) - np.sum(along**2, axis=-1))

    def to_original(self, vectors: np.ndarray) -> np.ndarray:
        """Transform from the axes of the loss to the user's coordinates."""
        return vectors if self.form.axes is None else vectors @ self.form.axes.T

    def to_axes(self, vectors: np.ndarray) -> np.ndarray:
        """Transform from the user's coordinates to the axes of the loss."""
        return vectors if self.form.axes is None else vectors @ self.form.axes

    def attributes(self) -> dict[str, Any]:
        """Names and checksums that identify in a trace what was simulated."""
        form, where = self.form, validation.points(self.dim)
        arrays = [np.float64(form.constant), form.linear, form.curvature, *([] if form.axes is None else [form.axes])]
        if self.own_loss is not None:
            arrays = [*self.own_loss.both(where)]
        noises = [self.factor if isinstance(self.noise, CustomNoise) else self.noise.factor(self.dim)]
        if self.own_noise is not None:
            noises = [self.own_noise.make(where, where[::-1].copy())]
        return {
            "loss": self.loss.name,
            "loss_crc": validation.fingerprint(*arrays),
            "noise": self.noise.name,
            "noise_crc": validation.fingerprint(*noises),
            **({"momentum": self.momentum, "nesterov": int(self.nesterov)} if self.momentum else {}),
        }

    def effective(self, protocol: Protocol) -> Protocol:
        """The protocol with the learning rate η/(1 − α), on which T, p and relaxation times depend."""
        if not self.momentum or protocol.steers:
            return protocol
        rate, cells = protocol.axes[0], protocol.cells()
        values = [float(f"{x / (1 - self.momentum):.15g}") for x in cells[rate]]  # 1, not 1.0000000000000002
        return protocol.with_cells(cells | {rate: np.array(values)})

    def facts(self) -> dict[str, float]:
        """The exactly known facts about noise and loss that later checks use.

        ``noise_isotropic`` and ``noise_state_dependent``, 1 or 0: the kind of the noise.
        ``laplacian_slope``: ΔL = slope · L + constant on the sphere, for a loss that is linear (−(d−1)) or quadratic
        (−2d), the two degrees of spherical harmonics; ``loss_minimum`` and, if not degenerate, ``log_det_hessian``
        there, and the number of equal ``minima``: a quadratic loss has equal minima at w̄ and −w̄. Of a custom loss
        nothing is known. With momentum there is no slope, since the correction that uses it is that of plain SGD.
        """
        form, dim = self.form, self.dim
        kind: dict[str, float] = {"noise_isotropic": int(self.isotropic and not self.curved)}
        kind["noise_state_dependent"] = int(self.state_dependent)
        if self.own_loss is not None or (form.linear.any() and form.curvature.any()):
            return kind
        if form.linear.any():
            slope, hessian = 1.0 - dim, np.full(dim - 1, np.linalg.norm(form.linear))
            lowest = form.constant - hessian[0]
        else:
            slope, hessian = -2.0 * dim, np.sort(form.curvature)[1:] - form.curvature.min()
            lowest = form.constant + form.curvature.min() / 2
        known = {"log_det_hessian": float(np.log(hessian).sum())} if hessian.min() > 0 else {}
        plain = {} if self.momentum else {"laplacian_slope": slope}
        return {**kind, **plain, "loss_minimum": float(lowest), "minima": 1.0 if form.linear.any() else 2.0, **known}


def resolved(
    loss: Loss | CustomLoss | None, noise: Noise | CustomNoise | None, dim: int, optimizer: SGD | None = None
) -> Model:
    """The model, by default of linear loss and isotropic noise; TypeError or ValueError if a part of it is wrong."""
    loss = Linear() if loss is None else loss
    noise = Isotropic() if noise is None else noise
    for name, given, kinds, has, one in (
        ("loss", loss, (Loss, CustomLoss), "name, form and sample, or a CustomLoss", "Linear()"),
        ("noise", noise, (Noise, CustomNoise), "name and factor, or a CustomNoise", "Isotropic(sigma=2.0)"),
    ):
        if not isinstance(given, kinds) or isinstance(given, type):
            got = f"the class {given.__name__}" if isinstance(given, type) else type(given).__name__
            fix = f"Pass for instance weightgas.losses.{one}."
            raise TypeError(f"{name}: expected an object with {has}, got {got}. {fix}")
    dim = whole_number("dim", dim, minimum=2, fix="A sphere needs at least two weights.")
    momentum, nesterov = _momentum(optimizer)
    curved = bool(getattr(noise, "follows_curvature", False))
    own_loss, own_noise, linear_noise = None, None, True
    if isinstance(loss, CustomLoss):
        own_loss = _own_loss(loss, dim)
        form = CustomForm(0.0, np.zeros(dim), np.zeros(dim), None, own_loss)
    else:
        form = loss.form(dim)
    if isinstance(noise, CustomNoise):
        validation.try_in_python("noise", noise.noise, dim, outputs=1, normals=1)
        own_noise = compiled.compile_noise(noise)
        linear_noise = validation.check_noise(own_noise, dim)
        factor = np.ones(dim)
    else:
        factor = np.asarray(noise.factor(dim), dtype=float)
    shapes = {"linear": (form.linear, [(dim,)]), "curvature": (form.curvature, [(dim,)])}
    shapes |= {} if form.axes is None else {"axes": (form.axes, [(dim, dim)])}
    for name, (array, allowed) in {**shapes, "factor": (factor, [(dim,), (dim, dim)])}.items():
        if np.shape(array) not in allowed or not np.isfinite(array).all():
            expected = f"finite numbers of shape {' or '.join(map(str, allowed))}"
            fix = "Correct form() of the loss or factor() of the noise."
            raise refuse(name, expected, f"shape {np.shape(array)}", fix)
    if curved and own_loss is not None:
        fix = "Write the noise as a CustomNoise."
        raise refuse("noise", "a linear or quadratic loss with the noise hessian", loss.name, fix)
    if own_noise is not None and form.axes is not None:
        fix = "Give the loss by its eigenvalues, or as a CustomLoss."
        raise refuse("noise", "a loss in the coordinates of the noise", "a matrix that is not diagonal", fix)
    same = factor.ndim == 1 and bool((factor == factor[0]).all())  # isotropic noise is isotropic in any axes
    if form.axes is not None and not same:
        factor = form.axes.T @ (np.diag(factor) if factor.ndim == 1 else factor)
    offset, slope = (float(x) for x in getattr(noise, "strength", (1.0, 0.0)))
    if not np.isfinite([offset, slope]).all():
        raise refuse("noise", "a finite strength (a, b)", f"({offset}, {slope})", "Correct its member strength.")
    return Model(
        loss, noise, dim, form, factor, (offset, slope), curved, own_loss, own_noise, linear_noise, momentum,
        nesterov,
    )  # fmt: skip


def _momentum(optimizer: SGD | None) -> tuple[float, bool]:
    """α of the optimizer of a call, and whether it is Nesterov's; learning rate and decay come from the protocol."""
    if optimizer is None:
        return 0.0, False
    fix = "For instance SGD(momentum=0.9); lr and wd are those of the protocol."
    if not isinstance(optimizer, SGD):
        raise TypeError(f"optimizer: expected weightgas.optimizers.SGD, got {type(optimizer).__name__}. {fix}")
    if optimizer != SGD(momentum=optimizer.momentum, nesterov=optimizer.nesterov):
        raise refuse("optimizer", "an SGD with momentum and nesterov alone", optimizer, fix)
    return finite_number("momentum", optimizer.momentum, fix=fix), optimizer.nesterov


def _own_loss(loss: CustomLoss, dim: int) -> CompiledLoss:
    validation.try_in_python("loss", loss.loss, dim, outputs=0)
    if loss.gradient is not None:
        validation.try_in_python("gradient", loss.gradient, dim, outputs=1)
    found = compiled.compile_loss(loss)
    validation.check_loss(found, dim)
    return found
