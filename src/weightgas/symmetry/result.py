"""The scaling symmetries of one network, as a value and as a table."""

from __future__ import annotations

from dataclasses import dataclass

from weightgas import notebook
from weightgas.symmetry.group import Group


@dataclass(frozen=True)
class Symmetries:
    """Every scaling symmetry found; all others are combinations of these. ``print`` shows a table.

    Attributes
    ----------
    groups
        The confirmed symmetries: a basis of all of them, sparse and of matrices first, in the order of the parameters.
    approximate
        Those that are exact only as the eps of the normalisations goes to 0: with the model's own eps their residual
        is above ``tolerance``. Larger weights, or a smaller eps, would make them hold.
    inert
        Trained parameters without effect on the loss (a bias before BatchNorm, the bias of the keys).
    filters
        The rows, and blocks of rows, that are scale-invariant by themselves; only on request (``per_filter=True``).
    unknowns, equations
        Number of parameters that have an effect, and of (batch, point) pairs they were looked at.
    singular_values
        Of the scaled matrix of inner products, falling; about 1 where there is no symmetry. Where every op is known:
        the sizes of Σ aᵢ⟨∇ᵢL, wᵢ⟩ in units of its terms, along directions that break one constraint and symmetries.
    gap
        Ratio of the last of these kept to the first one taken as zero; infinite if that one is.
    tolerance
        Residual up to which a symmetry counts.
    notes
        What was dropped or could not be looked at, and why.
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
        """The groups whose exponents are all equal: the loss depends on their direction alone."""
        return tuple(group for group in self.groups if group.scale_invariant)

    @property
    def rescalings(self) -> tuple[Group, ...]:
        """The symmetries whose exponents differ."""
        return tuple(group for group in self.groups if not group.scale_invariant)

    @property
    def residuals(self) -> dict[str, float]:
        """Residual of each group and each approximate one, by name."""
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
        """In a notebook: the table, with what else was found as a note."""
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
