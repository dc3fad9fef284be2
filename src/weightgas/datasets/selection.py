"""Data sets made from another one: fewer images, or deliberately wrong labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from weightgas.datasets.images import Images
from weightgas.errors import finite_number, refuse, seed_number, typed, whole_number


def split(labels: np.ndarray, per_class: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of a training and a test half, always the same: the latter has ``per_class`` images of each class."""
    generator = np.random.default_rng(0)
    of_class = (np.flatnonzero(labels == label) for label in range(int(labels.max()) + 1))
    test = np.sort(np.concatenate([generator.choice(where, per_class, replace=False) for where in of_class]))
    return np.setdiff1d(np.arange(len(labels)), test), test


@typed
def subset(data: Images, per_class: int, *, seed: int = 0) -> Images:
    """``per_class`` images of every class, drawn without replacement, in their order in ``data``.

    Inputs are unchanged, so their normalisation is that of all of ``data``; a test half stays as it is. The name is
    for instance ``digits[50 per class, seed 0]``.

    Raises
    ------
    TypeError, ValueError
        If ``per_class`` is not a whole number of at least 1, or larger than the smallest class.
    """
    per_class = whole_number("per_class", per_class, fix="Pass the number of images of each class, for instance 50.")
    counts = np.bincount(data.labels, minlength=data.classes)
    if per_class > counts.min():
        least = f"at most the {counts.min()} images of class {counts.argmin()} of {data.name}"
        raise refuse("per_class", least, per_class, "Pass a smaller number.")
    generator = np.random.default_rng(seed_number(seed))
    of_class = (np.flatnonzero(data.labels == label) for label in range(data.classes))
    chosen = np.sort(np.concatenate([generator.choice(where, per_class, replace=False) for where in of_class]))
    name = f"{data.name}[{per_class} per class, seed {seed}]"
    return replace(data, name=name, inputs=data.inputs[chosen], labels=data.labels[chosen])


@typed
def with_label_noise(data: Images, share: float, *, seed: int = 0) -> Images:
    """The same images, a ``share`` of them (rounded) with a wrong label, drawn uniformly from the other classes.

    This is symmetric label noise: memorising it needs capacity, so it makes a network less over-parameterised. A test
    half keeps its labels. The name is for instance ``digits[20 % wrong labels, seed 0]``.

    Raises
    ------
    TypeError, ValueError
        If the share is not a number from 0 to 1.
    """
    share = finite_number("share", share, fix="Pass a number from 0 to 1, for instance 0.2.")
    if not 0 <= share <= 1:
        raise refuse("share", "a number from 0 to 1", share, "For instance 0.2 for a fifth of the labels.")
    generator = np.random.default_rng(seed_number(seed))
    wrong = generator.permutation(len(data))[: round(share * len(data))]
    labels = data.labels.copy()
    labels[wrong] = (labels[wrong] + generator.integers(1, data.classes, len(wrong))) % data.classes
    return replace(data, name=f"{data.name}[{100 * share:g} % wrong labels, seed {seed}]", labels=labels)
