"""Everything that is recorded and measured: one record per quantity, for traces, states, figures, tables and glossary.

:data:`RECORDED` is the trace contract, along samples. :data:`DERIVED` is what ``measure`` and the analyses compute from
a trace, one value per cell. A custom quantity is another :class:`Quantity`; if it has a function of the weights, every
producer records it (``Record(quantities=...)``). Its record is kept in the attributes of its variable alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from weightgas.errors import check_fields, one_of, refuse, typed

ALONG = ("replica", "sample")
GROUPS = ("replica", "sample", "group")
MATRIX = "matrix"
"""Value of the attribute ``mobility`` where it is no number: temperature and pressure then do not apply."""
METHODS, AVERAGES = ("point", "mean", "root_mean_square", "sum"), ("mean", "root_mean_square", "none")


@dataclass(frozen=True)
class Quantity:
    """One quantity: its names, units and dimensions, and how it is averaged.

    Parameters
    ----------
    name, long_name, symbol, latex
        Name of the variable in a trace or state; name in words; symbol; symbol in LaTeX, without dollar signs.
    units
        ``"1"`` (dimensionless), ``"nat"``, ``"step"`` or others.
    dims
        Dimensions after ``cell``: ``("replica", "sample")`` and, for a quantity that is an array, one more.
    method
        CF cell method along samples: the value at the sample's step (``"point"``), or the mean, root mean square or sum
        over the steps since the previous sample. In a state: ``"point"`` if it derives from such values alone.
    dtype
        Type in which it is stored.
    low, high, positive
        The range of its values, ends included, None for no limit; ``positive``: above 0. NaN is in every range.
    label, equation
        The short name on axes and table heads (default: ``long_name``); its definition, for the glossary.
    average
        What ``measure`` takes of the samples x of a custom quantity: ``"mean"``, ``"root_mean_square"`` or ``"none"``.
    measure
        For a custom quantity: ``measure(weights)`` returns its value, a number (or an array along the dimension after
        ``sample``). Its argument is a copy of the scale-invariant weights of one run, a float64 array of shape (dim,).

    Raises
    ------
    TypeError, ValueError
        If the name is not an identifier, a method or average is unknown, or ``measure`` is not callable.
    """

    name: str
    long_name: str = ""
    symbol: str = ""
    latex: str = ""
    units: str = "1"
    dims: tuple[str, ...] = ALONG
    method: str = "point"
    dtype: str = "float64"
    low: float | None = None
    high: float | None = None
    positive: bool = False
    label: str = ""
    equation: str = ""
    average: str = "mean"
    measure: Callable[[Any], Any] | None = None

    def __post_init__(self) -> None:
        if not (isinstance(self.name, str) and self.name.isidentifier()):
            raise refuse("name of a quantity", "a Python identifier", self.name, 'For instance "sharpness".')
        one_of(f"method of {self.name}", self.method, METHODS)
        one_of(f"average of {self.name}", self.average, AVERAGES)
        if self.measure is not None and not callable(self.measure):
            kind = type(self.measure).__name__
            raise TypeError(f"measure of {self.name}: expected a function of the weights, got {kind}. Pass a function.")
        check_fields(self)
        if not self.long_name:
            object.__setattr__(self, "long_name", self.name.replace("_", " "))

    @property
    def head(self) -> str:
        """Head of a column: the symbol, or the label if there is none."""
        return self.symbol or self.label or self.long_name

    @property
    def axis(self) -> str:
        """Label of an axis: label, symbol in LaTeX, and the units if there are any."""
        symbol = f" ${self.latex}$" if self.latex else f" {self.symbol}" if self.symbol else ""
        units = {"1": "", "step": "", "nat": " (nats)"}.get(self.units, f" ({self.units})")
        return (self.label or self.long_name) + symbol + units

    def outside(self, values: Any) -> Iterator[tuple[Any, str]]:
        """For each limit of the range, which entries of an array violate it, and the expected range in words."""
        if self.positive:
            yield values <= 0, "numbers above 0"
        if self.low is not None:
            yield values < self.low, f"numbers of at least {self.low:g}"
        if self.high is not None:
            yield values > self.high, f"numbers of at most {self.high:g}"

    @property
    def attributes(self) -> dict[str, Any]:
        """The attributes of a variable of this quantity."""
        return {"units": self.units, "long_name": self.long_name, "symbol": self.symbol}

    def variable(self, values: Any, method: str | None = None) -> tuple[tuple[str, ...], Any, dict[str, Any]]:
        """``values`` of shape ``(cells, *dims)`` as a variable: ``trace.assign({q.name: q.variable(x)})``.

        Pass ``method`` if the values have another CF cell method than that of the record. The attribute ``average`` of
        a custom quantity makes ``measure`` average it.
        """
        notes = self.attributes
        if "sample" in self.dims:
            notes["cell_methods"] = f"sample: {method or self.method}"
        if self.name not in RECORDED:
            notes["average"] = self.average
        return ("cell", *self.dims), values, notes

    @classmethod
    def described(cls, name: str, dims: Iterable[Any], attributes: Mapping[Any, Any]) -> Quantity | None:
        """The custom quantity of a stored variable with these dimensions and attributes; None if it is not one."""
        if "average" not in attributes:
            return None
        notes: dict[str, Any] = {
            k: str(attributes[k]) for k in ("long_name", "symbol", "units", "average") if k in attributes
        }
        method = str(attributes.get("cell_methods", "sample: point")).removeprefix("sample: ")
        return cls(name, dims=tuple(map(str, dims))[1:], method=method, **notes)

    def estimated(
        self, value: Any, error: Any = None, *, over: tuple[str, ...] = ("cell",)
    ) -> dict[str, tuple[tuple[str, ...], Any, dict[str, Any]]]:
        """Variables of a state: ``value`` for every cell (or along ``over``) and, if there is one, ``error``."""
        dims = (*over, *(d for d in self.dims if d not in ALONG))
        found = {self.name: (dims, value, self.attributes)}
        if error is not None:
            notes = {"long_name": f"standard error of {self.long_name}", "units": self.units}
            found[f"{self.name}_err"] = (dims, error, notes)
        return found


def _table(*quantities: Quantity) -> dict[str, Quantity]:
    return {q.name: q for q in quantities}


_Q = Quantity
_MEAN: dict[str, Any] = {"method": "mean"}
_MOMENT: dict[str, Any] = {"method": "mean", "low": 0.0}
_COUNT: dict[str, Any] = {"dtype": "int64", "low": 0, "high": 2**53}
_ABOVE_0: dict[str, Any] = {"positive": True}
_CELL, _BINS = ("replica",), ("replica", "block", "bin")

RECORDED: dict[str, Quantity] = _table(
    _Q("step", "step", "t", "t", "step", ("sample",), **_COUNT),
    _Q("samples", "number of valid samples", dims=_CELL, **_COUNT),
    _Q("radius", "norm of the weights", "r", "r", label="radius", **_ABOVE_0),
    _Q("radius_unprojected", "norm before the projection on the sphere", "‖w₊‖", method=METHODS[2], **_ABOVE_0),
    _Q("energy", "loss at the weights", "L", "L"),
    _Q("energy_mean", "loss averaged over every step since the last sample", "L", "L", **_MEAN),
    _Q("batch_energy", "loss of the batches of every step since the last sample, mean", "L", "L", **_MEAN),
    _Q("energy_sq_mean", "squared loss averaged over every step since the last sample", "L²", "L^2", **_MOMENT),
    _Q("grad_sq", "second moment of the mini-batch gradient on the unit sphere", "G", "G", **_MOMENT),
    _Q("buffer_sq", "second moment of the momentum buffer on the unit sphere", "r²‖b‖²", **_MOMENT),
    _Q("noise_trace", "trace of the gradient noise covariance on the unit sphere", "tr Σ"),
    _Q("mean_grad_sq", "squared norm of the mean gradient on the unit sphere, unbiased", "‖∇L‖²"),
    _Q("laplacian", "Laplacian of the loss on the unit sphere", "ΔL"),
    _Q("laplacian_far", "Laplacian of the loss from gradients at the larger displacement", "ΔL"),
    _Q("grad_curvature", "Hessian along the mean gradient, on the unit sphere", "∇L·H∇L", **_MEAN),
    _Q("noise_curvature", "trace of Hessian times noise covariance, on the unit sphere", "tr HΣ"),
    _Q("noise_trace_sq", "square of the noise trace, unbiased", "(tr Σ)²"),
    _Q("noise_cov_sq", "trace of the squared noise covariance, unbiased", "tr Σ²"),
    _Q("overlap", "overlap with the direction of the linear loss", "z", "z"),
    _Q("group_radius", "norm of the weights of a group", "rᵢ", dims=GROUPS, low=0.0),
    _Q("group_grad_sq", "second moment of the gradient of a group, on its unit sphere", "Gᵢ", dims=GROUPS, **_MOMENT),
    _Q("group_buffer_sq", "second moment of the momentum buffer of a group", "rᵢ²‖bᵢ‖²", dims=GROUPS, **_MOMENT),
    _Q("group_noise_trace", "noise trace of a group, on its unit sphere", "tr Σᵢ", dims=GROUPS),
    _Q("group_mean_grad_sq", "squared mean gradient of a group, on its unit sphere, unbiased", "‖∇ᵢL‖²", dims=GROUPS),
    _Q("group_laplacian", "Laplacian of the loss over a group, on its unit sphere", "ΔᵢL", dims=GROUPS),
    _Q("group_laplacian_far", "Laplacian over a group from gradients at the larger displacement", "ΔᵢL", dims=GROUPS),
    _Q("group_noise_trace_sq", "square of the noise trace of a group, unbiased", "(tr Σᵢ)²", dims=GROUPS),
    _Q("group_noise_cov_sq", "trace of the squared noise covariance of a group, unbiased", "tr Σᵢ²", dims=GROUPS),
    _Q("angle", "angle between the weights before and after a step, in radians", "∠", low=0.0),
    _Q("decay", "share of weight decay in r₊² − r² of a step", "Δ_λ"),
    _Q("alignment", "share of the update along the weights in r₊² − r² of a step", "Δ_wu"),
    _Q("update", "squared length of the update of a step", "Δ_u²"),
    _Q("closure", "remainder of r₊² − r² after decay, alignment term and update term", "ε"),
    _Q("lr", "learning rate as set", "η", r"\eta", label="LR", low=0.0),
    _Q("elr", "effective learning rate since the last sample, where a protocol steers it", "ηₑ", **_MOMENT),
    _Q("wd", "weight decay as set", "λ", r"\lambda", label="WD", low=0.0),
    _Q("group_radius_star", "stationary norm of a group, from the budget of its r²", "r*ᵢ", dims=GROUPS, low=0.0),
    _Q("group_angle", "angle between a group before and after a step, in radians", "∠ᵢ", dims=GROUPS, low=0.0),
    _Q("group_decay", "share of weight decay in the step of a group's r²", "Δ_λ,i", dims=GROUPS),
    _Q("group_alignment", "share of the update along a group's weights in its r²", "Δ_wu,i", dims=GROUPS),
    _Q("group_update", "squared length of a group's update", "Δ_u²,i", dims=GROUPS),
    _Q("group_closure", "remainder of r₊² − r² of a group after the other terms", "εᵢ", dims=GROUPS),
    _Q("overlap_counts", "visits to bins of logit((1+z)/2)", "n", dims=_BINS, method="sum", **_COUNT),
    _Q("overlap_origin", "left edge of the first bin", dims=()),
    _Q("overlap_width", "width of the bins", dims=(), **_ABOVE_0),
    _Q("directions", "stored directions of the weights", "w̄", dims=("replica", "snapshot", "weight"), dtype="float32"),
    _Q("snapshot_step", "step of a stored direction", "t", units="step", dims=("snapshot",), **_COUNT),
    _Q("window_mean", "mean weights of a window", "m", dims=("replica", "window", "weight")),
    _Q("window_end", "weights at the ends of the windows", "w", dims=("replica", "edge", "weight"), dtype="float32"),
    _Q("window_step", "step at an end of a window", "t", units="step", dims=("edge",), **_COUNT),
    _Q("final_weights", "weights at the last step", "w", dims=("replica", "weight")),
    _Q("final_stream", "state of the random stream at the last step", dims=("replica", "word"), dtype="uint64"),
    _Q("final_velocity", "momentum buffer at the last step", "v", dims=("replica", "weight")),
    _Q("final_buffers", "buffers of the optimizer at the last step", dims=("replica", "buffer", "weight")),
    _Q("failed_step", "step at which a number was not finite", "t", units="step", dims=_CELL, dtype="int64"),
    _Q("failed_cause", "what was not finite", dims=_CELL, dtype="int8"),
    _Q("outcome", "how the run of a cell ended", dims=_CELL, dtype="int8"),
    _Q("known", "whether all errors of a cell reached their targets", dims=(), dtype="int8", low=0, high=1),
)  # fmt: skip
"""Every built-in variable that a trace may have; ``radius, energy, grad_sq, samples, step, outcome`` are in each."""

OF_NOISE = ("noise_trace", "mean_grad_sq", "noise_trace_sq", "noise_cov_sq", "laplacian", "laplacian_far")
OF_NOISE += ("noise_curvature", *(f"group_{name}" for name in OF_NOISE))
"""Variables from extra gradients: NaN except at multiples of the attribute ``noise_every`` of a trace that has it."""


def _cell(name: str, long_name: str, symbol: str = "", latex: str = "", **more: Any) -> Quantity:
    """A quantity with one value per cell."""
    return Quantity(name, long_name, symbol, latex, **{"dims": (), "method": "mean", **more})


def _nats(name: str, long_name: str, symbol: str = "", latex: str = "", **more: Any) -> Quantity:
    return _cell(name, long_name, symbol, latex, units="nat", **more)


_OF_GROUP: dict[str, Any] = {"dims": ("group",)}
_POINT: dict[str, Any] = {"method": "point"}
_TR_SIGMA = r"\mathrm{tr}\,\Sigma"

DERIVED: dict[str, Quantity] = _table(
    # the state
    _cell("temperature", "temperature", "T", "T", equation="ηₑσ²/2"),
    _cell("pressure", "pressure", "p", "p", equation="λ, on the sphere ηₑG/(2r²)"),
    _cell("volume", "volume", "V", "V", equation="r²/2", low=0.0, **_POINT),
    _cell("energy", "energy", "U", "U", equation="⟨L⟩"),
    _nats("entropy", "entropy of the weights", "S", "S", label="entropy", equation="S(w̄) + Σ(dᵢ−1)⟨ln rᵢ⟩"),
    _nats("entropy_direction", "entropy of the direction", "S(w̄)", r"S(\bar{w})", label="direction entropy"),
    _cell("compressibility", "compressibility factor, 1 for an ideal gas", "Z", "Z", equation="pV/(RT)"),
    _cell("helmholtz", "Helmholtz potential", "F", "F", equation="U − TS"),
    _cell("gibbs", "Gibbs potential", "𝒢", r"\mathcal{G}", equation="U − TS + pV"),
    _cell("energy_variance", "variance of the energy", "Var U", r"\mathrm{Var}\,U"),
    _cell("grad_sq", "second moment of the gradient on the unit sphere", "G", "G", equation="tr Σ + ‖∇L‖²", low=0.0),
    _cell("noise_trace", "trace of the noise covariance on the unit sphere", "tr Σ", _TR_SIGMA, label="noise trace"),
    _cell("noise_var", "noise variance", "σ²", r"\sigma^2", equation="tr Σ/(d−1)"),
    _cell("mean_grad_sq", "squared mean gradient on the unit sphere", "‖∇L‖²"),
    _cell("signal_to_noise", "signal-to-noise ratio", "‖∇L‖²/tr Σ"),
    _cell("noise_dim", "effective rank of the noise covariance", "d_eff", equation="(tr Σ)²/tr Σ²"),
    _cell("noise_dim_group", "effective rank of the noise covariance of a group", "d_eff,i", **_OF_GROUP),
    _cell("step_curvature", "curvature that the noise sees", "κ", r"\kappa", equation="tr(HΣ)/tr Σ"),
    _cell("laplacian", "Laplacian of the loss on the unit sphere", "ΔL"),
    _cell("elr", "effective learning rate", "ηₑ", r"\eta_e", label="ELR", equation="η/r²", **_POINT),
    _cell("temperature_virial", "virial temperature", "T_v", **_POINT),
    _cell("temperature_group", "temperature of a group", "T_i", **_OF_GROUP),
    _cell("temperature_virial_group", "virial temperature of a group", "T_v,i", **_OF_GROUP),
    _cell("temperature_conf", "configurational temperature", "T_conf", equation="⟨‖∇L‖²⟩/⟨ΔL⟩"),
    _cell("temperature_conf_far", "configurational temperature, Laplacian from the larger displacement", "T_conf"),
    _cell("temperature_conf_corrected", "configurational temperature, corrected for the finite step", "T_conf"),
    _cell("temperature_conf_group", "configurational temperature of a group", "T_conf,i", **_OF_GROUP),
    _cell("conf_ratio", "configurational temperature over that of the noise", "T_conf/T"),
    _cell("conf_ratio_group", "configurational temperature over that of the noise, of a group", "", **_OF_GROUP),
    _cell("radius", "root mean square radius", "r", "r", label="radius", low=0.0, **_POINT),
    _cell("log_radius", "mean logarithm of the radius", "E ln r"),
    _nats("log_radius_entropy", "entropy of the radius, the sum of dof times E ln r over the groups", "S(r)"),
    _cell("pressure_thermal", "pressure of the noise", "p_thermal"),
    _cell("pressure_signal", "pressure of the mean gradient", "p_signal"),
    # stationarity
    _cell("burn_in", "samples dropped at the start", **_COUNT),
    _cell("samples_kept", "samples kept", **_COUNT),
    _cell("ess", "effective sample size of the energy", label="eff. samples", low=0.0),
    _cell("ess_radius", "effective sample size of the radius"),
    _cell("ess_share", "effective sample size of the share of r² with the largest trend"),
    _cell("ess_direction", "effective number of stored directions"),
    _cell("rhat", "split R-hat of the energy"),
    _cell("slow_between", "variance of the energy between replicas over that expected from its fast part"),
    _cell("slow_lowest", "power of the energy at the two lowest frequencies over that expected from its fast part"),
    _cell("slow_z", "slow part of the energy in standard errors"),
    _cell("correlation", "integrated correlation time of the energy in samples"),
    _cell("correlation_radius", "integrated correlation time of the radius in samples"),
    _cell("relaxations", "recorded steps in predicted relaxation times of the radius"),
    _cell("share_relaxations", "recorded steps in predicted relaxation times of the shares of r²"),
    _cell("energy_relaxations", "recorded steps in predicted relaxation times of the energy"),
    _cell("turns", "recorded steps in predicted decay times of the direction in pure noise"),
    _cell("radius_trend", "change of ln r between the halves"),
    _cell("radius_trend_z", "trend of ln r in standard errors"),
    _cell("energy_trend", "relative change of the energy between the halves"),
    _cell("energy_trend_z", "trend of the energy in standard errors"),
    _cell("share_trend", "relative change between the halves of the share of r² with the largest trend"),
    _cell("share_trend_z", "trend of that share in standard errors, corrected for the number of groups"),
    _cell("noise_trend", "relative change of the noise trace between the halves"),
    # the layers of a network
    _cell("temperature_ratio", "temperature over that of the network", "T_i/T"),
    _cell("pressure_ratio", "pressure, from the gradients, over that of the network", "p_i/p"),
    _cell("heat_share", "share of RT", "R_iT_i/RT"),
    _cell("volume_sum", "sum of V of the parts over that of the network", "ΣV_i/V"),
    _cell("heat_sum", "sum of RT of the parts over that of the network", "ΣR_iT_i/RT"),
    _cell("work_sum", "sum of pV of the parts over that of the network", "Σp_iV_i/pV"),
    # a drive
    _cell("work", "work done on the gas since the start, −Σ p ΔV", "W"),
    _cell("heat", "heat taken in since the start", "Q"),
    _cell("exchanged", "heat over temperature since the start, Σ Q/T", "∫dQ/T"),
    _cell("friction", "work lost to the friction of the radius since the start", "W_f"),
    _cell("entropy_production", "entropy produced since the start", "ΔS − ∫dQ/T"),
    _cell("product", "learning rate × weight decay", "ηλ", r"\eta\lambda", label="LR × WD"),
)  # fmt: skip
"""What is computed: one value per cell, group, layer or sample of a drive; entropies: :mod:`.measurement.entropy`."""

TARGETS = (
    *("energy", "energy_variance", "grad_sq", "mean_grad_sq", "noise_trace", "temperature", "temperature_conf"),
    *("conf_ratio", "pressure", "compressibility", "radius", "volume", "elr", "temperature_virial"),
    *("entropy_direction", "entropy"),
)
"""Quantities that can have a target precision: a standard error relative to the value, for an entropy in nats."""

NOTATION = (
    ("w, d", "weights of the scale-invariant groups, their number", "weights, dim"),
    ("r, w̄", "norm and direction of the weights, w = r w̄", "radius, direction"),
    ("L", "training loss", "loss"),
    ("η, λ", "learning rate; weight decay, coupled as in torch.optim.SGD (gradient + λw)", "lr, wd"),
    ("g̃ = r g", "mini-batch gradient, rescaled to the unit sphere", ""),
    ("Σ, tr Σ", "covariance of g̃, its trace", "noise_trace"),
    ("∇L, ΔL, H", "gradient, Laplacian and Hessian of the loss on the unit sphere", "mean_grad_sq, laplacian"),
    ("R = (d−1)/2", "gas constant: half the degrees of freedom Σ(dᵢ−1)", "dof = 2R"),
    ("z = μᵀw̄", "overlap with the direction of the linear loss", "overlap"),
)
"""Symbols that are not quantities of a state, with their names in code."""


def glossary() -> list[tuple[str, str, str]]:
    """Symbol with its equation, meaning and name in code: the notation, and every quantity that has an equation."""
    defined = [(f"{q.symbol} = {q.equation}", q.long_name, q.name) for q in DERIVED.values() if q.equation]
    return [*NOTATION, *defined]


@typed
def of(name: str) -> Quantity:
    """The record with this name, computed quantities first; for an unknown name, a record with only the name."""
    return DERIVED.get(name) or RECORDED.get(name) or Quantity(name, dims=())


@typed
def in_nats(name: str) -> bool:
    """Whether a quantity is an entropy, which has an absolute target."""
    return of(name).units == "nat"
