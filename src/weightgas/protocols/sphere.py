"""The fixed sphere: w ← r · normalize(w − η_e r² g). Temperature and volume are fixed; the pressure is measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike

from weightgas.errors import refuse
from weightgas.protocols.base import At, Protocol, Relation
from weightgas.theory import ideal_gas
from weightgas.theory._arguments import Numbers, freedom, nonnegative, positive

PressureConvention = Literal["energy", "exact_decay", "published"]


class ProjectedStep(Protocol):
    """Base of steps of size η_e r² that end on the sphere of radius r.

    All members take η_e from :meth:`rate` (the axis ``"elr"``) and r from :meth:`fixed_radius` (the axis ``"radius"``).
    """

    holds: ClassVar[str] = "η_e (so T) and r (so V): NVT, minimises F"
    scaled: ClassVar[bool] = True
    projected: ClassVar[bool] = True
    derived: ClassVar[dict[str, str]] = {"rate": "elr", "fixed_radius": "radius"}

    # --- the step ---

    @classmethod
    def decay(cls, at: At) -> np.ndarray:
        """0: the projection removes the growth."""
        return np.zeros_like(cls.fixed_radius(at), dtype=float)

    @classmethod
    def fixed_radius(cls, at: At) -> Any:
        """The fixed radius r."""
        return at["radius"]

    @classmethod
    def decay_of_step(cls, at: At, square: Any) -> np.ndarray:
        """0: the step has no decay."""
        return np.zeros_like(square)

    # --- the stationary state ---

    @classmethod
    def stationary_radius(cls, at: At, grad_sq: Any, *, discrete: bool = True) -> Any:
        """The fixed radius r."""
        return cls.fixed_radius(at)

    @classmethod
    def stationary_square(cls, at: At, grad_sq: Any, dof: Any, *, share: float = 1.0) -> Any:
        """E[r²] = r², which is fixed."""
        return cls.fixed_radius(at) ** 2

    @classmethod
    def stationary_spread(cls, at: At, grad_sq: Any, dof: Any) -> Any:
        """0: the radius is fixed."""
        return np.zeros_like(cls.fixed_radius(at), dtype=float)

    @classmethod
    def start_radius(cls, at: At, grad_sq: Any) -> Any:
        """The fixed radius r."""
        return cls.fixed_radius(at)

    @classmethod
    def group_radii(cls, at: At, grad_sq: Any) -> np.ndarray:
        """Stationary radius of every group: r_i² ∝ √G_i and Σ_i r_i² = r²."""
        roots = np.sqrt(grad_sq)
        return cls.fixed_radius(at) * np.sqrt(roots / roots.sum(axis=-1, keepdims=True))

    @classmethod
    def stationary_pressure(
        cls,
        at: At,
        square: Any,
        grad_sq: Any,
        *,
        convention: PressureConvention = "energy",
        dof: ArrayLike | None = None,
    ) -> Numbers:
        """Pressure on the wall of the sphere of r² = ``square``, from the norm ‖w₊‖ reached before the projection.

        ``"energy"``       (E‖w₊‖² − r²)/(2η_e r⁴) = η_eG/(2r²) =: p; exact. It equals λ(1 − ηλ/2) of the fixed-ELR run
        with the same radius.
        ``"exact_decay"``  the weight decay that balances the growth, (1 − √(1 − η_e²G))/(η_e r²) = p(1 + η_e²G/4 + …);
        exact for the mean step; NaN where η_e²G ≥ 1.
        ``"published"``    E(‖w₊‖ − r)/(η_e r³) as in the code of arXiv 2511.07308, = p(1 − (η_e²G/4)(1 + 2/dof) + …);
        first order in 1/dof. ``dof`` (isotropic noise) adds the spread of ‖g̃‖²; without it dof is infinite.
        """
        elr, square = positive("elr", cls.rate(at)), positive("square", square)
        step = elr**2 * nonnegative("grad_sq", grad_sq)
        if convention == "energy":
            growth = step / 2
        elif convention == "exact_decay":
            growth = ideal_gas.balanced_decay(step)
        elif convention == "published":
            spread = 0.0 if dof is None else 1 / freedom("dof", dof)
            growth = step / (1 + np.sqrt(1 + step)) - step**2 * spread / (4 * (1 + step) ** 1.5)
        else:
            raise refuse("convention", "energy, exact_decay or published", convention, "Choose one of these.")
        return growth / (elr * square)

    # --- the mean step of the isotropic noise model ---

    @classmethod
    def step_number(cls, at: At) -> Any:
        """η_e."""
        return cls.rate(at)

    @classmethod
    def square_unit(cls, at: At) -> Any:
        """r², so that x = 1."""
        return cls.fixed_radius(at) ** 2

    @classmethod
    def mean_step(
        cls, number: float, noise_var: float, dof: int, grad_sq: Callable[[float], float]
    ) -> tuple[float, float, float]:
        """(η_e, 0, 0): no decay and no spread."""
        return number, 0.0, 0.0

    # --- relaxation ---

    @classmethod
    def radius_time(cls, at: At, grad_sq: Any) -> np.ndarray:
        """0: the radius is fixed."""
        return np.zeros_like(cls.fixed_radius(at), dtype=float)

    @classmethod
    def radius_after(cls, at: At, step: Any, radius_start: Any, grad_sq: Any) -> Any:
        """The fixed radius r."""
        return cls.fixed_radius(at)

    # --- what is compared between cells ---

    radius_power: ClassVar[int] = 1
    isotherm_name: ClassVar[str] = "elr"
    isotherm_text: ClassVar[str] = "elr"
    maxwell: ClassVar[tuple[Relation, ...]] = (Relation("dS_dlnr", "radius", 2.0),)

    @classmethod
    def entropy_slopes(cls) -> dict[str, tuple[float, bool]]:
        """R along η_e in a harmonic well; 2R along r, exact."""
        return {cls.axes[0]: (1.0, False), "radius": (2.0, True)}


@dataclass(frozen=True)
class FixedSphere(ProjectedStep):
    """w ← r · normalize(w − η_e r² g): temperature and volume fixed, pressure from the norm before projection.

    Parameters
    ----------
    elr
        Effective learning rates η_e = η/r², a positive number or a list; T = η_e σ²/2.
    radius
        Norms r of the weights, a positive number or a list; V = r²/2.
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
    radius: ArrayLike = 1.0
    paired: bool = field(default=False, kw_only=True)

    name: ClassVar[str] = "fixed_sphere"
    title: ClassVar[str] = "fixed sphere"
    axes: ClassVar[tuple[str, str]] = ("elr", "radius")
