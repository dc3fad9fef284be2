"""Fashion-MNIST (Xiao, Rasul and Vollgraf 2017), photographs of clothes, from its four published IDX files.

A file has a number for its type and dimensions, the size of every dimension, and the bytes, all compressed by gzip. The
unpacked content has a known SHA-256, however it was compressed: the archives of the Debian package differ from those of
the publisher.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import sys
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from weightgas.datasets.cifar import VARIABLE
from weightgas.datasets.images import Images
from weightgas.datasets.pixels import normalised
from weightgas.errors import one_of, refuse, typed

_SIDE, _FOLDER = 28, "fashion-mnist"
_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"


@dataclass(frozen=True)
class IdxFile:
    """A published file: its name, the MD5 of the archive, the SHA-256 of its content, and its dimensions."""

    name: str
    md5: str
    sha256: str
    shape: tuple[int, ...]

    @property
    def header(self) -> bytes:
        """The first bytes of its content: the type, the number of dimensions, and their sizes."""
        return bytes((0, 0, 8, len(self.shape))) + b"".join(n.to_bytes(4, "big") for n in self.shape)


HALVES = {
    "train": (
        IdxFile(
            "train-images-idx3-ubyte.gz",
            "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            (60_000, _SIDE, _SIDE),
        ),
        IdxFile(
            "train-labels-idx1-ubyte.gz",
            "25c81989df183df01b3e8a0aad5dffbe",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            (60_000,),
        ),
    ),
    "test": (
        IdxFile(
            "t10k-images-idx3-ubyte.gz",
            "bef4ecab320f06d8554ea6380940ec79",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            (10_000, _SIDE, _SIDE),
        ),
        IdxFile(
            "t10k-labels-idx1-ubyte.gz",
            "bb300cfdad3c16e7a12a480ee83cd310",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
            (10_000,),
        ),
    ),
}
"""Images and labels of the training and of the test half."""


@typed
def fashion_mnist(
    data_dir: str | os.PathLike[str] | None = None,
    *,
    download: bool = False,
    side: int = 28,
    half: str = "train",
    test: bool = False,
) -> Images:
    """Fashion-MNIST: 60 000 photographs of clothes in 10 classes, 28 x 28 pixels; --data-dir or --download.

    Inputs have shape (60000, 1, side, side), normalised like those of ``mnist``.

    Parameters
    ----------
    data_dir
        Folder with the four files, or with a folder ``fashion-mnist`` that has them; by default that in the environment
        variable ``WEIGHTGAS_DATA``. Without the variable, ``share/datasets`` of the environment and of the system
        (where the Debian package ``dataset-fashion-mnist`` puts them) and ``~/.cache/weightgas`` are searched.
    download
        Download the two files of this half (30 MB; the test half 4 MB) first if they are missing, to the given folder
        or ``~/.cache/weightgas``; checksums are verified.
    side
        28, or 14: the mean of every 2 x 2 pixels, rounded to bytes.
    half
        ``"train"`` or ``"test"``: the test half is 10 000 images, normalised by their own mean and deviation.
    test
        Also read the test half, with the normalisation of the training half, into the field ``test``.

    Raises
    ------
    FileNotFoundError
        If a file is missing; the message states where to get it and where to put it.
    ValueError
        If a file is damaged, ``side`` is neither 28 nor 14, or both ``test`` and ``half="test"`` are given.
    ModuleNotFoundError, OSError
        If ``download`` is given and the package pooch is not installed, or the download fails.
    """
    if side not in (_SIDE, _SIDE // 2):
        raise refuse("side", "28 or 14", side, "Pass 28, or 14 for means of 2 x 2 pixels.")
    one_of("half", half, HALVES)
    if test and half == "test":
        raise refuse("test", "false with half='test'", True, "Omit half.")
    pixels, classes = _half(half, data_dir, download, side)
    name = "fashion_mnist" + ("" if side == _SIDE else f"_{side}")
    found = Images(name + ("" if half == "train" else ", test half"), normalised(pixels), classes, 10)
    if not test:
        return found
    others, labels = _half("test", data_dir, download, side)
    return replace(found, test=Images(f"{name}, test half", normalised(others, pixels), labels, 10))


def _half(
    half: str, data_dir: str | os.PathLike[str] | None, download: bool, side: int
) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (N, 1, side, side) and labels (N,) of a half."""
    images, labels = HALVES[half]
    folder = _folder((images, labels), data_dir, download)
    pixels, classes = (_content(file, folder / file.name) for file in (images, labels))
    if side != _SIDE:
        blocks = pixels.reshape(-1, side, 2, side, 2).astype(np.uint16).sum(axis=(2, 4))
        pixels = ((blocks + 2) // 4).astype(np.uint8)
    return pixels[:, None], classes.astype(np.int64)


@typed
def fashion_mnist_14(
    data_dir: str | os.PathLike[str] | None = None, *, download: bool = False, test: bool = False
) -> Images:
    """Fashion-MNIST at 14 x 14 pixels, the mean of every 2 x 2 pixels; --data-dir or --download.

    Arguments and errors are those of :func:`fashion_mnist`.
    """
    return fashion_mnist(data_dir, download=download, side=14, test=test)


def _folder(files: tuple[IdxFile, ...], data_dir: str | os.PathLike[str] | None, download: bool) -> Path:
    """The first folder that has all the files, or that to which they are downloaded: the given one, or the cache."""
    cache = Path.home() / ".cache" / "weightgas"
    given = data_dir or os.environ.get(VARIABLE)
    shared = [Path(prefix, "share", "datasets") for prefix in (sys.prefix, "/usr/local", "/usr")]
    places = [Path(given).expanduser()] if given else [*shared, cache]
    for place in places:
        for folder in (place / _FOLDER, place):
            if all((folder / file.name).is_file() for file in files):
                return folder
    target = Path(given).expanduser() if given else cache
    if not download:
        lacking = " and ".join(file.name for file in files)
        raise FileNotFoundError(
            f"{', '.join(map(str, places))}: expected {lacking} of Fashion-MNIST there, or in the folder {_FOLDER}, "
            f"got none. Install the Debian package dataset-fashion-mnist, or get them from {_URL} and put them into "
            f"{target}, or name their folder with data_dir= (--data-dir) or {VARIABLE}; download=True (--download) "
            "fetches them."
        )
    from weightgas.datasets.download import fetch

    for file in files:
        fetch(_URL + file.name, f"md5:{file.md5}", target / _FOLDER / file.name)
    return target / _FOLDER


def _content(file: IdxFile, path: Path) -> np.ndarray:
    """The bytes of one file in its shape; ValueError if it is not the published one."""
    fix = f"Get it anew from {_URL}, or from the Debian package dataset-fashion-mnist."
    size = len(file.header) + int(np.prod(file.shape))
    try:
        with gzip.open(path) as stream:
            content = stream.read(size + 1)  # no more, so that a file that unpacks to gigabytes is harmless
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise refuse(str(path), "a gzip archive", str(error), fix) from error
    if len(content) != size or content[: len(file.header)] != file.header:
        got = f"{len(content)} bytes that begin with {content[: len(file.header)].hex()}"
        raise refuse(str(path), f"{size} bytes that begin with {file.header.hex()}", got, fix)
    found = hashlib.sha256(content).hexdigest()
    if found != file.sha256:
        raise refuse(str(path), f"content with the SHA-256 {file.sha256}", found, f"It is damaged. {fix}")
    return np.frombuffer(content, np.uint8, offset=len(file.header)).reshape(file.shape)
