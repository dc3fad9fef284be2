"""The 1797 handwritten digits of the UCI repository, 8 × 8 pixels, embedded in the package (CC BY 4.0)."""

from __future__ import annotations

from importlib.resources import files

import numpy as np

from weightgas.datasets.images import Images
from weightgas.datasets.selection import split
from weightgas.errors import typed

TEST_PER_CLASS = 50
"""Images of each digit in the test half."""


@typed
def digits(*, test: bool = False) -> Images:
    """The 1797 digits of "Optical Recognition of Handwritten Digits" (Alpaydin and Kaynak, UCI 1998).

    Inputs have shape (1797, 64). The pixels, whole numbers from 0 to 16, are reduced by their mean over all images and
    pixels and divided by their standard deviation (one number each, as images are usually normalised per channel). For
    inputs of unit size the epsilon of BatchNorm, which breaks scale invariance, has the smallest effect.

    With ``test`` the data set has 1297 of the digits, and its test half the other 500, 50 of each digit, always the
    same; mean and deviation are those of the 1297.
    """
    with (files("weightgas.datasets") / "digits.npz").open("rb") as file, np.load(file, allow_pickle=False) as stored:
        pixels, labels = stored["pixels"].astype(np.float64), stored["labels"].astype(np.int64)
    if not test:
        return Images("digits", (pixels - pixels.mean()) / pixels.std(), labels, 10)
    train, rest = split(labels, TEST_PER_CLASS)
    mean, deviation = pixels[train].mean(), pixels[train].std()
    half = Images("digits, test half", (pixels[rest] - mean) / deviation, labels[rest], 10)
    return Images("digits, training half", (pixels[train] - mean) / deviation, labels[train], 10, half)
