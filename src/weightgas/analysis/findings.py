"""The analyses of a run and its state, each computed once, when it is first used."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Self, TypeVar, overload

import numpy as np
import xarray as xr

from weightgas import notebook
from weightgas import trace as traces
from weightgas.analysis import cells, curves, levels
from weightgas.analysis.bands import Bands, bands
from weightgas.analysis.checks import Check, Level, Verdict
from weightgas.analysis.clausius import Clausius, clausius
from weightgas.analysis.configurational import Configurational, configurational
from weightgas.analysis.equation_of_state import radius_law, state_equation
from weightgas.analysis.equations import equations
from weightgas.analysis.fluctuation import Fluctuation, Isotherms, collect, fluctuation_response
from weightgas.analysis.gibbs import GibbsSlope, gibbs_slope
from weightgas.analysis.isotherms import Scatter, consistency
from weightgas.analysis.layers import layer_gases, over_cells
from weightgas.analysis.maxwell import QuadraticFit, Slope, quadratic_fit, slopes
from weightgas.analysis.potentials import minima
from weightgas.analysis.reasons import reasons
from weightgas.analysis.scores import Score, model_scores
from weightgas.analysis.smoothing import Smoothing, smoothings
from weightgas.errors import TraceError, typed
from weightgas.measurement import measure
from weightgas.protocols import PROTOCOLS
from weightgas.status import Status

_T = TypeVar("_T")


class _once(cached_property[_T]):
    """An analysis that is computed once, in the context of :func:`weightgas.trace.used_for`."""

    @overload
    def __get__(self, instance: None, owner: type[Any] | None = None) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type[Any] | None = None) -> _T: ...
    def __get__(self, instance: object | None, owner: type[Any] | None = None) -> Self | _T:
        """The result; TraceError if the trace or the state lacks a variable that it needs."""
        with traces.used_for(str(self.attrname)):
            return super().__get__(instance, owner)


class Findings:
    """The analyses of one run, each computed when it is first used and then cached.

    Parameters
    ----------
    trace
        From ``simulate``, ``train`` or ``open_trace``. None if there is only a state: then analyses that need the trace
        (``gibbs_slope``, ``bands``, ``reasons``, ``layers``, ``verdict``) raise TypeError.
    state
        The result of ``measure``; by default the trace is measured here.
    title
        The heading of the verdict; by default the protocol and the loss or network.
    cost
        For a trained network, the result of :func:`~weightgas.analysis.virial.virial` for these cells: U − L(mean
        weights), for the equation of state of the energy.

    Raises
    ------
    TypeError
        If ``trace`` is not a trace or ``state`` not a state, or if an attribute is set: findings are constant.
    TraceError
        If the state was not measured from this trace, ``cost`` is of other cells, or a required variable is missing.
    """

    trace: xr.Dataset | None
    state: xr.Dataset
    title: str
    cost: xr.Dataset | None

    @typed
    def __init__(
        self,
        trace: xr.Dataset | None = None,
        state: xr.Dataset | None = None,
        *,
        title: str = "",
        cost: xr.Dataset | None = None,
    ) -> None:
        if trace is None and state is None:
            raise TypeError("trace: expected a trace or a state, got neither. Pass Findings(trace) or (trace, state).")
        if trace is not None:
            _expect("trace", trace, "a trace", "Pass the result of simulate(), train() or open_trace().")
        if state is None:
            state = measure(trace)  # type: ignore[arg-type]
        else:
            _expect("state", state, "a state", "Pass the result of measure(trace).")
            if trace is None:
                traces.check_state(state)
            else:
                traces.digest.check_pair(trace, state)
        if cost is not None and not (
            {"cost", "cost_err", "cell_id"} <= set(cost.variables) and cost["cell_id"].equals(state["cell_id"])
        ):
            raise TraceError(
                "cost: expected U − L(m) of the cells of this state, got other data. Pass virial(state, means)."
            )
        self.__dict__.update(trace=trace, state=state, title=title or _title(state), cost=cost)

    def __setattr__(self, name: str, value: Any) -> None:
        """Refuse, since findings are constant."""
        raise TypeError(f"{name}: expected Findings to be constant, got a new value. Make another Findings.")

    def __repr__(self) -> str:
        """The title and the number of cells."""
        return f"Findings({self.title}, {self.state.sizes['cell']} cells)"

    def _repr_html_(self) -> str:
        """In a notebook: the cells of the state, with errors and statuses, and advice."""
        heads, rows = cells.listed(self.state)
        statuses = {Status(int(s)) for s in self.state["status"].values} - {Status.EQUILIBRIUM}
        return notebook.table(heads, rows, self.title, "\n".join(f"{s.words}: {s.advice}" for s in sorted(statuses)))

    @property
    def traced(self) -> xr.Dataset:
        """The trace; TypeError if there is only a state."""
        if self.trace is None:
            raise TypeError("trace: expected the trace with its state, got none. Pass Findings(trace, state).")
        return self.trace

    @property
    def protocol(self) -> str:
        """The name of the protocol."""
        return str(self.state.attrs["protocol"])

    @_once
    def settled(self) -> np.ndarray:
        """Boolean (cells,): the cells in equilibrium."""
        return cells.in_equilibrium(self.state)

    @_once
    def is_model(self) -> bool:
        """Whether the run is the isotropic noise model, whose closed form is known."""
        return curves.is_paper_model(self.state)

    @_once
    def isotherms(self) -> Isotherms:
        """Averages over the cells of each temperature."""
        return collect(self.state)

    @_once
    def consistency(self) -> dict[str, Scatter]:
        """Whether the cells of one temperature agree, level 1 (:mod:`~weightgas.analysis.isotherms`)."""
        return consistency(self.state)

    @_once
    def radius_law(self) -> xr.Dataset:
        """Measured radius over its predictions, level 2 (:func:`~weightgas.analysis.equation_of_state.radius_law`)."""
        return radius_law(self.state)

    @_once
    def state_equation(self) -> xr.Dataset:
        """Z over (1 + SNR)/(1 − ηλ/2), level 2 (:func:`~weightgas.analysis.equation_of_state.state_equation`)."""
        return state_equation(self.state)

    @_once
    def slopes(self) -> tuple[Slope, ...]:
        """Mean slopes of the entropy with the Maxwell relations, level 2 (:mod:`~weightgas.analysis.maxwell`)."""
        return slopes(self.state)

    @_once
    def quadratic_fit(self) -> QuadraticFit | None:
        """The published smoothing of the entropy; None if impossible (:func:`~weightgas.analysis.maxwell.lacking`)."""
        return quadratic_fit(self.state)

    @_once
    def smoothings(self) -> dict[str, Smoothing]:
        """The published analysis of S by each estimator (:mod:`~weightgas.analysis.smoothing`)."""
        return smoothings(self.state)

    @_once
    def temperature_law(self) -> xr.Dataset:
        """Temperature at fixed LR from the noise of the cell (:func:`~weightgas.analysis.curves.temperature_law`)."""
        return curves.temperature_law(self.state)

    @_once
    def minima(self) -> xr.Dataset:
        """The minimum of the potential of every cell (:mod:`~weightgas.analysis.potentials`)."""
        return minima(self.state)

    @_once
    def scores(self) -> tuple[Score, ...]:
        """r, U and S against the closed form (:mod:`~weightgas.analysis.scores`); empty except for the model."""
        return model_scores(self.state) if self.is_model else ()

    @_once
    def configurational(self) -> Configurational:
        """T_conf/T, level 3 (:mod:`~weightgas.analysis.configurational`)."""
        return configurational(self.state)

    @_once
    def fluctuation(self) -> Fluctuation:
        """(Var U/T²)/(dU/dT), level 3 (:mod:`~weightgas.analysis.fluctuation`)."""
        return fluctuation_response(self.state, isotherms=self.isotherms)

    @_once
    def gibbs_slope(self) -> GibbsSlope:
        """Slope of ln P₂(U)/P₁(U), level 3 (:mod:`~weightgas.analysis.gibbs`)."""
        return gibbs_slope(self.traced, self.state, isotherms=self.isotherms)

    @_once
    def clausius(self) -> tuple[Clausius, ...]:
        """∫dU/T over ΔS by every independent entropy, level 3 (:mod:`~weightgas.analysis.clausius`)."""
        return clausius(self.state, isotherms=self.isotherms)

    @_once
    def bands(self) -> Bands:
        """d ln E_b/d ln T of the bands of the directions, hypothesis B (:mod:`~weightgas.analysis.bands`)."""
        return bands(self.traced, self.state)

    @_once
    def equations(self) -> tuple[Check, ...]:
        """The checks of the equations of state, hypothesis A (:mod:`~weightgas.analysis.equations`)."""
        return equations(self.state, self.isotherms, self.fluctuation, self.clausius, self.cost)

    @_once
    def reasons(self) -> xr.Dataset:
        """The reasons why the gas is not ideal, as numbers (:mod:`~weightgas.analysis.reasons`)."""
        return reasons(self.traced, self.state)

    @_once
    def layers(self) -> xr.Dataset:
        """The gases of the layers, means over the cells in equilibrium (:mod:`~weightgas.analysis.layers`)."""
        return over_cells(layer_gases(self.traced, self.state), self.state)

    @_once
    def verdict(self) -> Verdict:
        """The verdict; its levels 2 and 3 have no checks if nothing is stationary."""
        one = levels.stationary(self.state, self.consistency)
        if one.answer == "no":
            two, three = (Level(n, levels.QUESTIONS[n - 1], "undecided") for n in (2, 3))
        else:
            two = levels.consistency(self.state, self.state_equation, self.radius_law, self.slopes)
            tests = (self.configurational, self.fluctuation, self.gibbs_slope, self.clausius)
            three = levels.diagnostics(self.state, self.equations, self.bands, *tests)
        return Verdict(self.title, (one, two, three))


def findings(run: Any, state: xr.Dataset | None = None, *, title: str = "") -> Findings:
    """``run`` as Findings: from a trace (and its state, measured if not given), or unchanged if it is Findings."""
    if isinstance(run, Findings):
        if state is not None and state is not run.state:
            raise TypeError("state: expected none with Findings, which have a state, got another. Pass Findings alone.")
        return run
    return Findings(run, state, title=title)


@typed
def verdict(run: xr.Dataset | Findings, state: xr.Dataset | None = None, *, title: str = "") -> Verdict:
    """Judge a run in three levels: stationarity, identities, hypotheses on the ideal gas.

    Parameters
    ----------
    run
        A trace from ``simulate``, ``train`` or ``open_trace``, or the :class:`Findings` of one.
    state
        The result of ``measure``; by default the trace is measured here.
    title
        The heading of the verdict; by default the protocol and the loss or network.

    Raises
    ------
    TypeError, TraceError
        If ``run`` is not a trace, or the state was not measured from it.
    """
    return findings(run, state, title=title).verdict


def described(value: Any) -> str:
    """The kind of a value: a trace, a state, one unstacked by ``grid``, or its type."""
    if not isinstance(value, xr.Dataset):
        return f"a {type(value).__name__}"
    if "cell" not in value.dims:
        over = ", ".join(str(d) for d in value.dims)
        return f"a dataset over ({over}) without the dimension cell" + (", as grid() makes it" if over else "")
    if {"outcome", "step", "energy"} <= set(value.variables):
        return "a trace"
    return "a state" if {"status", "energy"} <= set(value.variables) else "a dataset that is neither state nor trace"


def _expect(name: str, value: Any, kind: str, fix: str) -> None:
    if described(value) != kind:
        raise TypeError(f"{name}: expected {kind}, got {described(value)}. {fix}")


def _title(state: xr.Dataset) -> str:
    """The protocol and the loss or network."""
    about = state.attrs
    what = about.get("network") or f"{about.get('loss', '')} loss, {about.get('noise', '')} noise"
    return f"{PROTOCOLS[about['protocol']].title}, {what}, d = {about['dim']}"
