"""Conversion of the texts of options: axes of a grid, losses, noises, and custom objects ``FILE:NAME``."""

from __future__ import annotations

import importlib.util
import inspect
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from weightgas.datasets import Images
    from weightgas.losses import CustomLoss, CustomNoise, Loss, Noise
    from weightgas.measurement.entropy import Estimator
    from weightgas.protocols import Protocol

_AXIS_FORMS = "Write a number (0.1), a list (0.01,0.1) or low:high:count, evenly in the logarithm (1e-3:1e-1:17)."


def protocol_of(name: str, *, paired: bool = False, **axes: str | None) -> Protocol:
    """The protocol of ``--protocol`` (a name or ``module:Class``) and its axes; ValueError if they do not match."""
    from weightgas.protocols import from_settings, load

    name = load(name).name if ":" in name else name
    values: dict[str, object] = {axis: axis_of(axis, text) for axis, text in axes.items() if text is not None}
    try:
        return from_settings({"protocol": name, **values, **({"paired": True} if paired else {})})
    except ValueError as error:
        raise ValueError(_with_flags(str(error))) from error


def _with_flags(message: str) -> str:
    """The advice of a message for Python, for the command line."""
    sphere = "use --protocol fixed-sphere with --elr and --radius for such a run"
    found = re.sub(r"\b(omit|add) (\w+(?:, \w+)*)", lambda m: f"{m[1]} --{m[2].replace(', ', ', --')}", message)
    return found.replace("use FixedSphere for such a run", sphere)


def axis_of(name: str, text: str) -> list[float]:
    """The values of ``0.1``, ``0.01,0.1`` or ``1e-3:1e-1:17`` (low, high, count; a geometric series with both ends).

    Raises
    ------
    ValueError
        If a piece is not a number, or a range lacks positive ends or a count of at least 2.
    """
    return [value for piece in text.split(",") for value in _series(name, piece.strip(), text)]


def _series(name: str, piece: str, text: str) -> list[float]:
    from weightgas.errors import CELLS, refuse

    ends = piece.split(":")
    try:
        if len(ends) == 1:
            return [float(piece)]
        low, high, count = float(ends[0]), float(ends[1]), int(ends[2])
        if len(ends) != 3:
            raise IndexError
    except (ValueError, IndexError):
        raise refuse(f"--{name}", "numbers", text, _AXIS_FORMS) from None
    import numpy as np

    if count > CELLS.most:
        raise refuse(f"--{name}", f"a count of at most {CELLS.most}", count, CELLS.reason)
    if not (0 < low < np.inf and 0 < high < np.inf) or count < 2:
        raise refuse(f"--{name}", "low:high:count with ends above 0 and a count of 2 or more", piece, _AXIS_FORMS)
    return np.geomspace(low, high, count).tolist()


def loss_of(text: str) -> Loss | CustomLoss:
    """The loss called ``linear``, ``quadratic:EIGENVALUES`` or ``FILE:NAME``."""
    from weightgas import losses
    from weightgas.errors import refuse

    if text == "linear":
        return losses.Linear()
    if text.startswith("quadratic:"):
        return losses.Quadratic(_numbers("--loss", text.removeprefix("quadratic:")))
    if is_file(text):
        return _comparable("--loss", own(text, "--loss"), text, (losses.Loss, losses.CustomLoss))
    known = "linear, quadratic:EIGENVALUES or FILE.py:NAME"
    raise refuse("--loss", known, text, "For instance quadratic:0,0.5,1 in three dimensions.")


def noise_of(text: str | None, sigma: float | None) -> Noise | CustomNoise:
    """The noise of ``--sigma`` (isotropic), ``covariance:VARIANCES``, ``hessian:SCALE``,
    ``loss-dependent:SLOPE,OFFSET`` or ``FILE:NAME``.

    ValueError if both are given, or for another text.
    """
    from weightgas import losses
    from weightgas.errors import refuse

    if text is None or text == "isotropic":
        return losses.Isotropic(1.0 if sigma is None else sigma)
    if sigma is not None:
        raise refuse("--sigma", "one of --sigma and --noise", f"both, --noise {text}", "Pass only one of them.")
    if text.startswith("covariance:"):
        variances = _numbers("--noise", text.removeprefix("covariance:"))
        return losses.Covariance(variances, label=text)
    if text.startswith("hessian:"):
        scale = _numbers("--noise", text.removeprefix("hessian:"))
        if len(scale) != 1:
            raise refuse("--noise", "one number, hessian:SCALE", text, "For instance hessian:0.5.")
        return losses.Hessian(scale[0])
    if text.startswith("loss-dependent:"):
        law = _numbers("--noise", text.removeprefix("loss-dependent:"))
        if len(law) != 2:
            raise refuse(
                "--noise", "two numbers, loss-dependent:SLOPE,OFFSET", text, "For instance loss-dependent:8,1."
            )
        return losses.LossDependent(law[0], law[1])
    if is_file(text):
        return _comparable("--noise", own(text, "--noise"), text, (losses.Noise, losses.CustomNoise))
    known = "isotropic, covariance:VARIANCES, hessian:SCALE, loss-dependent:SLOPE,OFFSET or FILE.py:NAME"
    raise refuse("--noise", known, text, "For instance covariance:0.1,1,10 in three dimensions.")


