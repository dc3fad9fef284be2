"""Fixed LR: w ← w − η (g + λ w), ordinary SGD. The pressure is fixed; the temperature follows the radius."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from weightgas.protocols.base import At, FreeRadius, Relation, tame
from weightgas.theory._arguments import Numbers, freedom, nonnegative, positive, where


class PlainStep(FreeRadius):
    """Base of steps of size η with weight decay λ.

    All members take η from :meth:`rate` (the axis ``"lr"``) and λ from :meth:`decay` (the axis ``"wd"``).
    """

    holds: ClassVar[str] = "η and λ: isobaric along T·V = ησ²/4, an adiabat"
    scaled: ClassVar[bool] = False
    derived: ClassVar[dict[str, str]] = {"rate": "lr", "decay": "wd"}

    # --- the step ---

    @classmethod
    def decay_of_step(cls, at: At, square: Any) -> Any:
        """ηλ."""
        return cls.rate(at) * cls.decay(at)

    # --- the stationary state ---

    @classmethod
    def stationary_radius(cls, at: At, grad_sq: Any, *, discrete: bool = True) -> Numbers:
        """Stationary radius r* without the spread of r.

        Discrete (fixed point of the mean step): r*⁴ = ηG/(λ(2 − ηλ)); NaN where ηλ ≥ 2. Continuous time
        [arXiv 2511.07308]: r*⁴ = ηG/(2λ).
        """
        lr, wd, grad_sq = positive("lr", cls.rate(at)), positive("wd", cls.decay(at)), nonnegative("grad_sq", grad_sq)
        loss = 2 - lr * wd if discrete else 2.0
        return where(np.greater(loss, 0), lambda ok: (lr * grad_sq / (wd * np.where(ok, loss, 1.0))) ** 0.25)

    @classmethod
    def stationary_square(cls, at: At, grad_sq: Any, dof: Any, *, share: float = 1.0) -> Any:
        """E[r²] with the spread of r: r*²(1 + ηλ/(2 dof)) for small steps.

        It follows from the exact balance λ(2 − ηλ) E[r²] = η E[G/r²], to first order in var(ln r²), for isotropic
        noise. NaN where ηλ ≥ 2 or = 1. With momentum, ``share`` m: r*⁴ = ηG/(λ(2 − mηλ)).
        """
        square = cls.stationary_radius(at, grad_sq) ** 2 * (1 + cls.stationary_spread(at, grad_sq, dof) / 2)
        if share == 1.0:
            return square
        decay = cls.rate(at) * cls.decay(at)
        return square * np.sqrt((2 - decay) / (2 - share * decay))

    @classmethod
    def stationary_spread(cls, at: At, grad_sq: Any, dof: Any) -> Numbers:
        """Stationary variance of ln r².

        var = ηλ(2 − ηλ)/(2 dof (1 − ηλ)²), which is ηλ/dof for small steps and any G. It is first order in 1/dof (the
        step linearised about r*) for isotropic noise; for other noise replace dof by the effective rank. NaN where ηλ ≥
        2 or = 1: there the fixed point is not stable.
        """
        decay, dof = positive("lr", cls.rate(at)) * positive("wd", cls.decay(at)), freedom("dof", dof)
        stable = (decay < 2) & (decay != 1)
        return where(stable, lambda ok: decay * (2 - decay) / (2 * dof * np.where(ok, 1 - decay, 1.0) ** 2))

    @classmethod
    def start_radius(cls, at: At, grad_sq: Any) -> np.ndarray:
        """The discrete radius up to ηλ = 1, else that of continuous time."""
        grad_sq = tame(grad_sq)
        at = {name: tame(value) for name, value in at.items()}
        return cls._discrete_or_continuous(at, grad_sq, cls.rate(at) * cls.decay(at) < 1)

    @classmethod
    def group_radii(cls, at: At, grad_sq: Any) -> Numbers:
        """Stationary radius of every group: r_i⁴ = ηG_i/(λ(2 − ηλ))."""
        return cls.stationary_radius(at, grad_sq)

    @classmethod
    def stationary_temperature(
        cls, at: At, noise_trace: Any, dof: Any, *, mean_grad_sq: Any = 0.0, discrete: bool = True
    ) -> Numbers:
        """T = (ησ²/2) E[1/r²].

        Continuous time [arXiv 2511.07308]: √(ηλσ²/(2 dof)) for pure noise. ``discrete`` uses the stationary radius of
        the finite step and E[1/r²] = E[r²]/r*⁴ (exact for constant G), E[r²] to first order in the spread of r. NaN
        where :meth:`stationary_square` is NaN. With G = 0 there is no noise: T = 0.
        """
        noise_trace = nonnegative("noise_trace", noise_trace)
        grad_sq = noise_trace + nonnegative("mean_grad_sq", mean_grad_sq)
        dof = freedom("dof", dof)
        square = cls.stationary_radius(at, grad_sq, discrete=discrete) ** 2
        spread = cls.stationary_spread(at, grad_sq, dof) / 2 if discrete else 0.0
        some = np.where(grad_sq > 0, square, 1.0)
        return (positive("lr", cls.rate(at)) * noise_trace / (2 * dof) * (1 + spread) / some)[()]

    # --- the mean step of the isotropic noise model ---

    limit: ClassVar[str] = "ηλ ≥ 1"

    @classmethod
    def step_number(cls, at: At) -> Any:
        """ηλ."""
        return cls.rate(at) * cls.decay(at)

    @classmethod
    def square_unit(cls, at: At) -> Any:
        """η: x = r²/η."""
        return cls.rate(at)

    @classmethod
    def mean_step(
        cls, number: float, noise_var: float, dof: int, grad_sq: Callable[[float], float]
    ) -> tuple[float, float, float]:
        """η_e = 1/x at the fixed point, where x and G depend on each other; ηλ; and the spread of ln r² there."""
        if number >= 1:
            return np.nan, 0.0, 0.0
        size = np.sqrt(number * (2 - number) / (dof * noise_var))
        for _ in range(8):
            before, size = size, float(np.sqrt(number * (2 - number) / grad_sq(size)))
            if abs(size / before - 1) < 1e-6:  # accurate enough as the centre of the density
                break
        spread = FixedLR.stationary_spread({"lr": number, "wd": 1.0}, 1.0, dof)
        return size, number, float(np.sqrt(spread))

    # --- relaxation ---

    @classmethod
    def radius_time(cls, at: At, grad_sq: Any) -> Numbers:
        """Relaxation time of r⁴, 1/(4ηλ) steps."""
        return 1 / (4 * positive("lr", cls.rate(at)) * positive("wd", cls.decay(at)))

    @classmethod
    def radius_after(cls, at: At, step: Any, radius_start: Any, grad_sq: Any) -> Numbers:
        """r(t): r⁴ = r*⁴ + (r₀⁴ − r*⁴) e^{−4ηλt}, r*⁴ = ηG/(2λ).

        Solves d(r⁴)/dt = −4ηλ r⁴ + 2η²G; λ may be 0 (r⁴ then grows by 2η²G per step).
        """
        start, step = positive("radius_start", radius_start), nonnegative("step", step)
        lr = positive("lr", cls.rate(at))
        phase = 4 * lr * nonnegative("wd", cls.decay(at)) * step
        gain = 2 * lr**2 * nonnegative("grad_sq", grad_sq) * step
        from scipy.special import exprel  # imported here, since SciPy is slow to import

        return (start**4 * np.exp(-phase) + gain * exprel(-phase)) ** 0.25

    # --- what is compared between cells ---

    radius_power: ClassVar[int] = 4
    isotherm_name: ClassVar[str] = "product"
    isotherm_text: ClassVar[str] = "lr * wd"
    maxwell: ClassVar[tuple[Relation, ...]] = (
        Relation("dS_dlnlr", "lr", float("nan")),
        Relation("dS_dlnwd", "wd", float("nan")),
        Relation("difference", "isotherm", 1.0),
    )
    exact_along: ClassVar[str] = "lr"

    @classmethod
    def entropy_slopes(cls) -> dict[str, tuple[float, bool]]:
        """R along η and 0 along λ in a harmonic well; R along η at constant ηλ, exact. Empty without the axis λ."""
        return {cls.axes[0]: (1.0, False), "wd": (0.0, False)} if "wd" in cls.axes else {}

    @classmethod
    def combined(cls, at: At) -> dict[str, Any]:
        """``product``: ηλ."""
        return {"product": cls.rate(at) * cls.decay(at)}

    @classmethod
    def solved(cls, values: dict[str, Any]) -> dict[str, Any]:
        """η and λ, from one of them and ηλ."""
        for axis, other in (("lr", "wd"), ("wd", "lr")):
            if axis not in values:
                values = values | {axis: values["product"] / values[other]}
        return values


@dataclass(frozen=True)
class FixedLR(PlainStep):
    """w ← w − η (g + λ w), ordinary SGD with coupled weight decay: pressure fixed, temperature set by the radius.

    Parameters
    ----------
    lr
        Learning rates η, a positive number or a list.
    wd
        Weight decays λ, coupled as in ``torch.optim.SGD``, a positive number or a list; p = λ.
    paired
        Whether cell k is the k-th pair of the two lists; by default the cells are their product.

    Raises
    ------
    TypeError, ValueError
        If a value is not a positive finite number, paired lists differ in length, or a cell occurs twice.

    References
    ----------
    Sadrtdinov et al., arXiv 2511.07308, section 3.
    """

    lr: ArrayLike
    wd: ArrayLike
    paired: bool = field(default=False, kw_only=True)

    name: ClassVar[str] = "fixed_lr"
    title: ClassVar[str] = "fixed LR"
    axes: ClassVar[tuple[str, str]] = ("lr", "wd")
