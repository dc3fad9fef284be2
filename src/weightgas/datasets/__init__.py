"""Images and their labels: the same arrays for every run, without a network connection.

`digits` is embedded in the package. A data set of one's own is an :class:`Images`.
"""

from weightgas.datasets.embedded import digits
from weightgas.datasets.images import Images
from weightgas.errors import one_of

__all__ = ["KNOWN", "Images", "digits", "named"]

KNOWN = {"digits": digits}
"""The data sets that have a name, by name."""


def named(name: str) -> Images:
    """The data set called ``name``; a ValueError that lists the known ones for any other."""
    return KNOWN[one_of("data", name, KNOWN)]()
