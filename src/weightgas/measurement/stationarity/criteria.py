"""The conditions for a cell to count as stationary: the criteria of level 1 and their default values."""

from __future__ import annotations

from dataclasses import dataclass, fields

from weightgas.errors import positive_number, renamed_keywords


@dataclass(frozen=True)
class Criteria:
    """The conditions for a cell to count as stationary; pass stricter ones to ``measure`` if needed.

    Parameters
    ----------
    ess
        The least number of effective samples of the energy, summed over replicas. Of single series 8 correlation times
        long 0.2 % pass the default, of series 60 long (300 samples, time 5) 82 %; with 25 it would be none and 63 %,
        with 15 1 % and 90 %.
    relaxations
        The least number of recorded steps in predicted relaxation times: of the radius, of the groups' shares of r²,
        and of the energy. They are predicted, since no statistic detects a relaxation longer than the run.
    turns
        The least number of recorded steps in predicted decay times of the direction under pure noise.
    radius_trend
        The largest |Δ ln r| between the halves of the kept samples; a quarter of it if the change also exceeds
        ``significance`` standard errors.
    energy_trend, share_trend
        The largest relative change between the halves, of the energy and of any group's share of r². It counts only if
        it also exceeds ``significance`` standard errors. In networks that are otherwise stationary the shares drift
        with the basin, by a tenth in MLPs of 400 weights.
    significance
        Standard errors from which a change is significant; 3 is one false alarm in 370.
    rhat
        The largest split-R̂ of the energy.
    slow_part
        The largest ``slow_between`` or ``slow_lowest`` of the energy (:mod:`.slow_part`, with four replicas or more).
        It counts only if both together also exceed ``significance`` standard errors. At 2, errors are too small by up
        to √2.
    ess_direction
        The least number of effective snapshots, where directions are stored; free diffusion has 1.

    Raises
    ------
    TypeError, ValueError
        Unless each is a positive finite number.
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