def images_of(
    text: str,
    *,
    data_dir: Path | None = None,
    download: bool = False,
    test_half: bool = False,
    per_class: int | None = None,
    label_noise: float = 0.0,
) -> Images:
    """The data set of ``--data`` and its options, by name or as ``FILE:NAME``."""
    from weightgas import datasets
    from weightgas.errors import refuse

    if not is_file(text):
        images = datasets.named(text, data_dir, download=download, test=test_half)
    elif data_dir or download:
        raise refuse("--data-dir, --download", "none with custom data", text, "Read the files in your own code.")
    elif test_half:
        raise refuse("--test-half", "none with custom data", text, "Give your Images a test half: Images(..., test=).")
    else:
        images = own(text, "--data")
    if (per_class or label_noise) and not isinstance(images, datasets.Images):
        kind = type(images).__name__
        raise refuse("--data", "datasets.Images", kind, "--per-class and --label-noise need their labels.")
    if per_class:
        images = datasets.subset(images, per_class)
    return datasets.with_label_noise(images, label_noise) if label_noise else images


def entropy_of(text: str) -> str | Estimator:
    """The estimator of ``--entropy``: ``auto``, a name, or ``FILE:NAME``; ValueError for anything else."""
    from weightgas.measurement.direction import named

    return own(text, "--entropy") if is_file(text) else named(text.replace("-", "_"), "--entropy")


def widths_of(text: str) -> tuple[int, ...]:
    """The widths of ``--hidden 6,6``; ValueError if they are not whole numbers."""
    from weightgas.errors import refuse

    try:
        return tuple(int(piece) for piece in text.split(","))
    except ValueError:
        raise refuse("--hidden", "whole numbers", text, "Write the widths of the hidden layers: 6,6.") from None


def precision_of(text: str | None) -> float | dict[str, float] | None:
    """The targets of ``--precision 0.003`` or ``--precision energy=0.003,entropy_direction=0.01``."""
    from weightgas.errors import refuse

    if text is None:
        return None
    try:
        if "=" not in text:
            return float(text)
        pairs = [piece.split("=") for piece in text.split(",")]
        return {name.strip().replace("-", "_"): float(value) for name, value in pairs}
    except ValueError:
        known = "a number or NAME=NUMBER,NAME=NUMBER"
        fix = "For instance 0.003, or energy=0.003,entropy_direction=0.01."
        raise refuse("--precision", known, text, fix) from None


def network_of(text: str, hidden: str | None) -> Any:
    """The network of ``--network NAME``, ``NAME:WIDTH``, ``NAME:WIDTH,key=value,…`` or ``FILE.py:NAME``.

    ``hidden``: the widths of ``--hidden``, for mlp alone. ValueError for anything else.
    """
    from weightgas import networks
    from weightgas.errors import refuse

    name, _, rest = text.partition(":")
    if hidden is not None and name != "mlp":
        raise refuse("--hidden", "none with another network than mlp", hidden, "It belongs to --network mlp.")
    if is_file(text):
        return own(text, "--network")
    settings: dict[str, Any] = {} if hidden is None else {"hidden": widths_of(hidden)}
    for piece in rest.split(",") if rest else []:
        key, equals, value = piece.partition("=")
        settings |= {key: _plain(value)} if equals else {"width": _plain(piece)}
    try:
        return networks.named(name, **settings)
    except TypeError as error:
        forms = "For instance convnet:8, resnet18:4,loss=squared_error, or mlp with --hidden 6,6."
        raise refuse("--network", "NAME, NAME:WIDTH or NAME:key=value,key=value", text, f"{error} {forms}") from None


