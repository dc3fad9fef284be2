"""The scaling symmetries of one network, as a value and as a table."""

from __future__ import annotations

from dataclasses import dataclass

from weightgas import notebook
from weightgas.symmetry.group import Group


@dataclass(frozen=True)
class Symmetries:
    """The scaling symmetries of a network: a basis, of which all others are combinations. ``print`` shows a table.

    Attributes
    ----------
    groups
        The confirmed symmetries: a sparse basis, with matrices preferred, in the order of the parameters.
    approximate
        Symmetries that are exact only for eps → 0 in the normalisations: with the model's own eps their residual is
        above ``tolerance``. Larger weights or a smaller eps would bring it below.
    inert
        Trained parameters without effect on the loss (a bias before BatchNorm, the bias of the keys).
    filters
        The rows, and blocks of rows, that are scale-invariant by themselves; only with ``per_filter=True``.
    unknowns, equations
        Number of parameters with an effect, and of equations, each for a batch and a point.
    singular_values
        Singular values of the scaled matrix of inner products, in descending order; about 1 without symmetry. Where
        every op is known, they are instead the sizes of Σ aᵢ⟨∇ᵢL, wᵢ⟩ in units of its terms, along the directions that
        violate one constraint, and along the symmetries.
    gap
        Ratio of the last of these that is kept to the first one that is taken as zero; infinite if the latter is zero.
    tolerance
        Largest residual of a symmetry.
    notes
        What was excluded or could not be tested, and why.
    """

    groups: tuple[Group, ...]
    approximate: tuple[Group, ...]
    inert: tuple[str, ...]
    filters: tuple[Group, ...]
    unknowns: int
    equations: int
    singular_values: tuple[float, ...]
    gap: float
    tolerance: float
    notes: tuple[str, ...]

    @property
    def scale_invariant(self) -> tuple[Group, ...]:
        """The groups whose exponents are all equal: the loss depends only on their direction."""
        return tuple(group for group in self.groups if group.scale_invariant)

    @property
    def rescalings(self) -> tuple[Group, ...]:
        """The symmetries whose exponents differ."""
        return tuple(group for group in self.groups if not group.scale_invariant)

    @property
    def residuals(self) -> dict[str, float]:
        """Residuals of the confirmed and approximate groups, by name."""
        return {group.name: group.residual for group in (*self.groups, *self.approximate)}

    def __str__(self) -> str:
        """The table: kind, residual, members with their exponents where these differ."""
        lines = [
            f"{len(self.scale_invariant)} scale-invariant groups and {len(self.rescalings)} rescalings of "
            f"{self.unknowns} parameters, from {self.equations} equations (gap {self.gap:.1e})"
        ]
        lines += [_line(group.kind, group) for group in self.groups]
        lines += [_line("approximate", group) for group in self.approximate]
        if self.filters:
            lines.append(
                f"{len(self.filters)} groups of rows in {len({f.parameters[0] for f in self.filters})} tensors"
            )
        if self.inert:
            lines.append("without effect: " + ", ".join(self.inert))
        lines += [f"note: {note}" for note in self.notes]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """In a notebook: the table, with all other results as a note."""
        every = [(group.kind, group) for group in self.groups] + [("approximate", group) for group in self.approximate]
        rows = [(kind, f"{group.residual:.1e}", _members(group)) for kind, group in every]
        title, *other = str(self).split("\n")
        return notebook.table(("kind", "residual", "parameters"), rows, title, "\n".join(other[len(rows) :]))


def _line(kind: str, group: Group) -> str:
    return f"  {kind:<12}{group.residual:>9.1e}  {_members(group)}"


def _members(group: Group) -> str:
    """The parameters of a group, with their exponents where these differ."""
    members = zip(group.parameters, group.exponents, strict=True)
    return ", ".join(name if group.scale_invariant else f"{name}^{a:+g}" for name, a in members)
