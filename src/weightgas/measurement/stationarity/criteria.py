"""The conditions for a cell to count as stationary: the criteria of level 1 and their default values."""

from __future__ import annotations

from dataclasses import dataclass, fields

from weightgas.errors import positive_number, renamed_keywords


@dataclass(frozen=True)
class Criteria:
    """The conditions for a cell to count as stationary; pass stricter ones to ``measure`` if needed.

    ``ess``: effective samples of the energy, summed over replicas. ``relaxations``: recorded steps in predicted
    relaxation times of the radius, of the groups' shares of r² and of the energy; ``turns``: in decay times of the
    direction under pure noise (predicted, since no statistic detects a relaxation longer than the run).
    ``radius_trend``: largest |Δ ln r| between the halves of the kept samples, or a quarter of it if the change is also
    ``significance`` standard errors. ``energy_trend`` and ``share_trend``: largest relative change of the energy and of
    any group's share of r² between the halves, if it is also ``significance`` standard errors (3: one false alarm in
    370). ``rhat``: largest split-R̂ of the energy. ``slow_part``: largest ``slow_between`` or ``slow_lowest`` of the
    energy (:mod:`.slow_part`, four replicas or more), if both together are also ``significance`` standard errors: 2
    makes errors too small by up to √2. ``ess_direction``: effective snapshots, where directions are stored
    (free diffusion has 1).

    In networks that are otherwise stationary the shares drift with the basin, by a tenth in MLPs of 400 weights.

    The default of ``ess``: of single series 8 correlation times long 0.2 % pass, of those 60 long (300 samples, time 5)
    82 %; with 25 these would be none and 63 %, with 15 1 % and 90 %.

    Raises TypeError or ValueError unless each is a positive finite number.
    """

    ess: float = 20.0
    relaxations: float = 2.0
    turns: float = 1.0
    radius_trend: float = 0.01
    energy_trend: float = 0.05
    share_trend: float = 0.2
    significance: float = 3.0
    rhat: float = 1.1
    slow_part: float = 2.0
    ess_direction: float = 3.0

    def __post_init__(self) -> None:
        for f in fields(self):
            positive_number(f.name, getattr(self, f.name))


_RENAMED = {"radius_drift": "radius_trend", "energy_drift": "energy_trend", "share_drift": "share_trend"}
Criteria.__init__ = renamed_keywords(**_RENAMED)(Criteria.__init__)  # type: ignore[method-assign]
