"""Fixed ELR: w ← w − η_e ‖w‖² (g + λ w). Temperature and pressure are fixed; the volume relaxes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from weightgas.protocols.base import At, FreeRadius, Relation, tame
from weightgas.theory import ideal_gas
from weightgas.theory._arguments import Numbers, freedom, nonnegative, positive


class ScaledStep(FreeRadius):
    """Base of steps of size η_e ‖w‖² with weight decay λ.

    All members take η_e from :meth:`rate` (the axis ``"elr"``) and λ from :meth:`decay` (the axis ``"wd"``).
    """

    holds: ClassVar[str] = "η_e (so T) and λ (so p): NpT, minimises 𝒢"
    scaled: ClassVar[bool] = True
    derived: ClassVar[dict[str, str]] = {"rate": "elr", "decay": "wd"}

    # --- the step ---

    @classmethod
    def decay_of_step(cls, at: At, square: Any) -> Any:
        """ηλ = η_e λ r²."""
        return cls.rate(at) * cls.decay(at) * square

    @classmethod
    def _square_step(cls, at: At, grad_sq: Any) -> Any:
        """η_e²G."""
        return positive("elr", cls.rate(at)) ** 2 * nonnegative("grad_sq", grad_sq)

    # --- the stationary state ---

    @classmethod
    def stationary_radius(cls, at: At, grad_sq: Any, *, discrete: bool = True) -> Numbers:
        """Stationary radius r* without the spread of r.

        Discrete (fixed point of the mean step): η_e λ r*² = 1 − √(1 − η_e²G); NaN where η_e²G ≥ 1. A run needs η_e²G
        well below 1, as ‖g̃‖² fluctuates: in simulations of pure noise every run diverged at η_e²G = 0.99 for d = 100,
        and already at 0.72 for d = 3. Continuous time [arXiv 2511.07308]: r*² = η_eG/(2λ).
        """
        elr, wd, step = positive("elr", cls.rate(at)), positive("wd", cls.decay(at)), cls._square_step(at, grad_sq)
        return np.sqrt((ideal_gas.balanced_decay(step) if discrete else step / 2) / (elr * wd))

    @classmethod
    def stationary_square(cls, at: At, grad_sq: Any, dof: Any, *, share: float = 1.0) -> Any:
        """E[r²] with the spread of r: r*²(1 − η_e²σ²) for small steps.

        It follows from E ln(r₊²/r²) = 0 to second order in the fluctuations, so to first order in 1/dof, for any stable
        η_e²G < 1 and isotropic noise. NaN where η_e²G ≥ 1. With momentum, ``share`` m: x(2 − mx) = η_e²G, x = η_e λ r²,
        without the spread of r.
        """
        if share != 1.0:
            step = cls.rate(at) ** 2 * grad_sq
            with np.errstate(invalid="ignore"):
                return step / (1 + np.sqrt(1 - share * step)) / (cls.rate(at) * cls.decay(at))
        square, step = cls.stationary_radius(at, grad_sq) ** 2, cls._square_step(at, grad_sq)
        variance = cls.stationary_spread(at, grad_sq, dof)
        decay = np.where(step > 0, ideal_gas.balanced_decay(step), 0.5)
        curvature = decay**2 * variance * (1 - 2 * (1 - decay) ** 2) - step**2 / freedom("dof", dof)
        return (square * (1 + curvature / (2 * decay * (1 - decay))))[()]

    @classmethod
    def stationary_spread(cls, at: At, grad_sq: Any, dof: Any) -> Numbers:
        """Stationary variance of ln r².

        With y = 1 − √(1 − h) and h = η_e²G: var = (h²/dof)/(2y(1 − y)(1 − y(1 − y))), which is η_e²σ² for small steps.
        It is first order in 1/dof (the step linearised about r*) for isotropic noise; for other noise replace dof by
        the effective rank. NaN where h ≥ 1.
        """
        step = cls._square_step(at, grad_sq)
        decay = np.where(step > 0, ideal_gas.balanced_decay(step), 0.5)
        variance = step**2 / (2 * decay * (1 - decay) * (1 - decay * (1 - decay)))
        return (variance / freedom("dof", dof))[()]

    @classmethod
    def start_radius(cls, at: At, grad_sq: Any) -> np.ndarray:
        """The discrete radius up to η_e²G = ½, else that of continuous time."""
        grad_sq = tame(grad_sq)
        at = {name: tame(value) for name, value in at.items()}
        return cls._discrete_or_continuous(at, grad_sq, cls.rate(at) ** 2 * grad_sq < 0.5)

    @classmethod
    def group_radii(cls, at: At, grad_sq: Any) -> np.ndarray:
        """Stationary radius of every group: r_i² ∝ √G_i, where Σ_i r_i² is the r*² of G = (Σ_i √G_i)²."""
        roots = np.sqrt(grad_sq)
        total = roots.sum(axis=-1, keepdims=True)
        return cls.stationary_radius(at, total**2) * np.sqrt(roots / total)

    # --- the mean step of the isotropic noise model ---

    limit: ClassVar[str] = "η_e²G ≥ 1"

    @classmethod
    def step_number(cls, at: At) -> Any:
        """η_e."""
        return cls.rate(at)

    @classmethod
    def square_unit(cls, at: At) -> Any:
        """1/(η_e λ): x = η_e λ r²."""
        return 1 / (cls.rate(at) * cls.decay(at))

    @classmethod
    def mean_step(
        cls, number: float, noise_var: float, dof: int, grad_sq: Callable[[float], float]
    ) -> tuple[float, float, float]:
        """η_e, η_e λ r*², and the spread of ln r² at r*."""
        at, square = {"elr": number, "wd": 1.0}, grad_sq(number)
        decay = number * float(FixedELR.stationary_radius(at, square)) ** 2
        return number, decay, float(np.sqrt(FixedELR.stationary_spread(at, square, dof)))

    # --- relaxation ---

    @classmethod
    def radius_time(cls, at: At, grad_sq: Any) -> Numbers:
        """Relaxation time of r², 1/(η_e²G) steps, near r* and far below it."""
        return 1 / (positive("elr", cls.rate(at)) ** 2 * positive("grad_sq", grad_sq))

    @classmethod
    def radius_after(cls, at: At, step: Any, radius_start: Any, grad_sq: Any) -> Numbers:
        """r(t): r² is logistic with rate k = η_e²G.

        r² = r*²/(1 + (r*²/r₀² − 1) e^{−kt}), r*² = η_eG/(2λ). Solves d(r²)/dt = k r² − 2η_e λ r⁴; λ and G may be 0
        (growth without decay overflows to infinity).
        """
        start, step = positive("radius_start", radius_start), nonnegative("step", step)
        elr = positive("elr", cls.rate(at))
        phase = elr**2 * nonnegative("grad_sq", grad_sq) * step
        loss = 2 * elr * nonnegative("wd", cls.decay(at)) * start**2 * step
        with np.errstate(divide="ignore"):
            from scipy.special import exprel  # imported here, since SciPy is slow to import

            return start / np.sqrt(np.exp(-phase) + loss * exprel(-phase))

    # --- what is compared between cells ---

    radius_power: ClassVar[int] = 2
    isotherm_name: ClassVar[str] = "elr"
    isotherm_text: ClassVar[str] = "elr"
    maxwell: ClassVar[tuple[Relation, ...]] = (Relation("dS_dlnwd", "wd", -1.0),)

    @classmethod
    def entropy_slopes(cls) -> dict[str, tuple[float, bool]]:
        """2R along η_e in a harmonic well; −R along λ, exact. Empty without the axis λ."""
        return {cls.axes[0]: (2.0, False), "wd": (-1.0, True)} if "wd" in cls.axes else {}


@dataclass(frozen=True)
class FixedELR(ScaledStep):
    """w ← w − η_e ‖w‖² (g + λ w): temperature and pressure are fixed, the volume relaxes.

    Parameters
    ----------
    elr
        Effective learning rates η_e = η/‖w‖², a positive number or a list; T = η_e σ²/2.
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

    elr: ArrayLike
    wd: ArrayLike
    paired: bool = field(default=False, kw_only=True)

    name: ClassVar[str] = "fixed_elr"
    title: ClassVar[str] = "fixed ELR"
    axes: ClassVar[tuple[str, str]] = ("elr", "wd")
