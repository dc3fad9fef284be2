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
    with pytest.raises(ValueError, match=r"data_dir: expected nothing with digits, which is not read.*Omit it"):
        datasets.named("digits", tmp_path)
    with pytest.raises(ValueError, match="download: expected nothing with mnist"):
        datasets.named("mnist", download=True)


def test_the_test_half_of_the_digits_is_fixed_and_apart():
    whole, half = datasets.digits(), datasets.digits(test=True)
    assert (len(half), len(half.test), half.name, half.test.name) == (
        1297, 500, "digits, training half", "digits, test half"
    )  # fmt: skip
    assert np.bincount(half.test.labels).tolist() == [50] * 10
    assert half.inputs.mean() == pytest.approx(0, abs=1e-6) and half.inputs.std() == pytest.approx(1, rel=1e-6)
    rows = {row.tobytes() for row in np.rint(16 * (whole.inputs - whole.inputs.min())).astype(int)}
    scale = whole.inputs.max() - whole.inputs.min(), half.inputs.max() - half.inputs.min()
    for part in (half, half.test):
        again = np.rint(16 * (part.inputs - half.inputs.min()) * scale[0] / scale[1]).astype(int)
        assert all(row.tobytes() in rows for row in again)  # the same pixels, otherwise normalised
    assert np.array_equal(np.sort(np.concatenate([half.labels, half.test.labels])), np.sort(whole.labels))
    again = datasets.digits(test=True)
    assert np.array_equal(again.test.inputs, half.test.inputs) and whole.test is None
    part = datasets.subset(half, 5)
    assert len(part) == 50 and part.test is half.test


def test_a_test_half_has_the_form_of_the_training_half():
    digits = datasets.digits()
    with pytest.raises(ValueError, match="test: expected images of shape"):
        datasets.Images("odd", np.zeros((4, 3)), np.arange(4), 10, digits)
