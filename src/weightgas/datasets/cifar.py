"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009), 50 000 colour images of 32 × 32 pixels, from the published binary version.

An image is a record of bytes: its label (CIFAR-100: the coarse label, then the fine one), then 1024 red, 1024 green and
1024 blue pixels, row by row (https://www.cs.toronto.edu/~kriz/cifar.html). Nothing is unpickled. The training images,
and the test images where they are asked for, are read from an unpacked folder or directly from the archive.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from weightgas.datasets.images import Images
from weightgas.datasets.pixels import normalised
from weightgas.errors import path_of, refuse, typed

logger = logging.getLogger(__name__)

VARIABLE = "WEIGHTGAS_DATA"
"""The environment variable with the folder of the data sets, for calls without ``data_dir``."""

_SHAPE = (3, 32, 32)
_PIXELS = 3 * 32 * 32


@dataclass(frozen=True)
class Published:
    """A published data set: its address and checksum, and the content of its files."""

    name: str
    url: str
    sha256: str
    folder: str
    files: tuple[str, ...]
    records: int
    """Images in each file."""
    classes: tuple[int, ...]
    """Number of classes of each label of a record."""
    test: str
    """The file of the test images."""
    tests: int = 10_000
    """Images in it."""

    @property
    def archive(self) -> str:
        """The name of the archive."""
        return self.url.rpartition("/")[2]


# The SHA-256 are those of TensorFlow Datasets and others for the archives whose published MD5 are
# c32a1d4ab5d03f1284b67883e8d87530 and 03b5dce01913d631647c71ecec9e9cb8.
CIFAR10 = Published(
    "cifar10",
    "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    "cifar-10-batches-bin",
    tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
    10_000,
    (10,),
    "test_batch.bin",
)
CIFAR100 = Published(
    "cifar100",
    "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
    "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
    "cifar-100-binary",
    ("train.bin",),
    50_000,
    (20, 100),
    "test.bin",
)


@typed
def cifar10(data_dir: str | os.PathLike[str] | None = None, *, download: bool = False, test: bool = False) -> Images:
    """CIFAR-10: 50 000 photographs in 10 classes, 32 x 32 pixels in colour; --data-dir or --download.

    Inputs have shape (50000, 3, 32, 32), each channel normalised by its mean and standard deviation.

    Parameters
    ----------
    data_dir
        Folder with ``cifar-10-binary.tar.gz`` or its content; by default that in the environment variable
        ``WEIGHTGAS_DATA``, or ``~/.cache/weightgas``.
    download
        Download the archive (170 MB) into that folder first if it is missing; its checksum is verified.
    test
        Also read the 10 000 test images, with the normalisation of the training images, into the field ``test``.

    Raises
    ------
    FileNotFoundError
        If the files are missing; the message states where to get them and where to put them.
    ValueError
        If they are damaged: truncated, of another version, or with unknown labels or a wrong checksum.
    ModuleNotFoundError, OSError
        If ``download`` is given and the package pooch is not installed, or the download fails.
    """
    return _images(CIFAR10, data_dir, download, test=test)


@typed
def cifar100(
    data_dir: str | os.PathLike[str] | None = None,
    *,
    download: bool = False,
    coarse: bool = False,
    test: bool = False,
) -> Images:
    """CIFAR-100: 50 000 photographs in 100 classes, 32 x 32 pixels in colour; --data-dir or --download.

    With ``coarse`` the labels are the 20 superclasses. All else, also the errors, is as in :func:`cifar10`, with the
    file ``cifar-100-binary.tar.gz`` (169 MB).
    """
    return _images(CIFAR100, data_dir, download, coarse=coarse, test=test)


def _images(
    published: Published,
    data_dir: str | os.PathLike[str] | None,
    download: bool,
    coarse: bool = False,
    test: bool = False,
) -> Images:
    place = path_of(
        "data_dir", data_dir or os.environ.get(VARIABLE) or Path.home() / ".cache" / "weightgas"
    ).expanduser()
    which = 0 if coarse else len(published.classes) - 1
    classes, name = published.classes[which], published.name + (", coarse" if coarse else "")
    pixels, labels = _half(published, place, download, which)
    if not test:
        return Images(name, normalised(pixels), labels, classes)
    of_test = replace(published, files=(published.test,), records=published.tests)
    others, theirs = _half(of_test, place, download, which)
    half = Images(f"{name}, test half", normalised(others, pixels), theirs, classes)
    return Images(name, normalised(pixels), labels, classes, half)


def _half(published: Published, place: Path, download: bool, which: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (N, 3, 32, 32) and the labels ``which`` (N,) of all files."""
    contents = _contents(published, place, download)
    whole = np.concatenate([_table(published, name, contents[name]) for name in published.files])
    return whole[:, len(published.classes) :].reshape(-1, *_SHAPE), whole[:, which].astype(np.int64)


def _contents(published: Published, place: Path, download: bool) -> Mapping[str, bytes]:
    """The bytes of every file, from the unpacked folder or from the archive."""
    archive = place / published.archive
    for folder in (place, place / published.folder):
        there = [name for name in published.files if (folder / name).is_file()]
        if len(there) == len(published.files):
            return {name: (folder / name).read_bytes() for name in published.files}
        if there and not archive.exists() and not download:
            lacking = ", ".join(sorted({*published.files} - {*there}))
            raise FileNotFoundError(
                f"{folder}: expected all files of {published.name}, got all except {lacking}. {_fix(published, place)}"
            )
    if download:
        from weightgas.datasets.download import fetch

        fetch(published.url, f"sha256:{published.sha256}", archive)
    if not archive.is_file():
        raise FileNotFoundError(
            f"{place}: expected {published.archive} or {published.folder} there, got neither. {_fix(published, place)}"
        )
    return _unpacked(published, archive)


def _fix(published: Published, place: Path) -> str:
    return (
        f"Get {published.url} and put it into {place}, or name the folder where it is with data_dir= (--data-dir) or "
        f"{VARIABLE}; download=True (--download) fetches it."
    )


def _unpacked(published: Published, archive: Path) -> Mapping[str, bytes]:
    """The files of the archive, read from it: nothing is written, so paths in it do no harm."""
    with archive.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != published.sha256:
        raise refuse(
            str(archive), f"the SHA-256 {published.sha256}", found, f"It is damaged. {_fix(published, archive.parent)}"
        )
    contents = {}
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                folder, _, name = member.name.rpartition("/")
                if name in published.files and folder.rpartition("/")[2] == published.folder:
                    read = tar.extractfile(member)
                    contents[name] = b"" if read is None else read.read()
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise ValueError(
            f"{archive}: expected a tar.gz archive, got {error}. {_fix(published, archive.parent)}"
        ) from error
    lacking = sorted({*published.files} - {*contents})
    if lacking:
        raise refuse(str(archive), f"{', '.join(lacking)} in it", sorted(contents), _fix(published, archive.parent))
    return contents


def _table(published: Published, name: str, content: bytes) -> np.ndarray:
    """The records of one file, shape (records, labels + 3072); ValueError if it is damaged."""
    width = len(published.classes) + _PIXELS
    if len(content) != published.records * width:
        raise refuse(
            f"{published.name}, {name}",
            f"{published.records} records of {width} bytes, {published.records * width} in all",
            len(content),
            f"It is cut short, or not of the binary version: unpack {published.archive} again.",
        )
    table = np.frombuffer(content, np.uint8).reshape(published.records, width)
    for column, classes in enumerate(published.classes):
        if table[:, column].max() >= classes:
            raise refuse(
                f"{published.name}, {name}",
                f"labels from 0 to {classes - 1}",
                int(table[:, column].max()),
                f"It is damaged: unpack {published.archive} again.",
            )
    return table
