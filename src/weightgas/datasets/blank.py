"""Blank images in the shape of a data set whose files are not here, to time a run before they are got."""

from __future__ import annotations

import numpy as np

from weightgas.datasets.images import Images
from weightgas.errors import one_of, typed

SHAPES: dict[str, tuple[int, tuple[int, int, int], int]] = {
    "cifar10": (50_000, (3, 32, 32), 10),
    "cifar100": (50_000, (3, 32, 32), 100),
    "fashion_mnist": (60_000, (1, 28, 28), 10),
    "fashion_mnist_14": (60_000, (1, 14, 14), 10),
}
"""Number of training images, their shape and the number of classes of the data sets that are read from files."""


@typed
def blank(name: str) -> Images:
    """As many images as ``name`` has, of their shape, all zero, every class as often: for the cost of a run alone.

    Raises
    ------
    ValueError
        If it is not a data set that is read from files (:data:`SHAPES`).
    """
    count, shape, classes = SHAPES[one_of("data", name, SHAPES)]
    return Images(name, np.zeros((count, *shape), np.float32), np.arange(count) % classes, classes)
