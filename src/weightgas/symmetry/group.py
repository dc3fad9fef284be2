"""What a scaling symmetry of a network is, and what is found of them in one network."""

from __future__ import annotations

from dataclasses import dataclass

KINDS = ("single", "joint", "affine", "rescale")


@dataclass(frozen=True)
class Group:
    """Parameters whose rescaling wᵢ → exp(aᵢ s) wᵢ leaves the loss as it is, for every s.

    Attributes
    ----------
    name
        The first parameter, and how many more.
    parameters
        Names as in ``model.named_parameters()``; a tied parameter under its first name.
    kind
        ``single``: one tensor; ``joint``: several (residual stream, weight with bias); ``affine``: gains and shifts of
        normalisation layers alone; ``rescale``: the exponents differ (two ReLU layers, query and key).
    exponents
        aᵢ, in the order of ``parameters``; the smallest is ±1. All 1 for a scale-invariant group.
    residual
        Largest |Σᵢ aᵢ⟨∇ᵢL, wᵢ⟩| / √Σᵢ(aᵢ‖∇ᵢL‖‖wᵢ‖)² seen, with the model's own eps; NaN where nothing was measured.
    rows
        Nothing where entire tensors are meant. Else the row (first index) of each parameter, a parameter being listed
        once for each row.
    """

    name: str
    parameters: tuple[str, ...]
    kind: str
    exponents: tuple[float, ...]
    residual: float
    rows: tuple[int, ...] = ()

    @property
    def scale_invariant(self) -> bool:
        """Whether all exponents are equal and positive: the loss then depends on the direction of the group alone."""
        return self.exponents[0] > 0 and all(a == self.exponents[0] for a in self.exponents)
