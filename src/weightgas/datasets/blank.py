"""Blank images in the shape of a data set whose files are not here, to estimate the cost of a run."""

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
    """Blank images in the number, shape and classes of the data set called ``name``, to estimate the cost of a run.

    Raises
    ------
    ValueError
        If it is not a data set that is read from files: ``cifar10``, ``cifar100``, ``fashion_mnist`` or
        ``fashion_mnist_14``.
    """
    count, shape, classes = SHAPES[one_of("data", name, SHAPES)]
    return Images(name, np.zeros((count, *shape), np.float32), np.arange(count) % classes, classes)
