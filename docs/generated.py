"""The pages of the reference that are made from the code: API, command line, quantities, statuses, symbols.

:data:`API` is the list of public names. Each has a page, made by autosummary, with the example of its name in
``reference/examples/*.md``, whose code the tests run like that of any page.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import typer

from weightgas.cli import app
from weightgas.quantities import DERIVED, RECORDED, Quantity, glossary
from weightgas.status import Cause, Outcome, Status

HERE = Path(__file__).resolve().parent

API: dict[str, tuple[str, dict[str, str]]] = {
    "main": (
        "The main functions",
        {
            "": "FixedSphere FixedELR FixedLR Record Until Run Evaluate simulate train open_trace save_trace extend "
            "grid measure Findings verdict bootstrap annealing drive balance Quantity",
        },
    ),
    "monitor": (
        "Monitor, symmetries and forecast",
        {
            "": "watch Gas symmetries structural_groups predict Forecast",
            "monitoring": "GroupState NormForecast GroupSchedule ScheduleView",
            "symmetry": "Symmetries Group",
            "forecast": "GroupForecast Equivalent decay_for_sphere",
            "optimizers": "Optimizer SGD AdamW AdamL2 Lion Muon RMSprop Adagrad Unknown Normalised named recognised "
            "KNOWN",
        },
    ),
    "models": (
        "Losses, noises and solvable systems",
        {
            "losses": "Loss Noise Linear Quadratic CustomLoss Isotropic Covariance Hessian LossDependent CustomNoise "
            "QuadraticForm",
            "systems": "System ThermalSystem UniformSphere VonMisesFisher Bingham SphereAutoregression "
            "WellAutoregression log_area",
        },
    ),
    "networks": (
        "Networks, data and training",
        {
            "networks": "Network MLP ConvNet ResNet18 OwnModule mlp convnet resnet18 module named Data KNOWN",
            "datasets": "Images digits mnist fashion_mnist fashion_mnist_14 cifar10 cifar100 blank subset "
            "with_label_noise named KNOWN",
            "training": "cost Cost fitting network_of mean_weights harmonic_wells harmonic_gas",
        },
    ),
    "traces": (
        "Protocols, traces and states",
        {
            "protocols": "Protocol named load from_settings BUILT_IN",
            "trace": "check check_state read valid holds kind_of protocol_of fixed custom",
            "quantities": "of in_nats glossary",
            "measurement": "Criteria",
        },
    ),
    "analysis": (
        "Analysis",
        {"analysis": "Verdict Check Key Level Hypothesis layer_gases virial expansion anisotropic"},
    ),
    "paths": (
        "Driving along paths",
        {"driving": "Path isotherm isobar isochore adiabat quasi_static linear_response closed_production dissipation "
            "exponent carnot"},
    ),
    "figures": (
        "Figures and report",
        {
            "figures": "radius pressure radius_from_sphere energy_and_entropy entropies entropy potential_maps "
            "temperature energy noise along_run configurational fluctuation gibbs_slope group_temperatures layers "
            "anisotropy loss_dependence finite_step paths status_map watched Figure CHAPTERS",
            "report": "findings of_run write render section sections Content System Section Table Picture",
        },
    ),
    "experiments": (
        "The paper's experiments",
        {"experiments": "reproduce estimate_cost Cost Experiment PRESETS controls_for controls_at Control"},
    ),
    "theory": ("Theory", {f"theory.{name}": "*" for name in (
        "ideal_gas", "vmf", "relaxation", "stationary", "finite_step", "anisotropic", "virial")}),
    "outcomes": (
        "Statuses and errors",
        {
            "status": "Status Outcome Cause flags names",
            "errors": "WeightgasError TraceError RunExistsError OutOfMemoryError",
        },
    ),
}  # fmt: skip
"""The pages of the API: title, and for each module ("" is ``weightgas``) its public names; * is all it defines."""


def defined(module: Any) -> list[str]:
    """The public functions and classes that a module defines, in its order."""
    if hasattr(module, "__all__"):
        return list(module.__all__)
    here = {name: value for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__}
    return [n for n, v in here.items() if not n.startswith("_") and (inspect.isfunction(v) or inspect.isclass(v))]


@cache
def names(group: str) -> tuple[str, ...]:
    """The public names of a page of the API, without ``weightgas.`` in front."""
    found = []
    for place, listed in API[group][1].items():
        chosen = defined(import_module(f"weightgas.{place}")) if listed == "*" else listed.split()
        found += [f"{place}.{name}".lstrip(".") for name in chosen]
    return tuple(found)


def public() -> list[str]:
    """Every public name, without ``weightgas.`` in front."""
    return [name for group in API for name in names(group)]


def value_of(name: str) -> Any:
    """What a public name stands for; AttributeError or ImportError where it is none."""
    place, _, last = f"weightgas.{name}".rpartition(".")
    return getattr(import_module(place), last)


@cache
def _pages() -> dict[int, str]:
    return {id(value_of(name)): f"weightgas.{name}" for name in reversed(public())}


def page_of(target: str, module: str | None = None, owner: str | None = None) -> str | None:
    """The public name of what a docstring refers to, by any place it can be imported from; None if it has no page."""
    places = [target, f"{module}.{target}", f"weightgas.{target}", f"weightgas.{owner}.{target}", f"{owner}.{target}"]
    for place in places:
        first, found = place.split("."), None
        for cut in range(len(first), 0, -1):
            try:
                found = import_module(".".join(first[:cut]))
            except ImportError:
                continue
            break
        for k, name in enumerate(first[cut:] if found else ()):
            found = getattr(found, name, None)
            if page := _pages().get(id(found)):
                return ".".join([page, *first[cut + k + 1 :]])
    return None


def has_page(target: str) -> bool:
    """Whether ``weightgas.NAME`` is a public name, or a member of one, and so has a page to link to."""
    return target.startswith("weightgas.") and (target.partition(".")[2] in public() or bool(page_of(target)))


def examples() -> dict[str, str]:
    """By full name the example of every public name, as reStructuredText: its code and what it prints."""
    found = {}
    for page in sorted((HERE / "reference/examples").glob("*.md")):
        for part in re.split(r"^## ", page.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
            name, _, body = part.partition("\n")
            blocks = re.findall(r"^```(python|text)\n(.*?)^```", body, re.MULTILINE | re.DOTALL)
            shown = [
                f".. code-block:: {kind}\n\n" + re.sub(r"^(?=.)", "   ", text, flags=re.M) for kind, text in blocks
            ]
            found[f"weightgas.{name.strip()}"] = "\n".join(shown)
    return found


def api_page(group: str) -> str:
    """A page of the API in reStructuredText: a table of names, each a link to its page."""
    title, places = API[group]
    lines = [title, "=" * len(title), "", ".. currentmodule:: weightgas", ""]
    for place in places:
        here = [name for name in names(group) if name.rpartition(".")[0] == place]
        lines += [f"weightgas.{place}", "-" * len(f"weightgas.{place}"), ""] if place else []
        lines += [".. autosummary::", "   :toctree: .", "   :nosignatures:", "", *(f"   {name}" for name in here), ""]
    return "\n".join(lines)


def table(head: tuple[str, ...], rows: Iterable[Iterable[str]]) -> str:
    """A table in Markdown; bars in its cells are escaped."""
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *lines, ""])


def quantities(records: Iterable[Quantity]) -> str:
    """A table of quantities: name, meaning, symbol with its equation, dimensions and units."""
    rows = []
    for q in records:
        symbol = f"{q.symbol} = {q.equation}" if q.equation else q.symbol
        kind = {"point": "value at the step", "mean": "mean since the last sample", "sum": "sum since the last sample"}
        along = kind.get(q.method, q.method.replace("_", " ")) if "sample" in q.dims else ""
        unit = "" if q.units == "1" else f", in {q.units}s"
        rows.append((f"`{q.name}`", q.long_name + unit, symbol, ", ".join(map(str, q.dims)), along))
    head = ("name", "meaning", "symbol", "dimensions after cell", "each sample is")
    if not any(row[-1] for row in rows):
        head, rows = head[:-1], [row[:-1] for row in rows]
    return table(head, rows)


def statuses() -> str:
    """Statuses with their advice, outcomes and causes, as tables."""
    parts = [table(("code", "status", "advice"), ((f"{s.value}", f"`{s.words}`", s.advice) for s in Status))]
    for kind, intro in ((Outcome, "`outcome` of a trace, as the producer reports it:"),
                        (Cause, "`failed_cause` of a trace, what was not finite in a run that failed:")):  # fmt: skip
        parts += [intro, "", table(("code", "name"), ((f"{m.value}", f"`{m.name.lower()}`") for m in kind))]
    return "\n".join(parts)


def symbols() -> str:
    """The glossary as a table."""
    return table(("symbol", "meaning", "name in code"), ((s, m, f"`{n}`" if n else "") for s, m, n in glossary()))


def command_line() -> str:
    """Every command with its help and a table of its options."""
    parts = []
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        summary, _, more = inspect.cleandoc(command.help).partition("\n\n")
        parts += [f"## weightgas {name}", "", " ".join(summary.split()), ""]
        parts += ["```text", more, "```", ""] if more else []
        arguments = [p for p in command.params if p.param_type_name == "argument"]
        options = [p for p in command.params if p.param_type_name == "option" and p.name != "help"]
        if arguments:
            parts += [table(("argument", "meaning"), ((f"`{p.name.upper()}`", _words(p.help)) for p in arguments))]
        if options:
            rows = ((_flags(p), _words(p.help), _default(p)) for p in options)
            parts += [table(("option", "meaning", "default"), rows)]
    return "\n".join(parts)


def _flags(option: Any) -> str:
    return ", ".join(f"`{flag}`" for flag in (*option.opts, *option.secondary_opts))


def _words(help: str | None) -> str:
    return " ".join((help or "").replace("<", "&lt;").split())


def _default(option: Any) -> str:
    value = option.default
    return "" if value in (None, False, (), []) or callable(value) else f"`{value}`"


def write(folder: Path) -> None:
    """Write all that is generated into ``folder``, the source of the site; a file that would not change is left."""
    texts = {f"reference/api/{group}.rst": api_page(group) for group in API}
    made = {
        "recorded": quantities(RECORDED.values()),
        "derived": quantities(DERIVED.values()),
        "statuses": statuses(),
        "symbols": symbols(),
        "command-line": command_line(),
    }
    texts |= {f"reference/generated/{name}.md": text for name, text in made.items()}
    kept = {*API, *(f"weightgas.{name}" for name in public())}
    for path in (folder / "reference/api").glob("*.rst"):
        if path.stem not in kept:
            path.unlink()
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
