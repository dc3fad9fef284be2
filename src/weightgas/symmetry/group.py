"""A scaling symmetry of a network."""

from __future__ import annotations

from dataclasses import dataclass

KINDS = ("single", "joint", "affine", "rescale")


@dataclass(frozen=True)
class Group:
    """A scaling symmetry: parameters whose rescaling wᵢ → exp(aᵢ s) wᵢ leaves the loss unchanged for every s.

    Attributes
    ----------
    name
        A short name, from the names of its parameters.
    parameters
        Names as in ``model.named_parameters()``; a tied parameter has its first name.
    kind
        ``single``: one tensor; ``joint``: several (residual stream, weight with bias); ``affine``: only gains and
        shifts of normalisation layers; ``rescale``: the exponents differ (two ReLU layers, query and key).
    exponents
        aᵢ, in the order of ``parameters``; the smallest is ±1. All are 1 for a scale-invariant group.
    residual
        Largest measured |Σᵢ aᵢ⟨∇ᵢL, wᵢ⟩|/√Σᵢ(aᵢ‖∇ᵢL‖‖wᵢ‖)², with the model's own eps; NaN if nothing was measured.
    rows
        Empty if the members are entire tensors. Otherwise the row (first index) of each parameter; a parameter is then
        listed once for each row.
    """

    name: str
    parameters: tuple[str, ...]
    kind: str
    exponents: tuple[float, ...]
    residual: float
    rows: tuple[int, ...] = ()

    @property
    def scale_invariant(self) -> bool:
        """Whether all exponents are equal and positive, so that the loss depends only on the direction of the group."""
        return self.exponents[0] > 0 and all(a == self.exponents[0] for a in self.exponents)
