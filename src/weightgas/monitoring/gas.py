"""``Gas``, the result of ``watch``: the samples of a run and what follows from them."""

from __future__ import annotations

import csv
import html
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from rich.table import Table
from torch import Tensor

from weightgas.errors import STEPS, path_of, refuse, typed, whole_number, wrong_type
from weightgas.measurement.stationarity import Criteria
from weightgas.monitoring import ahead, notes, series, states, text
from weightgas.monitoring.ahead import NormForecast
from weightgas.monitoring.choice import Choice
from weightgas.monitoring.hooks import Ledger
from weightgas.monitoring.noise_cost import NoiseCost, noise_cost
from weightgas.monitoring.probe import Probe
from weightgas.monitoring.rates import Rates
from weightgas.monitoring.record import MEANINGS, Record
from weightgas.monitoring.schedule import ScheduleView, along
from weightgas.monitoring.states import GroupState
from weightgas.optimizers import Optimizer
from weightgas.status import Status

_MOST_SCORED = 6
"""Groups whose earlier forecasts are printed."""


class Gas:
    """A watched run, made by :func:`weightgas.watch`; ``print`` it at any time.

    Attributes
    ----------
    name
        The name of the run in tables and files; by default the class of the model.
    names, sizes
        Name and number of weights of each group.
    invariant
        Whether each group is known to be scale-invariant; only such a group has r*, T, p and Z.
    source
        How the groups were found.
    record
        The samples: ``record.step`` (samples,) and ``record[variable]`` (samples, groups).
    """

    stated = False
    """Whether the user stated how the optimizer steps (``rule=``)."""
    trained = 0
    """Weights that the optimizer trains, watched or not."""

    def __init__(
        self, name: str, choice: Choice, samples: int, forecast: Any, criteria: Criteria, schedule: Any = None
    ) -> None:
        self.name, self.source, self._notes = name, choice.source, list(choice.notes)
        self.criteria = criteria
        self.names = tuple(group.name for group in choice.groups)
        self.sizes = tuple(group.size for group in choice.groups)
        self.invariant = tuple(group.invariant for group in choice.groups)
        self.record = Record(samples, len(self.names))
        self._given, self._rates = forecast, None if schedule is None else Rates(schedule)
        self._notes += notes.unknown(forecast, self.names)
        self._probe: Probe | None = None
        self._ledger, self._rules, self._every = Ledger(), [], 0
        self._written: dict[tuple[int, str], tuple[Any, int]] = {}  # of each sink: itself, and the last step it has
        self._resumed_from: dict[str, int] = {}

    def attach(self, probe: Probe) -> None:
        """Take samples from ``probe``; :func:`weightgas.watch` calls this."""
        self._probe, self._ledger = probe, probe.ledger

    def __getstate__(self) -> dict[str, Any]:
        """Without the hooks: a copy keeps the samples and is not attached."""
        kept = {**self.__dict__, "_rules": self.rules, "_every": self.every, "_probe": None, "_written": {}}
        return kept

    # what it is doing

    @property
    def attached(self) -> bool:
        """Whether the hooks are on the optimizer, so that steps are seen."""
        return self._probe is not None and self._probe.attached

    @property
    def every(self) -> int:
        """Steps between samples; doubled whenever the buffer is full."""
        return self._every if self._probe is None else self._probe.every

    @property
    def rules(self) -> list[Optimizer]:
        """The optimizer of each group, with its settings at the last sample; empty before the first sample."""
        return self._rules if self._probe is None else self._probe.rules

    @property
    def steps(self) -> int:
        """Optimizer steps seen."""
        return self._ledger.steps

    @property
    def cost(self) -> float:
        """Share of the wall time since the first step that the hooks took, with waits for a GPU; NaN before."""
        return self._ledger.seconds / self._ledger.wall if self._ledger.wall > 0 else np.nan

    def detach(self) -> None:
        """Take the hooks off the optimizer; the samples stay."""
        if self._probe is not None:
            self._probe.detach()

    def loss(self, value: Tensor | float) -> None:
        """Pass the loss of the coming step (optional, at no cost), for the energy of its batch in the sample."""
        if self._probe is not None:
            self._probe.loss = value.detach() if isinstance(value, Tensor) else value

    # its state

    def groups(self) -> list[GroupState]:
        """The state of every group at the last sample; empty before the first one is finished."""
        return self._states()[0]

    def _states(self) -> tuple[list[GroupState], tuple[float, float]]:
        """The states, and T_conf of all groups together with its error."""
        if not len(self.record):
            return [], (np.nan, np.nan)
        spheres, others = self._spheres()
        judged, whole = [], (np.nan, np.nan)
        if spheres:
            rules = [self.rules[k] for k in spheres]
            judged, whole = states.states(
                self.record.of(spheres), self._sizes(spheres), rules, self.criteria, self._rates
            )
        by_number = dict(zip(spheres, judged, strict=True))
        for k, reason in others.items():
            by_number[k] = states.refused(self.record, k, self.names[k], self.sizes[k], self.rules[k], reason)
        found = [by_number[k] for k in range(len(self.names))]
        step = self._ledger.nonfinite
        if step is not None:
            status, reason = Status.DIVERGED, f"a gradient or weight was not finite at step {step}"
            found = [replace(s, status=status, reason=f"{reason}; {status.advice}") for s in found]
        return found, whole

    def _sizes(self, groups: list[int]) -> dict[str, int]:
        return {self.names[k]: self.sizes[k] for k in groups}

    def _spheres(self) -> tuple[list[int], dict[int, str]]:
        """Numbers of the groups with a state on the sphere, by their gradients so far too; of the others why not."""
        others = notes.refusals(self.record, self.invariant)
        return [k for k in range(len(self.names)) if k not in others], others

    @typed
    def forecast(self, step: int, *, made: int | None = None) -> dict[str, NormForecast]:
        """Forecast the norm of each group at ``step`` from the samples up to step ``made`` (default: all).

        The learning rate follows ``watch(schedule=)``, or is taken to be constant. Each :class:`.ahead.NormForecast`
        has a 95 % interval, or a reason in place of numbers. Empty before the first sample.

        Raises
        ------
        TypeError, ValueError
            If ``step`` is not a whole number, or is before the last sample that is used.
        """
        step = whole_number("step", step, bound=STEPS)
        until = self.steps if made is None else whole_number("made", made, minimum=0)
        used = self.record.step[self.record.step <= until]
        if len(used) and step < used[-1]:
            raise refuse("step", f"{used[-1]} or later", step, "It is in the record; pass made= to go back.")
        if not len(used):
            return {}
        found, others = {}, self._spheres()[1]
        for k, name in enumerate(self.names):
            present = float(self.record["radius"][len(used) - 1, k])
            found[name] = (
                ahead.no_forecast(name, int(used[-1]), step, present, others[k])
                if k in others
                else ahead.norm(self.record, k, name, self.rules[k], step, until, self._rates)
            )
        return found

    def noise_cost(self) -> NoiseCost:
        """The loss that the noise adds, which averaging would remove, or what its estimate lacks:
        :mod:`.noise_cost`."""
        return self._noise_cost(self.groups())

    def _noise_cost(self, found: Sequence[GroupState]) -> NoiseCost:
        if not len(self.record):
            return NoiseCost(reason="no sample is finished yet")
        spheres = self._spheres()[0]
        others = self.trained - sum(self.sizes[k] for k in spheres)
        judged, rules = [found[k] for k in spheres], [self.rules[k] for k in spheres]
        return noise_cost(self.record.of(spheres), judged, rules, others, bool(self._ledger.clipped))

    def schedule(self) -> ScheduleView:
        """r, r*(t), η/r² along the run and the step at which the norm froze, of scale-invariant groups with decay."""
        chosen = [k for k in self._spheres()[0] if self.rules and self.rules[k].decays and not self.rules[k].refused]
        return ScheduleView(tuple(along(self.record, k, self.names[k], self.rules[k]) for k in chosen))

    def _earlier(self, found: Sequence[GroupState]) -> list[NormForecast]:
        """Forecasts of the present norms from the first relaxation time, for groups with at least two of them."""
        chosen = [k for k, s in enumerate(found) if s.step >= 2 * s.relaxation_time][:_MOST_SCORED]
        return [
            ahead.norm(self.record, k, s.name, self.rules[k], s.step, int(s.relaxation_time), self._rates)
            for k, s in ((k, found[k]) for k in chosen)
        ]

    def forecasts(self) -> None:
        """Renamed to :meth:`forecast`: raises AttributeError."""
        raise AttributeError("forecasts: now forecast(step), which has intervals; r* and its interval are in groups()")

    def notes(self) -> list[str]:
        """What the reader must know: groups that are excluded, clipping, missing hooks, non-finite gradients."""
        run = notes.of_run(self._ledger, self._probe, self.rules)
        return [*self._notes, *run, *notes.of_samples(self.record, self.names, self.invariant)]

    def table(self) -> Table:
        """The state as a table of rich."""
        return self._summary().table()

    def __str__(self) -> str:
        return self._summary().text()

    def _summary(self) -> text.Summary:
        every = f"a sample every {self.every} steps" if self.every else "no sample"
        cost = "" if np.isnan(self.cost) else f"; {self.cost:.2%} of the time in hooks"
        head = [f"{self.name}: {self.steps} steps, {len(self.record)} samples, {every}{cost}"]
        head.append("groups as given" if self.source == "given" else f"groups from {self.source}")
        known = sum(self.invariant)
        if known < len(self.names):
            others = f"the others, marked {text.OTHER}, have no r*"
            head.append(f"{known} of {len(self.names)} groups are known to be scale-invariant; {others}")
        head += dict.fromkeys(
            f"{rule.title}{', stated by rule=' if self.stated else rule.origin}" for rule in self.rules
        )
        found, whole = self._states()
        foot = [*text.reasons(found), *text.temperatures(found, whole)]
        foot += [str(self._noise_cost(found))] if found else []
        foot += notes.scores(found, self._earlier(found), self._given, self.steps)
        return text.Summary(tuple(head), found, (*foot, *(f"note: {note}" for note in self.notes())))

    def _repr_html_(self) -> str:
        """The text in a notebook, escaped, in a monospaced font, without extra line breaks."""
        style = "font-family: monospace; white-space: pre; overflow-x: auto"
        return f'<pre style="{style}">{html.escape(str(self))}</pre>'

    def __repr__(self) -> str:
        state = "attached" if self.attached else "detached"
        return f"Gas({self.name!r}, {len(self.names)} groups, {len(self.record)} samples, {state})"

    def trace(self) -> xr.Dataset:
        """The samples as a trace: one cell of :class:`weightgas.FixedLR`, for ``measure``, figures and report.

        With momentum α the learning rate of the cell is η/(1 − α), which determines temperature and relaxation times;
        ``lr`` along the samples is that of the optimizer. Where settings changed or differ among groups, the cell has
        those of the largest group at the last sample. Groups without decay, whose norms grow for ever, and groups that
        are not scale-invariant are excluded. Without losses (:meth:`loss`) ``energy`` is NaN. For optimizers other than
        SGD the trace has no noise, so ``measure`` gives no temperature.

        Raises
        ------
        ValueError
            Before the first sample is finished, or if no scale-invariant group decays: such a run has no pressure.
        """
        found = self.groups()
        if not found:
            raise refuse("trace", "at least one finished sample", "none", "Train for two steps or more.")
        spheres, others = self._spheres()
        if not spheres:
            fix = "Name the scale-invariant groups in watch(groups=), or use csv()."
            raise refuse("trace", "at least one scale-invariant group", "none", fix)
        rules = [self.rules[k] for k in spheres]
        if not any(rule.decays for rule in rules):
            raise refuse("wd", "weight decay above 0", 0.0, "A run without decay has no pressure; use csv().")
        times, statuses = ([getattr(found[k], name) for k in spheres] for name in ("relaxation_time", "status"))
        about = {"network": self.name, "steps": self.steps}
        made = series.trace(self.record.of(spheres), self._sizes(spheres), rules, times, statuses, about)
        return made.assign_attrs(groups_excluded=[*made.attrs["groups_excluded"], *(self.names[k] for k in others)])

    @typed
    def csv(self, path: str | Path) -> None:
        """Write a row for each sample and group: step, group, and the variables of the record."""
        with path_of("path", path).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["step", "group", *MEANINGS])
            columns = [self.record[name] for name in MEANINGS]
            for i, step in enumerate(self.record.step.tolist()):
                for k, group in enumerate(self.names):
                    writer.writerow([step, group, *(repr(float(c[i, k])) for c in columns)])

    def tensorboard(self, writer: Any, prefix: str = "weightgas") -> int:
        """Write the samples that ``writer`` lacks: ``writer.add_scalar(f"{prefix}/{group}/{variable}", value, step)``.

        Every writer gets all samples; after :meth:`load_state_dict` it gets those since the checkpoint. ``writer`` may
        be any object with ``add_scalar``. Returns the number of samples written.
        """
        sink = (id(writer), prefix)
        _, last = self._written.get(sink, (writer, self._resumed_from.get(prefix, -1)))
        new = np.flatnonzero(self.record.step > last)
        for i in new:
            step = int(self.record.step[i])
            for k, group in enumerate(self.names):
                for name in MEANINGS:
                    value = float(self.record[name][i, k])
                    if np.isfinite(value):
                        writer.add_scalar(f"{prefix}/{group}/{name}", value, step)
                elr = self.record["lr"][i, k] / self.record["radius"][i, k] ** 2
                writer.add_scalar(f"{prefix}/{group}/elr", float(elr), step)
            self._written[sink] = (writer, step)
        return len(new)

    def state_dict(self) -> dict[str, Any]:
        """Samples, step counter and cost, for a checkpoint that ``torch.load(..., weights_only=True)`` can read."""
        written = dict(self._resumed_from)
        for (_, prefix), (_, step) in self._written.items():
            written[prefix] = max(step, written.get(prefix, -1))
        return {
            "names": self.names,
            "every": self.every,
            "ledger": asdict(self._ledger),
            "record": {name: torch.from_numpy(values) for name, values in self.record.arrays().items()},
            "written": written,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resume from what :meth:`state_dict` returned: the next step is the one after it.

        Raises
        ------
        TypeError, ValueError
            If ``state`` is not a result of :meth:`state_dict`, or belongs to other groups.
        """
        if not isinstance(state, Mapping) or not {"names", "record", "written", "ledger"} <= set(state):
            raise wrong_type("state", "what state_dict() returned", state, "Pass it as it was saved.")
        if tuple(state["names"]) != self.names:
            raise refuse("state", f"the groups {self.names}", tuple(state["names"]), "Watch the same groups again.")
        self.record.restore({name: np.asarray(values) for name, values in state["record"].items()})
        written = state["written"]  # a number in checkpoints of 0.1
        self._resumed_from = dict(written) if isinstance(written, Mapping) else {"weightgas": int(written)}
        self._written = {}
        for name, value in state["ledger"].items():
            setattr(self._ledger, name, value)
        if self._rates is not None:
            self._rates.begin(self._ledger.steps)
        if self._probe is not None:
            self._probe.resume(int(state["every"]))
