"""Data sets: the embedded digits are the ones we think, and a wrong data set is refused."""

from hashlib import sha256
from importlib.resources import files

import numpy as np
import pytest

from weightgas import datasets


def test_the_embedded_digits_are_unchanged():
    content = (files("weightgas.datasets") / "digits.npz").read_bytes()
    assert sha256(content).hexdigest() == "089d33176bf6819a5c6ebd6746c5293713f4e81c2c8fc52b672e6e15faa78f41"
    assert "CC BY 4.0" in (files("weightgas.datasets") / "digits-LICENSE.txt").read_text(encoding="utf-8")


def test_digits():
    digits = datasets.digits()
    assert (digits.name, digits.classes, len(digits)) == ("digits", 10, 1797)
    assert digits.inputs.shape == (1797, 64) and digits.inputs.dtype == np.float32
    assert digits.labels.dtype == np.int64
    assert np.bincount(digits.labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert np.unique(digits.inputs).size == 17
    assert abs(digits.inputs.mean()) < 1e-5 and abs(digits.inputs.std() - 1) < 1e-5
    assert repr(digits) == "Images('digits', 1797 of shape (64,), 10 classes)"


def test_by_name():
    assert np.array_equal(datasets.named("digits").inputs, datasets.digits().inputs)
    with pytest.raises(
        ValueError,
        match="data: expected one of cifar10, cifar100, digits, fashion_mnist, fashion_mnist_14, mnist, got 'svhn'",
    ):
        datasets.named("svhn")


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"inputs": [["a", "b"]] * 3}, TypeError, "inputs: expected real numbers"),
        ({"inputs": np.full((3, 2), np.nan)}, ValueError, "inputs: expected finite numbers"),
        ({"inputs": np.zeros(3)}, ValueError, "expected shapes"),
        ({"labels": [0.0, 1.0, 0.0]}, TypeError, "labels: expected whole numbers"),
        ({"labels": [0, 1]}, ValueError, "expected shapes"),
        ({"labels": [0, 1, 2]}, ValueError, "labels: expected numbers from 0 to 1, got 2"),
        ({"labels": [0, 1, -1]}, ValueError, "labels: expected numbers from 0 to 1, got -1"),
        ({"classes": 1}, ValueError, "classes: expected a whole number of at least 2"),
    ],
)
def test_bad_data_is_refused(change, error, match):
    good = {"name": "own", "inputs": np.zeros((3, 2)), "labels": [0, 1, 0], "classes": 2}
    datasets.Images(**good)
    with pytest.raises(error, match=match):
        datasets.Images(**(good | change))


def test_a_data_set_without_files_takes_no_folder(tmp_path):
    with pytest.raises(ValueError, match=r"data_dir: expected nothing with digits, which has no files.*Omit it"):
        datasets.named("digits", tmp_path)
    with pytest.raises(ValueError, match="download: expected nothing with mnist"):
        datasets.named("mnist", download=True)
