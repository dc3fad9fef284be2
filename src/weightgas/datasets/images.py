"""A data set: inputs, labels, the number of classes and a name."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from weightgas.errors import check_fields, refuse, whole_number


@dataclass(frozen=True, eq=False)
class Images:
    """A labelled data set in memory.

    Parameters
    ----------
    name
        Its name in traces and reports.
    inputs
        Real array of shape (N, features…); stored as float32.
    labels
        Whole numbers of shape (N,) from 0 to ``classes`` − 1; stored as int64.
    classes
        Number of classes.
    test
        The test half, if there is one: other images of the same shape and classes. ``train`` then records the loss and
        the accuracy on it.

    Raises
    ------
    TypeError, ValueError
        If an input is not a finite number, a label is not one of the classes, the lengths differ, or the test half has
        another form.
    """

    name: str
    inputs: np.ndarray
    labels: np.ndarray
    classes: int
    test: Images | None = None

    def __post_init__(self) -> None:
        whole_number("classes", self.classes, minimum=2, fix="Give the number of classes, for instance 10.")
        check_fields(self)
        inputs, labels = np.asarray(self.inputs), np.asarray(self.labels)
        if inputs.dtype.kind not in "iuf":
            raise TypeError(f"inputs: expected real numbers, got {inputs.dtype}. Convert them to float32 first.")
        if labels.dtype.kind not in "iu":
            raise TypeError(f"labels: expected whole numbers, got {labels.dtype}. Number the classes from 0.")
        if inputs.ndim < 2 or labels.shape != inputs.shape[:1] or not inputs.size:
            raise refuse(
                "inputs and labels",
                "shapes (N, features…) and (N,)",
                (inputs.shape, labels.shape),
                "Give one label to each image.",
            )
        if not np.isfinite(inputs).all():
            raise refuse("inputs", "finite numbers", "NaN or infinity", "Remove or repair those images.")
        if labels.min() < 0 or labels.max() >= self.classes:
            wrong = labels.min() if labels.min() < 0 else labels.max()
            raise refuse("labels", f"numbers from 0 to {self.classes - 1}", int(wrong), "Number the classes from 0.")
        if self.test is not None:
            form = (self.test.inputs.shape[1:], self.test.classes)
            if form != (inputs.shape[1:], self.classes):
                expected = f"images of shape {inputs.shape[1:]} in {self.classes} classes"
                raise refuse("test", expected, f"{form[0]} in {form[1]}", "Pass images of the form of the others.")
        object.__setattr__(self, "inputs", np.ascontiguousarray(inputs, dtype=np.float32))
        object.__setattr__(self, "labels", np.ascontiguousarray(labels, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        half = "" if self.test is None else f", {len(self.test)} to test"
        return f"Images({self.name!r}, {len(self)} of shape {self.inputs.shape[1:]}, {self.classes} classes{half})"
