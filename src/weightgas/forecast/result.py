"""What `predict` returns: a table to print, a file to save, and the comparison with measured norms."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from weightgas import notebook
from weightgas.errors import (
    finite_number,
    one_of,
    path_of,
    positive_number,
    refuse,
    shown,
    typed,
    whole_number,
    wrong_type,
)
from weightgas.forecast.equivalents import Equivalent
from weightgas.optimizers import KNOWN, Optimizer, checked
from weightgas.rounding import significant
from weightgas.runs import write_atomically

VERSION = 2
_COLUMNS = ("group", "r*", "relaxation time", "angle", "settled", "frozen", "out of eq.", "r at end")


@dataclass(frozen=True)
class GroupForecast:
    """The forecast for one group at the learning rate ``lr`` (schedule factor 1); None where there is no prediction.

    ``radius`` is r*, in units of ``unit`` ("" for an absolute value), and ``angle`` that of a step in radians.
    ``growth`` is (n, dr^n/dt) of a run without decay. ``settled`` is the first step with three relaxation times behind
    it. ``frozen``, only under a schedule, is the first step with less than one relaxation time ahead of it: the final
    norm depends on the norm at that step. ``trajectory_step`` and ``trajectory_radius`` are the norm along the run.
    """

    name: str
    dim: int | None
    grad_sq: float | None
    radius_start: float | None
    radius: float | None
    unit: str
    relaxation_time: float | None
    angle: float | None
    growth: tuple[int, float] | None
    settled: int | None
    frozen: int | None
    trajectory_step: tuple[float, ...]
    trajectory_radius: tuple[float, ...]

    def radius_at(self, step: float) -> float | None:
        """The norm after ``step`` steps; None without a trajectory (it needs steps, radius and G or dim)."""
        step, known = finite_number("step", step), self.trajectory_step
        return float(np.interp(step, known, self.trajectory_radius)) if known else None


@dataclass(frozen=True)
class Forecast:
    """The forecast of a run, to be printed. ``scheduled`` is True if the learning rate changes along the run."""

    optimizer: Optimizer
    steps: int | None
    groups: tuple[GroupForecast, ...]
    scheduled: bool = False
    batch_size: int | None = None

    @property
    def intrinsic_lr(self) -> float:
        """The intrinsic learning rate eta lambda."""
        lr, wd = self.optimizer.rates()
        return lr * wd

    def __getitem__(self, name: str) -> GroupForecast:
        if name in (names := [group.name for group in self.groups]):
            return self.groups[names.index(name)]
        raise KeyError(f"no group {shown(name)}; there are {', '.join(names)}")

    def out_of_equilibrium(self, name: str | None = None) -> float | None:
        """Share of the steps before the norm has settled or after it has frozen; None without steps or times."""
        group = self._group(name)
        if self.steps is None or group.relaxation_time is None:
            return None
        if group.settled is None:
            return 1.0
        after = 0 if group.frozen is None else self.steps - group.frozen
        return min(1.0, (group.settled + after) / self.steps)

    # --- equivalent hyperparameters ---

    def rescaled(self, factor: float) -> Equivalent:
        """The settings with ``factor`` times the learning rate that give the same directions at every step; exact."""
        length, other = self.optimizer.rescaled(positive_number("factor", factor))
        condition = "the same directions at every step, if the scale-invariant weights are all there is or the other "
        condition += "parameters keep their own lr and wd"
        if getattr(self.optimizer, "eps", 0):
            condition += "; eps must be divided by the factor of the weights"
        return Equivalent(other, True, condition, radius_factor=length)

    def at_batch_size(self, batch_size: int) -> Equivalent:
        """The settings of the same run per sample at another batch size.

        Approximate: it holds where noise outweighs the mean gradient. ValueError without ``batch_size`` of the
        forecast.
        """
        if self.batch_size is None:
            raise refuse("batch_size", "the batch size of these settings too", None, "Pass batch_size to predict.")
        ratio = whole_number("batch_size", batch_size) / self.batch_size
        condition = "noise-dominated gradients (G ∝ 1/batch) and eta lambda << 1: norm, turn and pull per sample are "
        condition += "kept"
        other = self.optimizer.at_batch_size(ratio)
        return Equivalent(other, False, condition, steps_factor=1 / ratio, batch_size=batch_size)

    def as_optimizer(self, optimizer: Any, *, radius: float | None = None, group: str | None = None) -> Equivalent:
        """Another optimizer with the same angle per step, and the stationary norm ``radius`` (default: r* of this one).

        ``optimizer`` is one of :mod:`weightgas.optimizers` without lr and wd, such as ``AdamW(betas=(0.9, 0.99))``; its
        ``grad_memory``, if not given, is that of this forecast. With several groups the settings are matched for
        ``group``, by default the first. ValueError without decay, or where r* has no absolute value.
        """
        one, mine, other = self._group(group), self.optimizer, checked(optimizer)
        kept = self._absolute(one, "radius") if radius is None else positive_number("radius", radius)
        if not mine.decays:
            raise refuse("wd", "a decay above 0", 0.0, "Without decay there is no stationary angle.")
        if getattr(other, "grad_memory", 1.0) is None:
            other = replace(other, grad_memory=getattr(mine, "grad_memory", None))  # type: ignore[call-arg]
        angle = float(np.asarray(mine.angle(one.dim, one.grad_sq)))
        found = other.turning(angle, kept, one.dim, one.grad_sq)
        times = [float(np.asarray(each.relaxation_time(one.dim, one.grad_sq))) for each in (mine, found)]
        condition = f"same angle per step ({angle:.3g}) in the stationary state; the relaxation time of the norm is "
        condition += f"{times[1]:.4g} steps for {times[0]:.4g}. The pull of the loss is not the same: the mobility of "
        return Equivalent(found, False, condition + "Adam, Lion and Muon is a matrix")

    def at_fixed_norm(self, radius: float | None = None, *, group: str | None = None) -> Equivalent:
        """The same optimizer without decay, its weights projected to norm ``radius`` (default r*) after every step.

        Its directions turn as those of the run with decay do once their norm is stationary.
        """
        star = self._absolute(self._group(group), "radius")
        kept = star if radius is None else positive_number("radius", radius)
        other, exact = self.optimizer.at_fixed_norm(star, kept)
        condition = "the same turn in every step while the norm of the run with decay is at its stationary value"
        condition += "" if exact else "; first order in eta lambda, for the projection cuts what momentum has along w"
        return Equivalent(other, exact, condition, radius=kept)

    def _group(self, name: str | None) -> GroupForecast:
        return self.groups[0] if name is None else self[one_of("group", name, [each.name for each in self.groups])]

    def _absolute(self, group: GroupForecast, name: str) -> float:
        if group.radius is None or group.unit:
            raise refuse(name, "a stationary norm in numbers", None, f"Pass {name}, or to predict what r* needs.")
        return group.radius

    # --- later ---

    def expected(self, name: str, step: float | None = None) -> float | None:
        """The norm after ``step`` steps; by default r*, under a schedule or without decay that of the last step."""
        group = self._group(name)
        if step is None and not self.scheduled and group.radius is not None:
            return None if group.unit else group.radius
        return group.radius_at((self.steps or 0) if step is None else step)

    @typed
    def score(self, measured: Mapping[str, float], *, step: float | None = None) -> str:
        """Compare measured norms (name → norm) with the forecast: one line a group, the difference in per cent.

        They are compared with r*, under a schedule with the norm at the end, or with the norm after ``step`` steps.
        """
        lines, step = [], None if step is None else finite_number("step", step)
        for name, value in measured.items():
            found, expected = positive_number(f"measured[{name!r}]", value), self.expected(name, step)
            where = "r*" if step is None and not self.scheduled else "r"
            if expected is None:
                lines.append(f"{name}: no forecast of the norm, measured {found:.4g}")
            else:
                verb = "settled at" if step is None else f"at step {step:g}"
                lines.append(
                    f"{name}: forecast {where} {expected:.4g}, {verb} {found:.4g} ({found / expected - 1:+.1%})"
                )
        return "\n".join(lines)

    def save(self, path: str | Path) -> None:
        """Write the forecast as JSON; the file is written completely or not at all."""
        own = {"class": type(self.optimizer).__name__, **asdict(self.optimizer)}
        content = {**asdict(self), "optimizer": own}
        write_atomically(path_of("path", path), json.dumps({"weightgas_forecast": VERSION, **content}, indent=1) + "\n")

    @classmethod
    def load(cls, path: str | Path, *, optimizer: type[Optimizer] | None = None) -> Forecast:
        """Read a saved forecast, of weightgas 0.1 too; ``optimizer`` is the class of a custom optimizer.

        ValueError if the file is not a forecast, was written by a newer version, or is of an unknown optimizer.
        """
        fix = "Pass a file that Forecast.save wrote."
        if optimizer is not None and not (isinstance(optimizer, type) and issubclass(optimizer, Optimizer)):
            raise wrong_type("optimizer", "a class of an optimizer", optimizer, "Omit it for those of weightgas.")
        try:
            found = json.loads(path_of("path", path).read_text(encoding="utf-8"))
            version = found.pop("weightgas_forecast")
        except (json.JSONDecodeError, UnicodeDecodeError, KeyError, AttributeError, TypeError, RecursionError) as error:
            raise refuse("path", "a saved forecast", str(path), fix) from error
        if version not in (1, VERSION):
            raise refuse("path", f"a forecast of version {VERSION}", version, "Use the library that wrote it.")
        try:
            content = _converted(found) if version == 1 else found
            own = _tuples(content.pop("optimizer"))
            kinds = {kind.__name__: kind for kind in (*KNOWN.values(), *([optimizer] if optimizer else []))}
            kind = own.pop("class")
            if kind not in kinds:
                raise refuse(
                    "optimizer", f"the class {kind} of this forecast", optimizer, "Pass load(path, optimizer=...)."
                )
            groups = tuple(GroupForecast(**_tuples(group)) for group in content.pop("groups"))
            return cls(optimizer=kinds[kind](**own), groups=groups, **content)
        except (TypeError, KeyError, AttributeError) as error:
            raise refuse("path", "a complete saved forecast", str(path), fix) from error

    def as_dict(self) -> dict[str, Any]:
        """The forecast in plain types for JSON: five significant digits, None for what is not predicted."""
        groups = []
        for group in self.groups:
            numbers = ("dim", "grad_sq", "radius_start", "radius", "relaxation_time", "angle", "settled", "frozen")
            values = {name: _short(getattr(group, name)) for name in numbers}
            values["out_of_equilibrium"] = _short(self.out_of_equilibrium(group.name))
            values["radius_at_end"] = _short(group.radius_at(self.steps) if self.steps else None)
            groups.append({"name": group.name, "unit": group.unit, **values})
        return {
            "optimizer": {"name": type(self.optimizer).__name__, **asdict(self.optimizer)},
            "batch_size": self.batch_size,
            "steps": self.steps,
            "intrinsic_lr": _short(self.intrinsic_lr),
            "groups": groups,
            "notes": self._notes(),
        }

    # --- text ---

    def __str__(self) -> str:
        """Settings, one line a group, when the forecast holds, and what is missing."""
        return self.text()

    def text(self, width: int | None = None) -> str:
        """The forecast as text; a table wider than ``width`` characters has a line for each value of a group."""
        head = [f"{self.optimizer}" + (f", batch {self.batch_size}" if self.batch_size else "")]
        if self.optimizer.decays:
            head.append(f"eta lambda {self.intrinsic_lr:.4g}" + (f", {self.steps} steps" if self.steps else ""))
        rows = [_COLUMNS, *(self._row(group) for group in self.groups)]
        used = [i for i in range(len(_COLUMNS)) if i < 4 or any(row[i] != "-" for row in rows[1:])]
        size = {i: max(len(row[i]) for row in rows) for i in used}
        table = ["  ".join(row[i].ljust(size[i]) for i in used).rstrip() for row in rows]
        if width is not None and max(map(len, table)) > width:
            values = [(row[0], *(f"  {_COLUMNS[i]}: {row[i]}" for i in used[1:])) for row in rows[1:]]
            table = [line for group in values for line in group]
        return "\n".join([*head, "", *table, "", *self._notes()])

    def _repr_html_(self) -> str:
        """In a notebook: a table of the groups."""
        notes = "\n".join(self._notes())
        return notebook.table(_COLUMNS, [self._row(group) for group in self.groups], str(self.optimizer), notes)

    def _row(self, group: GroupForecast) -> tuple[str, ...]:
        star = "-" if group.radius is None else f"{group.radius:.4g} {group.unit}".strip()
        end = group.radius_at(self.steps) if self.steps else None
        share = self.out_of_equilibrium(group.name)
        settled = "never" if share == 1 else "-"
        return (
            group.name,
            star,
            "-" if group.relaxation_time is None else f"{group.relaxation_time:.4g} steps",
            "-" if group.angle is None else f"{np.degrees(group.angle):.3g}°",
            settled if group.settled is None else f"step {group.settled}",
            "-" if group.frozen is None else f"step {group.frozen}",
            "-" if share is None else f"{share:.0%}",
            "-" if end is None else f"{end:.4g}",
        )

    def _notes(self) -> list[str]:
        unit = {group.unit for group in self.groups if group.unit and group.radius is not None}
        if not self.optimizer.decays:
            power = 2 - self.optimizer.update_power
            growing = "grows in proportion to the steps and the effective lr falls"
            notes = [f"wd = 0: no stationary norm; r^{power} {growing}."]
            grow = [(group.name, *group.growth) for group in self.groups if group.growth is not None]
            return notes + [f"  {name}: r^{power} grows by {rate:.4g} a step" for name, power, rate in grow]
        if self.intrinsic_lr == 0:
            return ["No stationary norm: eta lambda is 0 in double precision, so nothing decays."]
        notes = [f"Holds when {self.optimizer.holds_when}."]
        if self.optimizer.oscillates:
            notes.append(f"No norm along the run: {self.optimizer.oscillates}.")
            notes.append("The relaxation time is that of the envelope of the oscillation.")
        if unit:
            units = ", ".join(sorted(unit))
            notes.append(f"r* in units of {units}: pass what is missing (grad_sq = G, dim = d, update_sq).")
        if any(group.radius is None for group in self.groups):
            notes.append("No stationary norm: eta lambda is beyond the stable range.")
        if any(group.relaxation_time is None and group.radius is not None for group in self.groups):
            notes.append("No relaxation time: it needs dim and grad_sq here.")
        return notes


def _short(value: float | None) -> Any:
    return None if value is None else significant(value)


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    """JSON has no tuples."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}


def _converted(found: dict[str, Any]) -> dict[str, Any]:
    """A forecast of weightgas 0.1 in the current form."""
    settings = found.pop("settings")
    kind = KNOWN[settings.pop("optimizer")]
    own = {f.name: settings[f.name] for f in fields(kind) if settings.get(f.name) is not None}
    course = {f"course_{key}": f"trajectory_{key}" for key in ("step", "radius")}
    groups = [{course.get(key, key): value for key, value in group.items()} for group in found.pop("groups")]
    optimizer = {"class": kind.__name__, **own}
    return {**found, "groups": groups, "optimizer": optimizer, "batch_size": settings.get("batch_size")}
