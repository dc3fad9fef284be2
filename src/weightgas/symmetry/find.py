"""``symmetries``: the scaling symmetries of a model, found in its gradients and confirmed by rescaling.

Σᵢ aᵢ ⟨∇ᵢL_b, wᵢ⟩ = 0 for every batch b and every point w (Euler) if and only if L(e^{aᵢ s} wᵢ) = L(w) for every s. The
equations are read in train mode and float64 at jittered points, so that no weight has a special value, and with the eps
of the normalisations made negligible, since eps makes their symmetries approximate (residual ∝ eps/r²); the residual is
then read again with the model's own eps. Every vector of the null space is confirmed by rescaling the parameters, by
factors from e^{−1/2} to e³, where a function that is only nearly homogeneous (a tanh near 0) gives itself away.

Weakness: what is homogeneous to the tolerance even there (a tanh of numbers below 10⁻⁶) passes. An eps that is written
into a function, not kept as an attribute ``eps`` of a module, cannot be made small; beyond the tolerance such a group
is missed. Symmetries other than scalings (shifts, rotations) are not looked for.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from torch import nn

from weightgas.errors import positive_number, refuse, whole_number
from weightgas.symmetry import nullspace
from weightgas.symmetry.filters import split_rows
from weightgas.symmetry.group import Group
from weightgas.symmetry.probe import Equations, LossFn, Probe, largest_ratio, undisturbed
from weightgas.symmetry.result import Symmetries

INERT_BELOW = 1e-8
"""A parameter with ‖∇ᵢL‖‖wᵢ‖ below this part of the largest has no effect."""
SHIFTS = (-0.5, 0.5, 12.0)
"""s of the confirming rescalings; −12 too where exponents have both signs."""
CONFIRMED_AT = 3
"""Points at which each is confirmed."""
LEAST_EQUATIONS, MORE_EQUATIONS = 12, 4
"""Equations are read at least, and until so many are more than the rank that they show."""


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

    The model is copied; itself, its gradients, buffers, train/eval mode and the generators of torch stay as they are.
    Frozen parameters are excluded, tied ones counted once. Costs some twenty forward and backward passes, a dozen
    forward passes, and one of the first more for each tensor, less symmetries, beyond eight, in float64.

    Parameters
    ----------
    model
        Any module, on any device that has float64. The copy is in train mode throughout.
    loss_fn
        ``loss_fn(model, batch)`` returns the mean loss of a batch, a tensor with no dimensions. It is called with a
        float64 copy of the model and must use that. Omit penalties on the weights: they have no symmetry.
    batches
        Batches as ``loss_fn`` takes them, a list or a data loader; the first 8 are used, one is enough. Floating
        tensors in them (also inside tuples, lists and dicts) are passed in float64.
    per_filter
        Also look inside tensors: which rows, or blocks of rows, are scale-invariant by themselves.
    tolerance
        Residual up to which a symmetry counts; what only eps keeps above it is listed as approximate.
    seed
        Of the jitter and of dropout masks.

    Raises
    ------
    TypeError
        If the model is not a module, or the loss not a tensor.
    ValueError
        If there is no batch or no trainable parameter, or the loss is not a scalar, not finite, or does not depend on
        the parameters of the model it is given.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: expected a torch.nn.Module, got {type(model).__name__}. Pass the model itself.")
    tolerance = positive_number("tolerance", tolerance)
    seed = whole_number("seed", seed, minimum=0)
    with undisturbed(model):
        return _Search(Probe(model, loss_fn, batches, seed), tolerance, per_filter).result()


class _Search:
    """The equations of one probe and what follows from them; ``active`` are the columns with an effect."""

    def __init__(self, probe: Probe, tolerance: float, per_filter: bool) -> None:
        self.probe, self.tolerance, self.per_filter = probe, tolerance, per_filter
        self.equations, self.active, self.spectrum = self._read()
        self.notes: list[str] = []
        self.known: dict[bytes, bool] = {}

    def _read(self) -> tuple[Equations, np.ndarray, nullspace.Spectrum]:
        """Equations until ``MORE_EQUATIONS`` have not raised the rank; the columns with an effect; their spectrum."""
        probe, most = self.probe, len(self.probe.names) + MORE_EQUATIONS
        read, end = None, 0
        while True:
            begin, end = end, max(LEAST_EQUATIONS, min(most, end + MORE_EQUATIONS))
            with probe.small_eps():
                more = probe.equations(begin, end, rows=self.per_filter)
            read = more if read is None else read.joined(more)
            effect = read.lengths.max(axis=0)
            if not effect.max() > 0:
                fix = "Every gradient is zero: look at the loss and at dead units."
                raise refuse("loss_fn", "a loss that depends on the model's parameters", "one that does not", fix)
            active = np.flatnonzero(effect > INERT_BELOW * effect.max())
            found = nullspace.spectrum(read.products[:, active], read.spread[:, active])
            if end >= most or found.rank + MORE_EQUATIONS <= end:
                return read, active, found

    def result(self) -> Symmetries:
        """Search, confirm, measure the residuals."""
        probe, read = self.probe, self.equations
        found = self.spectrum
        vectors, gap = self._confirmed(found)
        own = probe.equations(0, min(len(read.losses), 2 * MORE_EQUATIONS), rows=self.per_filter)
        groups = self._groups(vectors, own)
        holds = [group for group in groups if group.residual <= self.tolerance]
        filters: list[Group] = []
        if self.per_filter:
            with probe.small_eps():
                filters, notes = split_rows(probe, read, own, holds, self.tolerance)
            self.notes += notes
        active = set(self.active.tolist())
        return Symmetries(
            groups=tuple(holds),
            approximate=tuple(group for group in groups if group.residual > self.tolerance),
            inert=tuple(name for i, name in enumerate(probe.names) if i not in active),
            filters=tuple(filters),
            unknowns=len(active),
            equations=len(read.losses),
            singular_values=tuple(found.values.tolist()),
            gap=gap,
            tolerance=self.tolerance,
            notes=tuple(self.notes),
        )

    def _confirmed(self, found: nullspace.Spectrum) -> tuple[list[np.ndarray], float]:
        """The widest null space in which every vector is confirmed; where there is none, that of the largest gap."""
        cuts = found.cuts()
        fallback: tuple[list[np.ndarray], float, list[str]] = ([], 1.0, [])
        for cut, gap in sorted(cuts[:4]):
            vectors, lost = nullspace.sparsest(found, cut, self.probe.seed)
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
        """Whether all of them hold, by rescaling along random combinations, in units of the weakest of them."""
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
        """Whether the loss stays the same, in units of what it would change by without the symmetry."""
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
        """What the loss would change by if the terms of Σ aᵢ⟨∇ᵢL, wᵢ⟩ did not cancel."""
        return float(np.linalg.norm(exponents * self.equations.spread[point, self.active]))

    def _names(self, vector: np.ndarray) -> list[str]:
        return [self.probe.names[self.active[i]] for i in np.flatnonzero(vector)]

    def _groups(self, vectors: list[np.ndarray], own: Equations) -> list[Group]:
        """In the order of their first parameters; a name that comes twice gets its number."""
        groups: list[Group] = []
        for vector in sorted(vectors, key=lambda v: np.flatnonzero(v).tolist()):
            group = self._group(vector, own)
            same = sum(group.name == other.name.partition(" (")[0] for other in groups)
            groups.append(replace(group, name=f"{group.name} ({same + 1})") if same else group)
        return groups

    def _group(self, vector: np.ndarray, own: Equations) -> Group:
        names = self._names(vector)
        columns = self.active[np.flatnonzero(vector)]
        exponents = vector[np.flatnonzero(vector)]
        off = np.abs(own.products[:, columns] @ exponents)
        residual = largest_ratio(off, np.linalg.norm(own.lengths[:, columns] * exponents, axis=1))
        if (exponents != exponents[0]).any():
            kind = "rescale"
        elif all(name in self.probe.affine for name in names):
            kind = "affine"
        else:
            kind = "single" if len(names) == 1 else "joint"
        name = names[0] if len(names) == 1 else f"{names[0]} + {len(names) - 1} more"
        return Group(name, tuple(names), kind, tuple(exponents.tolist()), residual)
