"""``weightgas predict`` and ``weightgas symmetries``: a run from its settings, and the symmetries of a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from weightgas.cli import options as opt
from weightgas.cli import values
from weightgas.cli.session import session

if TYPE_CHECKING:
    from weightgas.forecast import Forecast
    from weightgas.optimizers import Optimizer

SETTINGS = "Optimizer"
GROUP = "The group of weights"
EQUIVALENT = "Equivalent hyperparameters"


def predict(
    optimizer: Annotated[
        str,
        typer.Argument(
            metavar="OPTIMIZER",
            help="One of sgd, adamw, adam (with L2), lion, muon, or FILE.py:NAME of a class as those of "
            "weightgas.optimizers (runs your file).",
        ),
    ],
    lr: Annotated[float, typer.Option(help="Learning rate η.", rich_help_panel=SETTINGS)],
    wd: Annotated[float, typer.Option(help="Weight decay λ; 0 forecasts growth.", rich_help_panel=SETTINGS)],
    momentum: Annotated[float | None, typer.Option(help="Of sgd.", rich_help_panel=SETTINGS)] = None,
    nesterov: Annotated[
        bool, typer.Option("--nesterov", help="Nesterov's momentum.", rich_help_panel=SETTINGS)
    ] = False,
    betas: Annotated[
        str | None,
        typer.Option(metavar="B1,B2", help="Of adamw, adam, lion, as in 0.9,0.95.", rich_help_panel=SETTINGS),
    ] = None,
    eps: Annotated[float | None, typer.Option(help="Of adamw and adam; 1e-8.", rich_help_panel=SETTINGS)] = None,
    decoupled: Annotated[
        bool,
        typer.Option(
            "--decoupled", help="Decay on the weights directly, not through the gradient.", rich_help_panel=SETTINGS
        ),
    ] = False,
    update_memory: Annotated[
        float | None,
        typer.Option(
            help="Of muon: 1 + 2 × the summed autocorrelation of its updates, measured.", rich_help_panel=SETTINGS
        ),
    ] = None,
    update_sq: Annotated[
        float | None, typer.Option(help="Of muon: mean square length of an update.", rich_help_panel=SETTINGS)
    ] = None,
    grad_memory: Annotated[
        float | None,
        typer.Option(
            help="Memory of the gradients under momentum, measured; 1 in pure noise.", rich_help_panel=SETTINGS
        ),
    ] = None,
    group: Annotated[
        str,
        typer.Option(
            help="Its name, as in the table of watch, which scores a saved forecast by it.", rich_help_panel=GROUP
        ),
    ] = "weights",
    dim: Annotated[int | None, typer.Option(help="Number of weights d.", rich_help_panel=GROUP)] = None,
    grad_sq: Annotated[
        float | None, typer.Option(help="G: mean of ‖w‖²‖g‖², g the gradient of a batch.", rich_help_panel=GROUP)
    ] = None,
    radius: Annotated[float | None, typer.Option(help="Norm at the start.", rich_help_panel=GROUP)] = None,
    steps: Annotated[int | None, typer.Option(help="Length of the run.", rich_help_panel=opt.LENGTH)] = None,
    schedule: Annotated[
        str,
        typer.Option(
            help="Of the learning rate: constant, linear (to 0), cosine (to 0), step:FACTOR,AT,AT as in "
            "step:0.1,30000,60000, or FILE.py:NAME of a function of the step that returns its factor (runs your file).",
            rich_help_panel=opt.LENGTH,
        ),
    ] = "constant",
    batch_size: Annotated[
        int | None, typer.Option(help="Batch size of these settings, for --at-batch-size.", rich_help_panel=SETTINGS)
    ] = None,
    rescale: Annotated[
        float | None,
        typer.Option(help="The exact symmetry, with so many times the learning rate.", rich_help_panel=EQUIVALENT),
    ] = None,
    at_batch_size: Annotated[
        int | None, typer.Option(help="The same run per sample at this batch size.", rich_help_panel=EQUIVALENT)
    ] = None,
    as_optimizer: Annotated[
        str | None,
        typer.Option(
            "--as-optimizer",
            help="Another optimizer that turns the weights as fast, with its default momentum.",
            rich_help_panel=EQUIVALENT,
        ),
    ] = None,
    fixed_norm: Annotated[
        bool, typer.Option("--fixed-norm", help="No decay, the norm fixed at r*.", rich_help_panel=EQUIVALENT)
    ] = False,
    save: Annotated[
        Path | None,
        typer.Option(
            help="File to keep the forecast in; watch(forecast=Forecast.load(FILE)) scores it.",
            rich_help_panel=opt.FOLDER,
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite what is at --save.", rich_help_panel=opt.FOLDER)
    ] = False,
    debug: opt.Debug = False,
) -> None:
    """Predict where weight decay and learning rate take a scale-invariant group of weights.

    Its stationary norm, how many steps it takes to get there, the angle of a
    step, and under a schedule when the norm freezes. What lacks numbers (dim,
    G) is printed in units. Equivalent hyperparameters are printed below.

      weightgas predict sgd --lr 0.1 --wd 5e-4 --momentum 0.9 --steps 78200
      weightgas predict adamw --lr 1e-3 --wd 0.1 --dim 4096 --schedule cosine
        --steps 20000 --radius 3 --as-optimizer sgd --grad-sq 0.5
    """
    with session("predict", opt.Show(debug=debug)):
        from weightgas import forecast as forecasting

        if save is not None and save.exists() and not force:
            raise FileExistsError(f"{save}: expected a new place, got one in use. Choose another or give --force.")
        chosen = _optimizer(
            optimizer, lr=lr, wd=wd, momentum=momentum, nesterov=nesterov or None, betas=_betas(betas), eps=eps,
            decoupled=decoupled or None, update_memory=update_memory, update_sq=update_sq, grad_memory=grad_memory,
        )  # fmt: skip
        found = forecasting.predict(
            chosen, steps=steps, schedule=values.schedule_of(schedule, steps),
            groups={group: (dim, grad_sq, radius)}, batch_size=batch_size,
        )  # fmt: skip
        others = list(_equivalents(found, rescale, at_batch_size, as_optimizer, fixed_norm))
        if save is not None:
            found.save(save)
        print(found)
        for title, other in others:
            print(f"\n{title}\n{other}")
        if save is not None:
            print(f"\nForecast: {save}")


def symmetries(
    source: Annotated[
        str,
        typer.Argument(
            metavar="FILE:NAME",
            help="Name in a Python file, which is run: a torch.nn.Module, (model, loss_fn, batches), or a function or "
            "class that makes one of the two.",
        ),
    ],
    input_shape: Annotated[
        str | None,
        typer.Option(
            metavar="SHAPE",
            help="Of a model alone: shape of one input, as in 3,32,32. Inputs are Gaussian, the "
            "loss is cross-entropy with random labels.",
            rich_help_panel=opt.MODEL,
        ),
    ] = None,
    classes: Annotated[
        int | None,
        typer.Option(
            min=2,
            help="Of a model alone: number of classes; those of its output if excluded.",
            rich_help_panel=opt.MODEL,
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=2, help="Of a model alone.", rich_help_panel=opt.MODEL)] = 8,
    per_filter: Annotated[
        bool,
        typer.Option(
            "--per-filter", help="Look inside tensors too, at rows and blocks of rows.", rich_help_panel=opt.MODEL
        ),
    ] = False,
    tolerance: Annotated[
        float, typer.Option(help="Residual up to which a symmetry counts.", rich_help_panel=opt.MODEL)
    ] = 1e-3,
    seed: Annotated[int, typer.Option(min=0, help="Of jitter, inputs and dropout.", rich_help_panel=opt.MODEL)] = 0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON instead of a table.", rich_help_panel=opt.OUTPUT)
    ] = False,
    debug: opt.Debug = False,
) -> None:
    """Find which weights of a custom model can be rescaled without changing its loss.

    The search runs your file, in train mode and float64 on a copy of the model,
    and confirms every symmetry by rescaling. Give loss and custom batches
    where images and classes are not what the model is about.

      weightgas symmetries model.py:make_model --input-shape 3,32,32
    """
    with session("symmetries", opt.Show(debug=debug)):
        from dataclasses import asdict

        from weightgas import symmetry

        model, loss_fn, batches = _search(source, input_shape, classes, batch_size, seed)
        found = symmetry.symmetries(model, loss_fn, batches, per_filter=per_filter, tolerance=tolerance, seed=seed)
        if as_json:
            print(json.dumps(asdict(found), indent=1))
            return
        print(found)
        for group in found.filters:
            print(f"  rows        {group.residual:>9.1e}  {group.parameters[0]}[{_ranges(group.rows)}]")


def _optimizer(text: str, **settings: Any) -> Optimizer:
    """The optimizer of that name, or of the class of that name in a file, with the settings that are not None."""
    from weightgas.optimizers import named

    return named(values.own(text, "OPTIMIZER", call=False) if values.is_file(text) else text, **settings)


def _betas(text: str | None) -> tuple[float, float] | None:
    from weightgas.errors import refuse

    if text is None:
        return None
    try:
        first, second = map(float, text.split(","))
    except ValueError:
        raise refuse("--betas", "two numbers", text, "Write them as 0.9,0.95.") from None
    return first, second


def _equivalents(found: Forecast, rescale: float | None, batch: int | None, optimizer: str | None, fixed_norm: bool):
    """(title, settings) of what was asked for."""
    if rescale is not None:
        yield f"rescaled, {rescale:g} times the learning rate:", found.rescaled(rescale)
    if batch is not None:
        yield f"at batch size {batch}:", found.at_batch_size(batch)
    if optimizer is not None:
        yield f"as {optimizer}:", found.as_optimizer(_optimizer(optimizer))
    if fixed_norm:
        yield "at fixed norm:", found.at_fixed_norm()


def _search(source: str, shape: str | None, classes: int | None, batch_size: int, seed: int) -> tuple[Any, Any, Any]:
    """(model, loss_fn, batches) of the user's name; loss and batches of images where there is a model alone."""
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
    if shape is None:
        raise refuse("--input-shape", "the shape of one input, with a model alone", None,
                     "Pass --input-shape 3,32,32, or let NAME be (model, loss_fn, batches).")  # fmt: skip
    size = values.shape_of(shape)
    generator = torch.Generator().manual_seed(seed)
    kind = next((p.dtype for p in found.parameters()), torch.float32)
    inputs = [torch.randn((batch_size, *size), generator=generator, dtype=kind) for _ in range(8)]
    if classes is None:
        with torch.random.fork_rng(), torch.no_grad():
            import copy

            output = copy.deepcopy(found)(inputs[0])
        if not isinstance(output, torch.Tensor) or output.ndim < 2:
            raise refuse("--classes", "a model that returns (batch, classes, ...)", type(output).__name__,
                         "Let NAME be (model, loss_fn, batches).")  # fmt: skip
        classes = output.shape[1]
    labels = [torch.randint(classes, (batch_size,), generator=generator) for _ in inputs]

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
