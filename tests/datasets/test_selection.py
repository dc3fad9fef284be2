"""Subsets and label noise: how many, of which, the same again, and given apart by name."""

import numpy as np
import pytest

from weightgas.datasets import Images, digits, subset, with_label_noise


def test_a_subset_has_as_many_of_each_class_and_keeps_what_belongs_together():
    whole = digits()
    part = subset(whole, 50, seed=3)
    assert (part.name, len(part), part.classes) == ("digits[50 per class, seed 3]", 500, 10)
    assert np.bincount(part.labels).tolist() == [50] * 10
    known = {image.tobytes(): label for image, label in zip(whole.inputs, whole.labels, strict=True)}
    assert len(known) == len(whole)  # no two digits are alike, so an image shows its label
    assert [known[image.tobytes()] for image in part.inputs] == part.labels.tolist()
    assert len({image.tobytes() for image in part.inputs}) == 500
    assert np.array_equal(part.inputs, subset(whole, 50, seed=3).inputs)
    assert not np.array_equal(part.inputs, subset(whole, 50, seed=4).inputs)


def test_label_noise_changes_that_share_of_the_labels_and_no_image():
    whole = digits()
    noisy = with_label_noise(whole, 0.3)
    assert noisy.name == "digits[30 % wrong labels, seed 0]"
    assert np.array_equal(noisy.inputs, whole.inputs)
    wrong = noisy.labels != whole.labels
    assert wrong.sum() == round(0.3 * 1797)
    # Each wrong label is one of the nine others, equally often: chi-squared over nine shifts, eight degrees of freedom.
    counts = np.bincount((noisy.labels - whole.labels)[wrong] % 10, minlength=10)[1:]
    assert ((counts - counts.mean()) ** 2).sum() / counts.mean() < 8 + 4 * 4
    assert np.array_equal(noisy.labels, with_label_noise(whole, 0.3).labels)
    assert not np.array_equal(noisy.labels, with_label_noise(whole, 0.3, seed=1).labels)
    assert np.array_equal(with_label_noise(whole, 0).labels, whole.labels)
    assert (with_label_noise(whole, 1).labels != whole.labels).all()


def test_they_can_be_combined():
    assert with_label_noise(subset(digits(), 5), 0.2).name == "digits[5 per class, seed 0][20 % wrong labels, seed 0]"


def test_what_cannot_be_selected_is_refused():
    data = Images("own", np.zeros((5, 2)), [0, 0, 0, 1, 1], 2)
    with pytest.raises(ValueError, match=r"per_class: expected at most the 2 images of class 1 of own, got 3\."):
        subset(data, 3)
    with pytest.raises(ValueError, match="per_class: expected a whole number of at least 1, got 0"):
        subset(data, 0)
    with pytest.raises(TypeError, match="per_class: expected a whole number"):
        subset(data, 0.5)
    with pytest.raises(ValueError, match=r"share: expected a number from 0 to 1, got 20\.0"):
        with_label_noise(data, 20)
    with pytest.raises(TypeError, match="share: expected a finite number"):
        with_label_noise(data, "0.2")
    with pytest.raises(ValueError, match="at most the 0 images of class 2"):
        subset(Images("own", np.zeros((5, 2)), [0, 0, 0, 1, 1], 3), 1)
