"""The interface of an entropy estimator: a frozen object with a name and ``estimate(trace, state)``.

Built-in and custom estimators have the same form::

    @dataclass(frozen=True)
    class Mine(Estimator):
        bins: int = 30
        name = "mine"
        long_name = "entropy of the direction by my method"
        needs = ("directions",)

        def estimate(self, trace, state):
            return Entropy(value, error)

    state = measure(trace, entropy=Mine(bins=50))

The state then holds ``entropy_mine`` with its error, and ``entropy_direction``, ``entropy`` and the potentials that
follow from it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from weightgas.errors import TraceError
from weightgas.quantities import Quantity


@dataclass(frozen=True)
class Entropy:
    """The entropy of the direction of every cell in nats, (cells,), with its standard error; NaN where there is none.

    - ``flag`` (cells,): 0 if nothing is wrong, else a key of the estimator's ``flags``; NaN without an entropy.
    - ``more``: further quantities for the state, each with its value and, if it has one, its error, (cells,).
    - ``notes``: attributes of the state if this is the chosen entropy; ``entropy_reason`` states why a value is NaN.
    - ``draws`` (cells, draws): bootstrap replicates, if the errors of cells are correlated.
    """

    value: np.ndarray
    error: np.ndarray
    flag: np.ndarray | None = None
    more: tuple[tuple[Quantity, np.ndarray, np.ndarray | None], ...] = ()
    notes: Mapping[str, Any] = field(default_factory=dict)
    draws: np.ndarray | None = None

    @classmethod
    def joined(cls, batches: Sequence[Entropy]) -> Entropy:
        """The entropies of batches of cells as one; their notes are those of the first."""

        def column(*arrays: np.ndarray | None) -> Any:
            return None if arrays[0] is None else np.concatenate(arrays)  # type: ignore[arg-type]

        first = batches[0]
        every = zip(*(b.more for b in batches), strict=True)
        more = tuple((m[0][0], column(*(x[1] for x in m)), column(*(x[2] for x in m))) for m in every)
        names = ("value", "error", "flag", "draws")
        return replace(first, more=more, **{n: column(*(getattr(b, n) for b in batches)) for n in names})


@dataclass(frozen=True)
class Estimator(ABC):
    """Base of all estimators; derive a frozen dataclass from it, whose fields are the settings of the estimator.

    Class attributes:

    - ``name``, an identifier; ``long_name`` and ``symbol`` of the quantity;
    - ``needs``, the variables without which a trace is refused, with ``advice`` on how to record them;
    - ``too_few``, what cells without a value lack, and what to do; ``flags``, the meanings of the values of a flag;
    - ``automatic``, whether it is in every state whose trace has what it needs;
    - ``independent``, whether it can test a Gibbs state, since it assumes neither that nor independent samples;
    - ``of_single_cells``, whether the entropy of a cell follows from this cell alone, so that ``estimate`` may be
    called
      with some of the cells;
    - ``as_one_vector``, whether it is of the direction of all weights together. The radius then adds (d − 1) ln r of
    all
      weights; otherwise each group adds (d_i − 1) ln r_i.
    """

    name: ClassVar[str] = ""
    long_name: ClassVar[str] = ""
    symbol: ClassVar[str] = "S(w̄)"
    needs: ClassVar[tuple[str, ...]] = ()
    advice: ClassVar[str] = ""
    too_few: ClassVar[str] = "have no entropy by this method"
    flags: ClassVar[Mapping[int, str]] = {0: ""}
    automatic: ClassVar[bool] = True
    independent: ClassVar[bool] = True
    of_single_cells: ClassVar[bool] = False
    as_one_vector: ClassVar[bool] = False

    @abstractmethod
    def estimate(self, trace: xr.Dataset, state: xr.Dataset) -> Entropy:
        """The entropy of every cell of ``trace``.

        ``state`` contains what ``measure`` has computed so far, on ``cell``: ``burn_in`` and ``samples_kept``,
        ``correlation`` (integrated, of the energy, in samples), ``status``, and energies, temperatures and radii with
        their errors.
        """

    @property
    def quantity(self) -> Quantity:
        """The record of ``entropy_<name>``."""
        long_name = self.long_name or f"entropy of the direction by {self.name.replace('_', ' ')}"
        return Quantity(f"entropy_{self.name}", long_name, self.symbol, units="nat", dims=(), method="mean")

    def possible(self, trace: xr.Dataset) -> bool:
        """Whether the trace contains what is needed."""
        return all(name in trace for name in self.needs)

    def check(self, trace: xr.Dataset) -> None:
        """TraceError if the trace lacks what is needed."""
        if missing := [name for name in self.needs if name not in trace]:
            raise TraceError(
                f"entropy: expected a trace with {', '.join(missing)} for {self.name}, got none. {self.advice}".strip()
            )


class FromDirections(Estimator):
    """Base of the estimators that need only stored directions."""

    needs = ("directions",)
    advice = "Run with snapshots=1000."

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.too_few = f"have too few stored directions for {cls.name}; add snapshots"
