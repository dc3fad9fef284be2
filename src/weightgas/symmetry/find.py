"""``symmetries``: the scaling symmetries of a model, found in its ops or its gradients and confirmed by rescaling.

Σᵢ aᵢ ⟨∇ᵢL_b, wᵢ⟩ = 0 for every batch b and every point w (Euler) if and only if L(e^{aᵢ s} wᵢ) = L(w) for every s. The
equations are evaluated in train mode and float64 at jittered points, so that no weight has a special value. The eps of
the normalisations is made negligible, since eps makes their symmetries approximate (residual ∝ eps/r²); the residual is
then measured again with the model's own weights and eps.

Where every op of the loss is known, the symmetries are those of the degrees (:mod:`.degrees`), and a few equations
confirm them. These equations also show a symmetry that the degrees hide: each of the constraints is violated alone
once, and if the loss does not change, there is a symmetry by chance. In this case, and where an op is unknown,
equations are added until their rank stops rising (one for each tensor, minus the symmetries), and their null space is
taken.

All symmetries are confirmed by rescaling the parameters by factors from e^{−1/2} to e^{12}, at which a function that is
only approximately homogeneous (a tanh near 0) is detected.

Weakness: a function that is homogeneous within the tolerance even there (a tanh of numbers below 10⁻⁶) passes. An eps
that is written into a function, and is not an attribute ``eps`` of a module, cannot be made small; if it matters beyond
the tolerance, such a group is missed. So is a symmetry by chance that violates two constraints of the degrees at once.
Symmetries other than scalings (shifts, rotations) are not searched for.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import nn

from weightgas.errors import positive_number, refuse, seed_number, typed
from weightgas.symmetry import basis, nullspace
from weightgas.symmetry.filters import split_rows
from weightgas.symmetry.group import Group
from weightgas.symmetry.probe import Equations, LossFn, Probe, largest_ratio, undisturbed
from weightgas.symmetry.progress import Passes
from weightgas.symmetry.result import Symmetries

INERT_BELOW = 1e-8
"""A parameter with ‖∇ᵢL‖‖wᵢ‖ below this fraction of the largest has no effect."""
SHIFTS = (-0.5, 0.5, 12.0)
"""Values of s in the confirming rescalings; also −12 where exponents have both signs."""
CONFIRMED_AT = 2
"""Number of points at which each symmetry is confirmed."""
CHANCE_BELOW = 1e-5
"""Σ aᵢ⟨∇ᵢL, wᵢ⟩ in units of its terms, below which a direction that the degrees exclude may still be a symmetry."""
KNOWN_EQUATIONS = 5
"""Number of equations where every op is known."""
LEAST_EQUATIONS, MORE_EQUATIONS = 12, 4
"""Smallest number of equations elsewhere, and by how much their number has to exceed their rank."""
OWN_EQUATIONS = 2
"""Number of points at which residuals are measured."""


@typed
def symmetries(
    model: nn.Module,
    loss_fn: LossFn,
    batches: Iterable[Any],
    *,
    per_filter: bool = False,
    tolerance: float = 1e-3,
    seed: int = 0,
) -> Symmetries:
    """Find every scaling symmetry of the trained parameters of ``model``: wᵢ → exp(aᵢ s) wᵢ leaves the loss unchanged.

    The search uses a copy: the model, its gradients, buffers, train/eval mode and the random generators of torch are
    not changed. Frozen parameters are excluded, and tied ones count once. The search costs seven forward and backward
    passes and nine forward passes in float64. If an op is unknown, it costs a forward and backward pass for each
    tensor, minus the number of symmetries. A search of more than a moment shows its passes on stderr, if that is a
    terminal.

    Parameters
    ----------
    model
        Any module, on any device that has float64. The copy is in train mode throughout.
    loss_fn
        ``loss_fn(model, batch)`` returns the mean loss of a batch, a tensor with no dimensions. It is called with a
        float64 copy of the model, which it must use. Omit penalties on the weights, which have no symmetry.
    batches
        Batches as ``loss_fn`` takes them, a list or a data loader. The first 8 are used; one suffices, and for a large
        model two to four samples in each. Floating tensors in them (also inside tuples, lists and dicts) are converted
        to float64.
    per_filter
        Whether to find also the rows of tensors, or blocks of rows, that are scale-invariant by themselves.
    tolerance
        Largest residual of a symmetry. If only eps makes a residual larger, the symmetry is listed as approximate.
    seed
        Seed of the jitter and of dropout masks.

    Returns
    -------
    Symmetries
        A basis of all scaling symmetries, which prints as a table.

    Raises
    ------
    TypeError
        If the model is not a module, or the loss is not a tensor.
    ValueError
        If there is no batch or no trainable parameter, or the loss is not a scalar, not finite, or does not depend on
        the parameters of the model with which ``loss_fn`` is called.
    """
    tolerance = positive_number("tolerance", tolerance)
    seed = seed_number(seed)
    with undisturbed(model), Passes() as passes:
        probe = Probe(model, loss_fn, batches, seed, passes, all_rows=per_filter)
        return _Search(probe, tolerance, per_filter).result()


class _Search:
    """The equations of one probe and what follows from them; ``active`` are the columns with an effect."""

    def __init__(self, probe: Probe, tolerance: float, per_filter: bool) -> None:
        self.probe, self.tolerance, self.per_filter = probe, tolerance, per_filter
        self.notes: list[str] = []
        self.known: dict[bytes, bool] = {}
        probe.passes.total = KNOWN_EQUATIONS + OWN_EQUATIONS + CONFIRMED_AT * (len(SHIFTS) + 1) + 1
        self.equations = self._more(None, KNOWN_EQUATIONS if probe.degrees is not None else LEAST_EQUATIONS)
        self.active = self._effective()

    def _more(self, read: Equations | None, end: int) -> Equations:
        """The equations of ``read`` and further ones up to the number ``end``."""
        begin = 0 if read is None else len(read.losses)
        with self.probe.small_eps():
            more = self.probe.equations(begin, end, rows=self.per_filter)
        return more if read is None else read.joined(more)

    def _effective(self) -> np.ndarray:
        effect = self.equations.lengths.max(axis=0)
        if not effect.max() > 0:
            fix = "Every gradient is zero: check the loss, and look for dead units."
            raise refuse("loss_fn", "a loss that depends on the model's parameters", "one that does not", fix)
        return np.flatnonzero(effect > INERT_BELOW * effect.max())

    def _spectrum(self) -> nullspace.Spectrum:
        """The spectrum of the equations, after more of them until the last ``MORE_EQUATIONS`` do not raise the rank."""
        most = len(self.probe.names) + MORE_EQUATIONS
        self.probe.passes.total += most - len(self.equations.losses)
        while True:
            self.active, end = self._effective(), len(self.equations.losses)
            found = nullspace.spectrum(self.equations.products[:, self.active], self.equations.spread[:, self.active])
            if end >= LEAST_EQUATIONS and (end >= most or found.rank + MORE_EQUATIONS <= end):
                return found
            self.equations = self._more(self.equations, max(LEAST_EQUATIONS, min(most, end + MORE_EQUATIONS)))

    def result(self) -> Symmetries:
        """Search and confirm the symmetries, and measure their residuals."""
        probe = self.probe
        found = self._by_degrees()
        if found is None:
            spectrum = self._spectrum()
            vectors, gap = self._confirmed(spectrum)
            found = vectors, gap, spectrum.values
        vectors, gap, values = found
        own = probe.equations(0, OWN_EQUATIONS, rows=self.per_filter, own=True)
        groups = self._groups(vectors, own)
        holds = [group for group in groups if group.residual <= self.tolerance]
        filters: list[Group] = []
        if self.per_filter:
            with probe.small_eps():
                filters, notes = split_rows(probe, self.equations, own, holds, self.tolerance)
            self.notes += notes
        active = set(self.active.tolist())
        return Symmetries(
            groups=tuple(holds),
            approximate=tuple(group for group in groups if group.residual > self.tolerance),
            inert=tuple(name for i, name in enumerate(probe.names) if i not in active),
            filters=tuple(filters),
            unknowns=len(active),
            equations=len(self.equations.losses),
            singular_values=tuple(values.tolist()),
            gap=gap,
            tolerance=self.tolerance,
            notes=tuple(self.notes),
        )

    def _by_degrees(self) -> tuple[list[np.ndarray], float, np.ndarray] | None:
        """The symmetries by degrees, the gap, and the sizes of Σ aᵢ⟨∇ᵢL, wᵢ⟩; None if there may be others."""
        if self.probe.degrees is None:
            return None
        constraints, used = self.probe.degrees
        if not set(self.active.tolist()) <= set(used):
            return None
        rows = basis.eliminated(constraints, np.setdiff1d(np.arange(constraints.shape[1]), self.active))
        vectors = basis.chosen(rows, *self._described())
        zero = np.array([self._size(vector) for vector in vectors])
        broken = np.array([self._size(self._lightest(vector, vectors)) for vector in basis.relaxed(rows)])
        if (zero > nullspace.ZERO_BELOW).any() or (broken < CHANCE_BELOW).any():
            return None
        if not self._hold_together(vectors):
            return None
        gap = broken.min(initial=1.0) / max(zero.max(initial=0.0), nullspace.NOISE) if len(vectors) else 1.0
        return vectors, float(gap), np.sort(np.concatenate([broken, zero]))[::-1]

    def _described(self) -> tuple[list[str], list[torch.Size]]:
        """Names and shapes of the parameters with an effect."""
        return [self.probe.names[i] for i in self.active], [self.probe.parameters[i].shape for i in self.active]

    def _lightest(self, vector: np.ndarray, symmetries: list[np.ndarray]) -> np.ndarray:
        """``vector`` plus the multiples of the symmetries that minimise its terms, which leaves every sum unchanged."""
        if not symmetries:
            return vector
        width = np.sqrt((self.equations.spread[:, self.active] ** 2).mean(axis=0))
        free = np.array(symmetries).T
        return vector - free @ np.linalg.lstsq(width[:, None] * free, width * vector, rcond=None)[0]

    def _size(self, vector: np.ndarray) -> float:
        """Σ aᵢ⟨∇ᵢL, wᵢ⟩ in units of what it would be if its terms did not cancel, over the equations."""
        read = self.equations
        terms = (read.spread[:, self.active] * vector) ** 2
        return float(np.sqrt(((read.products[:, self.active] @ vector) ** 2).sum() / terms.sum()))

    def _confirmed(self, found: nullspace.Spectrum) -> tuple[list[np.ndarray], float]:
        """The largest null space in which every vector is confirmed; if there is none, that of the largest gap."""
        cuts = found.cuts()
        fallback: tuple[list[np.ndarray], float, list[str]] = ([], 1.0, [])
        for cut, gap in sorted(cuts[:4]):
            space, lost = nullspace.rational(found, cut)
            vectors = basis.of_space(space, *self._described())
            kept = vectors if self._hold_together(vectors) else [vector for vector in vectors if self._holds(vector)]
            if len(kept) == len(vectors) and not lost:
                return kept, gap
            if (cut, gap) == cuts[0]:
                notes = [f"{lost} symmetries excluded: their exponents are no simple fractions"] if lost else []
                dropped = [v for v in vectors if not any(v is k for k in kept)]
                notes += [f"dropped, not confirmed by rescaling: {', '.join(self._names(v))}" for v in dropped]
                fallback = kept, gap, notes
        self.notes += fallback[2]
        return fallback[:2]

    def _hold_together(self, vectors: list[np.ndarray]) -> bool:
        """Whether all ``vectors`` hold, by rescaling along random combinations, in units of the weakest of them."""
        if not vectors:
            return True
        generator = np.random.default_rng(self.probe.seed)
        with self.probe.small_eps():
            for point, s in itertools.product(range(CONFIRMED_AT), (*SHIFTS, -max(SHIFTS))):
                by = [abs(s) if v.min() >= 0 and abs(s) > 1 else s * generator.choice((-1, 1)) for v in vectors]
                by = np.array(by) * generator.uniform(0.6, 1, len(vectors))
                weakest = min(self._expected(point, s * v) for s, v in zip(by, vectors, strict=True))
                if not self._change(point, by @ np.array(vectors)) < self.tolerance * weakest:
                    return False
        return True

    def _holds(self, vector: np.ndarray) -> bool:
        """Whether the loss is unchanged, in units of its change without the symmetry."""
        key = vector.tobytes()
        if key not in self.known:
            shifts = SHIFTS if vector.min() >= 0 else (*SHIFTS, -max(SHIFTS))
            with self.probe.small_eps():
                self.known[key] = all(
                    self._change(point, s * vector) < self.tolerance * self._expected(point, s * vector)
                    for point in range(CONFIRMED_AT)
                    for s in shifts
                )
        return self.known[key]

    def _change(self, point: int, exponents: np.ndarray) -> float:
        after = self.probe.loss(point, {int(self.active[i]): exponents[i] for i in np.flatnonzero(exponents)})
        return abs(after - float(self.equations.losses[point]))  # NaN compares as false

    def _expected(self, point: int, exponents: np.ndarray) -> float:
        """Change of the loss if the terms of Σ aᵢ⟨∇ᵢL, wᵢ⟩ did not cancel."""
        return float(np.linalg.norm(exponents * self.equations.spread[point, self.active]))

    def _names(self, vector: np.ndarray) -> list[str]:
        return [self.probe.names[self.active[i]] for i in np.flatnonzero(vector)]

    def _groups(self, vectors: list[np.ndarray], own: Equations) -> list[Group]:
        products, lengths = own.products[:, self.active], own.lengths[:, self.active]
        residuals = [largest_ratio(np.abs(products @ v), np.linalg.norm(lengths * v, axis=1)) for v in vectors]
        return basis.groups(vectors, self._described()[0], self.probe.affine, residuals)
