"""``weightgas predict`` and ``weightgas symmetries``: the forecast of a run, and the symmetries of a model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from weightgas.cli import options as opt
from weightgas.cli import values
from weightgas.cli.optimized import Optimized, named
from weightgas.cli.session import session
from weightgas.cli.spread import spread

if TYPE_CHECKING:
    from weightgas.forecast import Forecast


@dataclass(frozen=True, kw_only=True)
class Group(opt.Options):
    """The group of weights.

    group
        Name of the group; watch compares a saved forecast with the watched group of this name.
    dim
        Number of weights d.
    grad_sq
        G, the mean of ‖w‖²‖g‖² with g the gradient of a batch.
    radius
        Initial norm of the weights.
    """

    panel = "The group of weights"
    group: str = "weights"
    dim: int | None = None
    grad_sq: float | None = None
    radius: float | None = None


@dataclass(frozen=True, kw_only=True)
class Length(opt.Options):
    """The run.

    steps
        Number of steps of the run.
    schedule
        Schedule of the learning rate: constant, linear (to 0), cosine (to 0), step:FACTOR,AT,AT as in
        step:0.1,30000,60000, or FILE.py:NAME of a function of the step that returns the factor of --lr (runs that
        file).
    """

    panel = opt.LENGTH
    steps: int | None = None
    schedule: str = "constant"


@dataclass(frozen=True, kw_only=True)
class Equivalent(opt.Options):
    """The equivalent hyperparameters that are printed.

    rescale
        Settings with the learning rate multiplied by this factor and the same directions at every step; exact.
    at_batch_size
        Settings of the same run per sample at this batch size.
    as_optimizer
        Settings of another optimizer, with its default momentum, for the same angle per step.
    fixed_norm
        Settings without decay, the norm fixed at r*.
    """

    panel = "Equivalent hyperparameters"
    rescale: float | None = None
    at_batch_size: int | None = None
    as_optimizer: str | None = None
    fixed_norm: bool = False

    def of(self, found: Forecast) -> Iterator[tuple[str, Any]]:
        """(title, settings) of the requested equivalents."""
        if self.rescale is not None:
            yield f"rescaled, {self.rescale:g} times the learning rate:", found.rescaled(self.rescale)
        if self.at_batch_size is not None:
            yield f"at batch size {self.at_batch_size}:", found.at_batch_size(self.at_batch_size)
        if self.as_optimizer is not None:
            yield f"as {self.as_optimizer}:", found.as_optimizer(named(self.as_optimizer))
        if self.fixed_norm:
            yield "at fixed norm:", found.at_fixed_norm()


@dataclass(frozen=True, kw_only=True)
class Search(opt.Options):
    """The search for symmetries.

    input_shape
        For a model without loss and batches: shape of one input, as in 3,32,32. Inputs are Gaussian, the loss is
        cross-entropy with random labels.
    classes
        For a model without batches: number of classes; by default that of its output.
    batch_size
        For a model without batches: inputs in a batch.
    per_filter
        Also test parts of tensors: rows and blocks of rows.
    tolerance
        Largest residual of an accepted symmetry.
    seed
        Seed of jitter, inputs and dropout.
    """

    panel = opt.MODEL
    input_shape: str | None = opt.option(metavar="SHAPE")
    classes: int | None = opt.option(min=2)
    batch_size: int = opt.option(8, min=2)
    per_filter: bool = False
    tolerance: float = 1e-3
    seed: int = opt.option(0, min=0)


@spread
def predict(
    *,
    optimizer: Annotated[
        str,
        typer.Argument(
            metavar="OPTIMIZER",
            help="One of sgd, adamw, adam (with L2), lion, muon, or FILE.py:NAME of a custom class as in "
            "weightgas.optimizers (runs that file).",
        ),
    ],
    settings: Optimized,
    weights: Group,
    length: Length,
    equivalent: Equivalent,
    save: Annotated[
        Path | None,
        typer.Option(
            help="File for the forecast; watch(forecast=Forecast.load(FILE)) compares it with the run.",
            rich_help_panel=opt.FOLDER,
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite what is at --save.", rich_help_panel=opt.FOLDER)
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON instead of a table.", rich_help_panel=opt.OUTPUT)
    ] = False,
    debug: opt.Debug = False,
) -> None:
    """Predict the norm of a scale-invariant group of weights from learning rate and weight decay.

    Prints its stationary norm, its relaxation time, the angle of a step and,
    under a schedule, when the norm freezes. Without --dim or --grad-sq the norm
    is in units of what is missing. Equivalent hyperparameters follow below.

      weightgas predict sgd --lr 0.1 --wd 5e-4 --momentum 0.9 --steps 78200
      weightgas predict adamw --lr 1e-3 --wd 0.1 --dim 4096 --schedule cosine
        --steps 20000 --radius 3 --as-optimizer sgd --grad-sq 0.5
    """
    with session("predict", opt.Show(debug=debug)):
        from weightgas import forecast as forecasting
        from weightgas.cli import terminal

        if save is not None and save.exists() and not force:
            raise FileExistsError(f"{save}: expected a new place, got one in use. Choose another or give --force.")
        found = forecasting.predict(
            settings.meant(optimizer), steps=length.steps, schedule=values.schedule_of(length.schedule, length.steps),
            groups={weights.group: (weights.dim, weights.grad_sq, weights.radius)}, batch_size=settings.batch_size,
        )  # fmt: skip
        others = list(equivalent.of(found))
        if save is not None:
            found.save(save)
        if as_json:
            equivalents = [{"title": title.removesuffix(":"), **asdict(other)} for title, other in others]
            print(json.dumps({**found.as_dict(), "equivalents": equivalents}, ensure_ascii=False))
            return
        to = terminal.console()
        terminal.write(to, found.text(to.width))
        for title, other in others:
            terminal.write(to, f"\n{title}\n{other}")
        if save is not None:
            print(f"\nForecast: {save}")


@spread
def symmetries(
    *,
    source: Annotated[
        str,
        typer.Argument(
            metavar="FILE:NAME",
            help="A name in a Python file, which is run: a torch.nn.Module, a tuple (model, loss_fn, batches), or a "
            "function or class that returns one of the two.",
        ),
    ],
    search: Search,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON instead of a table.", rich_help_panel=opt.OUTPUT)
    ] = False,
    debug: opt.Debug = False,
) -> None:
    """Find the weights of a model that can be rescaled without changing its loss.

    The search runs the file, works in train mode and float64 on a copy of the
    model, and confirms every symmetry by rescaling. Give loss and batches if the
    model does not classify images.

      weightgas symmetries model.py:make_model --input-shape 3,32,32
    """
    with session("symmetries", opt.Show(debug=debug)):
        from weightgas import symmetry

        found = symmetry.symmetries(
            *_problem(source, search), per_filter=search.per_filter, tolerance=search.tolerance, seed=search.seed
        )
        if as_json:
            print(json.dumps(asdict(found), indent=1))
            return
        print(found)
        for group in found.filters:
            print(f"  rows        {group.residual:>9.1e}  {group.parameters[0]}[{_ranges(group.rows)}]")


def _problem(source: str, search: Search) -> tuple[Any, Any, Any]:
    """(model, loss_fn, batches) from the user's file; loss and batches of images are made if there is only a model."""
    from weightgas.errors import refuse

    if not values.is_file(source):
        raise refuse("FILE:NAME", "FILE.py:NAME of a Python file", source, "For instance model.py:make_model.")
    import torch

    found = values.own(source, "FILE:NAME")
    if isinstance(found, tuple) and len(found) == 3 and isinstance(found[0], torch.nn.Module):
        return found
    if not isinstance(found, torch.nn.Module):
        kinds = "a torch.nn.Module or (model, loss_fn, batches)"
        raise refuse("FILE:NAME", kinds, type(found).__name__, "A function or class of that name is called first.")
    if search.input_shape is None:
        raise refuse("--input-shape", "the shape of one input of a model without batches", None,
                     "Pass --input-shape 3,32,32, or let NAME be (model, loss_fn, batches).")  # fmt: skip
    size = values.shape_of(search.input_shape)
    generator = torch.Generator().manual_seed(search.seed)
    kind = next((p.dtype for p in found.parameters()), torch.float32)
    inputs = [torch.randn((search.batch_size, *size), generator=generator, dtype=kind) for _ in range(8)]
    classes = search.classes
    if classes is None:
        with torch.random.fork_rng(), torch.no_grad():
            import copy

            try:
                output = copy.deepcopy(found)(inputs[0])
            except Exception as error:  # from the user's model
                got = f"{search.input_shape}, with which it raised {type(error).__name__}: {error}"
                raise refuse("--input-shape", "inputs that the model takes", got, "Correct the shape.") from error
        if not isinstance(output, torch.Tensor) or output.ndim < 2:
            raise refuse("--classes", "a model that returns (batch, classes, ...)", type(output).__name__,
                         "Let NAME be (model, loss_fn, batches).")  # fmt: skip
        classes = output.shape[1]
    labels = [torch.randint(classes, (search.batch_size,), generator=generator) for _ in inputs]

    def loss(model: Any, batch: Any) -> Any:
        return torch.nn.functional.cross_entropy(model(batch[0]), batch[1])

    return found, loss, list(zip(inputs, labels, strict=True))


def _ranges(rows: tuple[int, ...]) -> str:
    """Rows as ``0-3,7``."""
    words: list[list[int]] = []
    for row in rows:
        if words and row == words[-1][-1] + 1:
            words[-1][1:] = [row]
        else:
            words.append([row])
    return ",".join("-".join(map(str, word)) for word in words)
