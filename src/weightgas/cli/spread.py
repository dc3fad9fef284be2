"""Commands whose parameters are dataclasses: every field is an option of the command line.

An option of the library is defined only in :mod:`weightgas.settings`: its type, its possible values, the default of
each producer, and its text, whose first sentence is the help. A group of options of the command line
(:class:`.options.Options`) has a panel and texts of the same form; its help is the full text.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_type_hints

import typer

from weightgas.cli import options as opt
from weightgas.cli import values
from weightgas.cli.session import refused
from weightgas.errors import refuse
from weightgas.settings import Evaluate, Record, Run, Settings, Until

PANELS: dict[type, str] = {Record: "Recording", Until: opt.LENGTH, Run: opt.FOLDER, Evaluate: opt.HOW}
_TYPES: dict[str, type] = {"int": int, "bool": bool, "str": str}
_WRITTEN: dict[str, tuple[type, Callable[[Any], Any]]] = {"folder": (Path, Path), "targets": (str, values.precision_of)}
"""Fields whose values are written in another form than their type, and their conversion."""


@dataclass(frozen=True)
class _Option:
    """A field of a dataclass as an option: the parameter of the command, and the conversion of its value."""

    name: str
    parameter: inspect.Parameter
    meant: Callable[[Any], Any]


def spread(command: Callable[..., None]) -> Callable[..., None]:
    """Give ``command`` an option for each field of its parameters that are dataclasses; its name is the producer.

    An object with a required field is None if none of its options is given.
    """
    signature = inspect.signature(command, eval_str=True)
    groups = {p.name: kind for p in signature.parameters.values() if (kind := _group(p.annotation)) is not None}
    options = {name: list(_options(kind, command.__name__)) for name, kind in groups.items()}

    @wraps(command)
    def call(**given: Any) -> None:
        try:
            objects = {name: _made(kind, options[name], given) for name, kind in groups.items()}
        except (TypeError, ValueError) as error:
            raise refused(command.__name__, error) from None
        command(**given, **objects)

    parameters = []
    for one in signature.parameters.values():
        alone = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY)]
        parameters += [option.parameter for option in options[one.name]] if one.name in options else alone
    call.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {one.name: one.annotation for one in parameters}
    return call


def _group(annotation: Any) -> type | None:
    """The dataclass in the annotation of a parameter, alone or with None."""
    kinds = [kind for kind in (annotation, *get_args(annotation)) if isinstance(kind, type) and is_dataclass(kind)]
    return kinds[0] if kinds else None


def _options(kind: Any, producer: str) -> Iterator[_Option]:
    texts = _texts(kind)
    if not issubclass(kind, Settings):
        yield from _of_command_line(kind, texts)
        return
    for each in fields(kind):  # type: ignore[arg-type]
        known = each.metadata
        if not known or (known["producers"] and producer not in known["producers"]):
            continue
        default = None if each.default is MISSING else known["producers"].get(producer, each.default)
        written = _WRITTEN[each.name][0] if each.name in _WRITTEN else _TYPES[str(each.type).partition(" ")[0]]
        base: Any = Literal[known["among"]] if known["among"] else written
        flags = known["flags"] or (f"--{each.name.replace('_', '-')}",)
        if written is bool and default is None:
            flags = (f"{flags[0]}/--no-{flags[0].removeprefix('--')}",)
        option = typer.Option(
            *flags, min=known["minimum"], metavar=known["metavar"], help=_sentence(texts.get(each.name, "")),
            rich_help_panel=PANELS[kind],
        )  # fmt: skip
        annotation = Annotated[base if default is not None else base | None, option]
        yield _option(flags[0].partition("/")[0].removeprefix("--").replace("-", "_"), each, annotation, default)


def _of_command_line(kind: Any, texts: dict[str, str]) -> Iterator[_Option]:
    hints = get_type_hints(kind)
    for each in fields(kind):
        how = dict(each.metadata)
        flags = how.pop("flags", (f"--{each.name.replace('_', '-')}",) if each.default is False else ())
        default = inspect.Parameter.empty if each.default is MISSING else each.default
        option = typer.Option(*flags, help=texts.get(each.name), rich_help_panel=kind.panel, **how)
        yield _option(each.name, each, Annotated[hints[each.name], option], default)


def _option(name: str, each: Field[Any], annotation: Any, default: Any) -> _Option:
    parameter = inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
    return _Option(each.name, parameter, _WRITTEN.get(each.name, (None, lambda value: value))[1])


def _made(kind: type, options: list[_Option], given: dict[str, Any]) -> Any:
    """An object from the values of its options, which are removed from ``given``."""
    written = {option.name: given.pop(option.parameter.name) for option in options}
    needed = [each.name for each in fields(kind) if each.default is MISSING]
    if any(written[name] is None for name in needed):
        rest = next((name for name, value in written.items() if value is not None), None)
        if rest is None:
            return None
        flags = {option.name: option.parameter.name.replace("_", "-") for option in options}
        expected = " and ".join(f"--{flags[name]}" for name in needed)
        raise refuse(f"--{flags[rest]}", f"{expected} with it", written[rest], f"Pass {expected}, or omit it.")
    return kind(**{o.name: None if written[o.name] is None else o.meant(written[o.name]) for o in options})


def _texts(kind: type) -> dict[str, str]:
    """The text of each field in the docstring, as plain text."""
    docs = "\n".join(inspect.cleandoc(one.__doc__ or "") for one in kind.__mro__ if is_dataclass(one))
    found = re.findall(r"^(\w+)\n((?:    .*\n?|\n)+)", docs + "\n", re.MULTILINE)
    return {name: re.sub(r":\w+:`~?([^`]*)`", r"\1", " ".join(text.split())).replace("``", "") for name, text in found}


def _sentence(text: str) -> str:
    """The first sentence of a text."""
    return re.split(r"(?<=\.)\s+(?=[A-Z0-9\"])", text, maxsplit=1)[0]