def _plain(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def shape_of(text: str) -> tuple[int, ...]:
    """The sizes of ``--input-shape 3,32,32``; ValueError if they are not whole numbers above 0."""
    from weightgas.errors import refuse

    try:
        sizes = tuple(int(piece) for piece in text.split(","))
    except ValueError:
        sizes = (0,)
    if min(sizes) < 1:
        raise refuse("--input-shape", "whole numbers above 0", text, "Write the shape of one input: 3,32,32.")
    return sizes


def schedule_of(text: str, steps: int | None) -> Any:
    """The factor of the learning rate for ``predict``; ValueError for another text, or without ``steps``."""
    import numpy as np

    from weightgas.errors import refuse

    if text == "constant":
        return None
    if is_file(text):
        return own(text, "--schedule", call=False)
    factor, at = _jumps(text)
    if text not in ("linear", "cosine") and not at:
        known = "constant, linear, cosine, step:FACTOR,AT,AT or FILE.py:NAME"
        raise refuse("--schedule", known, text, "NAME is a function of the step.")
    if steps is None:
        raise refuse("--steps", "the length of the run with a schedule", None, "Pass --steps.")
    if at:
        return factor ** np.searchsorted(sorted(at), np.arange(steps), side="right")
    done = np.arange(steps) / steps
    return 1 - done if text == "linear" else (1 + np.cos(np.pi * done)) / 2


def _jumps(text: str) -> tuple[float, list[float]]:
    """Factor and steps of ``step:0.1,30000,60000``; no steps for anything else."""
    try:
        factor, *at = map(float, text.removeprefix("step:").split(","))
    except ValueError:
        return 1.0, []
    return factor, at if text.startswith("step:") else []


def is_file(text: str) -> bool:
    """Whether a text has the form ``FILE.py:NAME``."""
    return text.rpartition(":")[0].endswith(".py")


def own(text: str, option: str, *, call: bool = True) -> Any:
    """The custom object ``NAME`` of the Python file ``FILE``, which is run; a class or function is called.

    Without ``call`` it is returned unchanged.

    Raises
    ------
    ValueError
        If there is no such file or name in it, or running the file fails; the message names the option and the reason.
    """
    from weightgas.errors import refuse

    file, _, name = text.rpartition(":")
    path = Path(file).expanduser().resolve()
    if not path.is_file():
        raise refuse(option, "FILE.py:NAME of a Python file", text, f"There is no file {path}.")
    module = _run(path, option)
    if not hasattr(module, name):
        public = [n for n, v in vars(module).items() if not n.startswith("_") and not inspect.ismodule(v)]
        raise refuse(option, f"a name in {path.name}", name, f"It has {', '.join(public) or 'no names'}.")
    found = getattr(module, name)
    if not call or not (inspect.isclass(found) or inspect.isroutine(found)):
        return found
    try:
        return found()
    except (Exception, SystemExit) as error:
        raise ValueError(
            f"{option}: expected {name}() of {path.name} to make an object, got {type(error).__name__}: {error}. "
            "A class or function is called without arguments."
        ) from error


def _run(path: Path, option: str) -> Any:
    """The module of a Python file, run; modules in its folder can be imported."""
    title = f"weightgas_own_{path.stem}"
    spec = importlib.util.spec_from_file_location(title, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{option}: expected a Python file, got {path}. Its name must end in .py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[title] = module  # needed by dataclasses
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise ValueError(
            f"{option}: expected {path} to run, got {type(error).__name__}: {error}. --debug shows where."
        ) from error
    finally:
        sys.path.remove(str(path.parent))
    return module


def _comparable(option: str, found: Any, text: str, kinds: tuple[type, type]) -> Any:
    """The object if it is of the kind and its ``repr`` identifies it, so that a run folder recognises the command."""
    if not isinstance(found, kinds):
        raise ValueError(
            f"{option}: expected an object with the methods of weightgas.losses.{kinds[0].__name__}, or a "
            f"{kinds[1].__name__}, got {type(found).__name__} from {text}. Add the missing methods."
        )
    if type(found).__repr__ is object.__repr__:
        from weightgas.errors import shown

        raise ValueError(
            f"{option}: expected an object whose repr identifies it, got {shown(found)} from {text}. Make it a "
            "frozen dataclass, so that the same command can resume a run."
        )
    return found


def _numbers(option: str, text: str) -> list[float]:
    from weightgas.errors import refuse

    try:
        return [float(piece) for piece in text.split(",")]
    except ValueError:
        raise refuse(option, "numbers between commas", text, "For instance 0,0.5,1.") from None
