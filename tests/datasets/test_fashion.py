"""Fashion-MNIST: what is read from IDX files, and what is refused; the published files where they are installed."""

import gzip
import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from weightgas import datasets
from weightgas.datasets import fashion

INSTALLED = Path("/usr/share/datasets/fashion-mnist")


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """A folder with both halves of 30 images, made here, and the bytes of the training images."""
    monkeypatch.delenv("WEIGHTGAS_DATA", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    generator, halves, pixels = np.random.default_rng(0), {}, {}
    folder = tmp_path / "data" / "fashion-mnist"
    folder.mkdir(parents=True)
    for half, files in fashion.HALVES.items():
        made = []
        for file in files:
            file = replace(file, shape=(30, *file.shape[1:]))
            labels = len(file.shape) == 1
            values = np.arange(30, dtype=np.uint8) % 10 if labels else generator.integers(0, 256, file.shape, np.uint8)
            pixels.setdefault(half, values)
            content = file.header + values.tobytes()
            (folder / file.name).write_bytes(gzip.compress(content))
            made.append(replace(file, sha256=hashlib.sha256(content).hexdigest()))
        halves[half] = tuple(made)
    monkeypatch.setattr(fashion, "HALVES", halves)
    return folder, pixels


def test_every_pixel_is_where_the_format_says(tiny, monkeypatch):
    folder, pixels = tiny
    for place in (folder, folder.parent):
        images = datasets.named("fashion_mnist", place)
        assert (images.name, images.classes, images.inputs.shape) == ("fashion_mnist", 10, (30, 1, 28, 28))
    plane = pixels["train"].astype(float)
    np.testing.assert_allclose(images.inputs[7, 0, 3, 5], (plane[7, 3, 5] - plane.mean()) / plane.std(), rtol=1e-6)
    assert images.labels.tolist() == [i % 10 for i in range(30)]
    monkeypatch.setenv("WEIGHTGAS_DATA", str(folder))
    test = datasets.fashion_mnist(half="test")
    assert test.name == "fashion_mnist, test half" and not np.array_equal(test.inputs, images.inputs)


def test_the_test_half_is_normalised_like_the_training_half(tiny):
    folder, pixels = tiny
    plane, other = pixels["train"].astype(float), pixels["test"].astype(float)
    images = datasets.fashion_mnist(folder, test=True)
    assert images.name == "fashion_mnist" and images.test.name == "fashion_mnist, test half"
    np.testing.assert_allclose(images.test.inputs[:, 0], (other - plane.mean()) / plane.std(), rtol=1e-5, atol=1e-6)
    assert datasets.named("fashion_mnist_14", folder, test=True).test.inputs.shape == (30, 1, 14, 14)
    with pytest.raises(ValueError, match="test: expected false with half='test'"):
        datasets.fashion_mnist(folder, half="test", test=True)


def test_fourteen_pixels_a_side_are_means(tiny):
    folder, pixels = tiny
    small = datasets.named("fashion_mnist_14", folder)
    assert small.name == "fashion_mnist_14" and small.inputs.shape == (30, 1, 14, 14)
    means = np.floor(pixels["train"].reshape(30, 14, 2, 14, 2).mean(axis=(2, 4)) + 0.5)
    np.testing.assert_allclose(small.inputs[:, 0], (means - means.mean()) / means.std(), rtol=1e-5, atol=1e-6)


def test_what_is_missing_is_said_with_where_it_comes_from(tiny, tmp_path):
    for place in (tmp_path / "nowhere", tiny[0].parent.parent):
        with pytest.raises(FileNotFoundError, match=r"train-images-idx3-ubyte\.gz.*dataset-fashion-mnist.*--data-dir"):
            datasets.fashion_mnist(place)
    (tiny[0] / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(FileNotFoundError, match=r"train-labels-idx1-ubyte\.gz"):
        datasets.fashion_mnist(tiny[0])
    datasets.fashion_mnist(tiny[0], half="test")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: gzip.compress(content[:-1]), "expected 38 bytes that begin with 00000801"),
        (lambda content: gzip.compress(content + b"0"), "expected 38 bytes that begin with 00000801"),
        (lambda content: gzip.compress(b"\0\0\x08\x03" + content[4:]), "begin with 00000803"),
        (lambda content: gzip.compress(content[:-1] + b"\7"), "content with the SHA-256"),
        (lambda content: gzip.compress(content)[:-9], "a gzip archive"),
        (lambda content: content, "a gzip archive"),
        (lambda content: gzip.compress(b"\0" * 10**8), "expected 38 bytes"),
    ],
)
def test_what_is_damaged_is_refused(tiny, damage, message):
    path = tiny[0] / "train-labels-idx1-ubyte.gz"
    path.write_bytes(damage(gzip.decompress(path.read_bytes())))
    with pytest.raises(ValueError, match=message) as raised:
        datasets.fashion_mnist(tiny[0])
    assert str(path) in str(raised.value)


def test_wrong_arguments_are_refused(tiny):
    with pytest.raises(ValueError, match="side: expected 28 or 14, got 7"):
        datasets.fashion_mnist(tiny[0], side=7)
    with pytest.raises(ValueError, match="half: expected one of"):
        datasets.fashion_mnist(tiny[0], half="all")


@pytest.mark.thorough
@pytest.mark.skipif(not INSTALLED.is_dir(), reason="the Debian package dataset-fashion-mnist is not installed")
def test_the_published_files():
    images, test = datasets.fashion_mnist(), datasets.fashion_mnist(half="test", side=14)
    assert images.inputs.shape == (60_000, 1, 28, 28) and test.inputs.shape == (10_000, 1, 14, 14)
    assert (np.bincount(images.labels) == 6000).all() and (np.bincount(test.labels) == 1000).all()
