"""What `predict` returns: a table to read, a file to keep, and the score against what was measured."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from weightgas.errors import positive_number, refuse
from weightgas.forecast import equivalents
from weightgas.forecast.equivalents import Equivalent
from weightgas.forecast.settings import Settings
from weightgas.runs import write_atomically

VERSION = 1


@dataclass(frozen=True)
class GroupForecast:
    """One group at the learning rate ``lr`` (schedule factor 1); None is what could not be told.

    ``radius`` is r*, in units of ``unit`` ("" is absolute); ``growth`` (n, dr^n/dt) without decay; ``settled`` is the
    first step with three relaxation times behind it; ``frozen``, only under a schedule, the first step with less than
    one relaxation time ahead of it, so that the norm cannot forget what it is then; ``course_step`` and
    ``course_radius`` the norm along the run.
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
    course_step: tuple[float, ...]
    course_radius: tuple[float, ...]

    def radius_at(self, step: float) -> float | None:
        """The forecast norm after ``step`` steps; None without a course (it needs steps, radius and G or dim)."""
        return float(np.interp(step, self.course_step, self.course_radius)) if self.course_step else None


@dataclass(frozen=True)
class Forecast:
    """The forecast of a run; ``print`` it. ``scheduled`` says whether the learning rate changes."""

    settings: Settings
    steps: int | None
    groups: tuple[GroupForecast, ...]
    scheduled: bool = False

    @property
    def intrinsic_lr(self) -> float:
        """eta lambda."""
        return self.settings.lr * self.settings.wd

    def __getitem__(self, name: str) -> GroupForecast:
        for group in self.groups:
            if group.name == name:
                return group
        raise KeyError(f"no group {name!r}; there are {', '.join(g.name for g in self.groups)}")

    def out_of_equilibrium(self, name: str | None = None) -> float | None:
        """Share of the steps before the norm has settled or after it has frozen; None without steps or clock."""
        group = self._group(name)
        if self.steps is None or group.relaxation_time is None:
            return None
        if group.settled is None:
            return 1.0
        after = 0 if group.frozen is None else self.steps - group.frozen
        return min(1.0, (group.settled + after) / self.steps)

    # --- other settings ---

    def rescaled(self, factor: float) -> Equivalent:
        """The exact symmetry with ``factor`` times the learning rate."""
        return equivalents.rescaled(self.settings, factor)

    def at_batch_size(self, batch_size: int) -> Equivalent:
        """The same run per sample at another batch size (noise-dominated gradients)."""
        return equivalents.at_batch_size(self.settings, batch_size)

    def as_optimizer(
        self, optimizer: str, *, radius: float | None = None, group: str | None = None, **changes: Any
    ) -> Equivalent:
        """Another optimizer with the same angle per step, and the stationary norm ``radius`` (default: r* of this one).

        ``changes`` are momentum, nesterov, decoupled, betas, update_memory, update_sq, grad_memory (default: that of
        this one) of the other. Of several groups one can keep its norm: ``group`` (the first).
        """
        one = self._group(group)
        kept = self._absolute(one, "radius") if radius is None else positive_number("radius", radius)
        return equivalents.as_optimizer(
            self.settings, optimizer, radius=kept, dim=one.dim, grad_sq=one.grad_sq, **changes
        )

    def at_fixed_norm(self, radius: float | None = None, *, group: str | None = None) -> Equivalent:
        """Without decay, projected to ``radius`` (default r*) after every step."""
        star = self._absolute(self._group(group), "radius")
        return equivalents.at_fixed_norm(
            self.settings, star, star if radius is None else positive_number("radius", radius)
        )

    def _group(self, name: str | None) -> GroupForecast:
        return self.groups[0] if name is None else self[name]

    def _absolute(self, group: GroupForecast, name: str) -> float:
        if group.radius is None or group.unit:
            raise refuse(name, "a stationary norm in numbers", None, f"Pass {name}, or to predict what r* needs.")
        return group.radius

    # --- later ---

    def expected(self, name: str, step: float | None = None) -> float | None:
        """Norm after ``step`` steps; without it where the run settles: r*, under a schedule the end of the course."""
        group = self[name]
        if step is None and not self.scheduled and group.radius is not None:
            return None if group.unit else group.radius
        return group.radius_at((self.steps or 0) if step is None else step)

    def score(self, measured: Mapping[str, float], *, step: float | None = None) -> str:
        """One line a group: forecast, measured, difference in per cent; ``step`` compares along the course."""
        lines = []
        for name, value in measured.items():
            found, told = positive_number(f"measured[{name!r}]", value), self.expected(name, step)
            where = "r*" if step is None and not self.scheduled else "r"
            if told is None:
                lines.append(f"{name}: no forecast of the norm, measured {found:.4g}")
            else:
                verb = "settled at" if step is None else f"at step {step:g}"
                lines.append(f"{name}: forecast {where} {told:.4g}, {verb} {found:.4g} ({found / told - 1:+.1%})")
        return "\n".join(lines)

    def save(self, path: str | Path) -> None:
        """Write as JSON, whole or not at all."""
        write_atomically(Path(path), json.dumps({"weightgas_forecast": VERSION, **asdict(self)}, indent=1) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> Forecast:
        """A saved forecast; ValueError where the file is none, or of a newer version."""
        fix = "Pass a file that Forecast.save wrote."
        try:
            found = json.loads(Path(path).read_text(encoding="utf-8"))
            version = found.pop("weightgas_forecast")
        except (json.JSONDecodeError, UnicodeDecodeError, KeyError, AttributeError) as error:
            raise refuse("path", "a saved forecast", str(path), fix) from error
        if version != VERSION:
            raise refuse("path", f"a forecast of version {VERSION}", version, "Use the library that wrote it.")
        try:
            settings = Settings(**_tuples(found.pop("settings")))
            groups = tuple(GroupForecast(**_tuples(group)) for group in found.pop("groups"))
            return cls(settings=settings, groups=groups, **found)
        except (TypeError, KeyError) as error:
            raise refuse("path", "a complete saved forecast", str(path), fix) from error

    # --- text ---

    def __str__(self) -> str:
        from weightgas.forecast.table import render

        return render(self)


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    """JSON has no tuples."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
