"""Scaling symmetries of any network: the parameters that can be rescaled together without changing the loss."""

from weightgas.symmetry.find import symmetries
from weightgas.symmetry.group import Group
from weightgas.symmetry.result import Symmetries
from weightgas.symmetry.structure import structural_groups

__all__ = ["symmetries", "structural_groups", "Symmetries", "Group"]
