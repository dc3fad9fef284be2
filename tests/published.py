"""Tiny data sets in the form in which CIFAR is published: folders and archives of binary records."""

from __future__ import annotations

import hashlib
import io
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from weightgas.datasets import cifar
from weightgas.datasets.cifar import Published

RECORDS = 20


def tiny(published: Published) -> Published:
    """The same data set with few images in each file."""
    return replace(published, records=RECORDS, tests=RECORDS)


def contents(published: Published) -> dict[str, bytes]:
    """Random records for every file, the same at each call; every class comes up where there are enough images."""
    generator = np.random.default_rng(published.classes[-1])
    made = {}
    for name in published.files:
        labels = [(np.arange(published.records) % classes).astype(np.uint8) for classes in published.classes]
        pixels = generator.integers(256, size=(published.records, 3072), dtype=np.uint8)
        made[name] = np.column_stack([*labels, pixels]).tobytes()
    return made


def both(published: Published) -> dict[str, bytes]:
    """The files of the training half, and that of the test half, made of other random records."""
    generator = np.random.default_rng(published.classes[-1] + 1)
    labels = [(np.arange(published.tests) % classes).astype(np.uint8) for classes in published.classes]
    pixels = generator.integers(256, size=(published.tests, 3072), dtype=np.uint8)
    return contents(published) | {published.test: np.column_stack([*labels, pixels]).tobytes()}


def archive(published: Published, path: Path, members: dict[str, bytes] | None = None) -> Published:
    """Write the archive to ``path``; the data set with its checksum."""
    if members is None:
        members = {f"{published.folder}/{name}": content for name, content in both(published).items()}
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return replace(published, sha256=hashlib.sha256(path.read_bytes()).hexdigest())


def folder(published: Published, place: Path) -> None:
    """Write the unpacked files into ``place``."""
    place.mkdir(parents=True, exist_ok=True)
    for name, content in both(published).items():
        (place / name).write_bytes(content)


def install(monkeypatch, place: Path) -> None:
    """Make ``cifar10`` and ``cifar100`` the tiny ones, their files in ``place``."""
    for attribute in ("CIFAR10", "CIFAR100"):
        published = tiny(getattr(cifar, attribute))
        monkeypatch.setattr(cifar, attribute, published)
        folder(published, place / published.folder)
