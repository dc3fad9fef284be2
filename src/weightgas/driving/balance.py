"""The balance of a drive: averages over replicas along a path, and what the quasi-static path would give.

W = −∫ p dV, Q = ΔU − W with U = E[L], and S(w) = S(w̄) + (d−1) E[ln r]: for the ideal gas of weights T dS = dU + p dV,
the direction giving T dS(w̄) = dU, the radius T (d−1) d ln r = RT dV/V = p dV. Theory predicts for a path:
:mod:`.quasi_static`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr

from weightgas import quantities
from weightgas.errors import TraceError
from weightgas.measurement.entropy import density
from weightgas.protocols import AXES, Protocol, named

_GROUPS, _BINS, _BINS_PER_DEVIATION = 20, 64, 3.0

NAMES = (
    *("temperature", "pressure", "volume", "energy", "entropy_direction", "entropy", "work", "heat", "exchanged"),
    *("friction", "entropy_production"),
)
"""Variables (sample) of a balance; each has its standard error ``<name>_err``."""


@np.errstate(over="ignore")  # just before a replica diverges its squares may overflow
def balance(trajectory: xr.Dataset) -> xr.Dataset:
    """Ensemble averages along a drive, each with its standard error over replicas.

    The entropy of the direction is counted: the density of the overlap z over the replicas at one moment, whatever its
    form (:mod:`weightgas.measurement.entropy.density`), its bias taken off and its error by the jackknife over groups
    of replicas, and so is that of the production, of which it is a part. It cannot be known better than √(R/replicas).

    The friction, W − W_in, holds also what fluctuations of the loss do to the radius, η_e³ R T² a step at fixed ELR,
    which the lag gives back: little, and nothing in the entire production.

    A production is ΔS − ∫dQ/T, exact for steps without end: at finite ones it misses about η_e |ΔS|/2, because the
    heat is that of states that are not quite those of Gibbs. There and back it cancels: :func:`closed_production`.

    Parameters
    ----------
    trajectory
        From :func:`weightgas.drive`.

    Returns
    -------
    xarray.Dataset
        The variables of :data:`NAMES` (sample), with the hyperparameters, ``step`` and ``leg`` of the trajectory. NaN
        from the sample on where a replica has diverged: an average over those that are left would be another ensemble.

    Raises
    ------
    TypeError, TraceError
        If ``trajectory`` is not from ``drive``.
    """
    check(trajectory)
    loss, volume = trajectory["energy"].values, trajectory["volume"].values
    variance, dof = float(trajectory.attrs["noise_var"]), int(trajectory.attrs["dof"])
    temperature = _temperature(trajectory, volume, variance)
    work = trajectory["work"].values
    wall = (variance * dof + loss * (2 - loss)) * temperature / (2 * variance * volume)
    each = {
        "temperature": temperature,
        "pressure": np.where(np.isfinite(trajectory["wd"].values), trajectory["wd"].values, wall),
        "volume": volume,
        "energy": loss,
        "work": work,
        "heat": loss - loss[:, :1] - work,
        "exchanged": trajectory["exchanged"].values,
        "friction": work - trajectory["inner_work"].values,
    }
    root = np.sqrt(len(loss))
    found = {name: (x.mean(axis=0), x.std(axis=0, ddof=1) / root) for name, x in each.items()}
    direction, left_out, groups = _direction_entropy(loss, dof + 1)
    radial = dof / 2 * np.log(2 * volume)
    without = {name: _leave_out(x, groups) for name, x in (("radial", radial), ("exchanged", each["exchanged"]))}
    entropy = (direction + radial.mean(axis=0), left_out + without["radial"])
    production = tuple(s - s[..., :1] - x for s, x in zip(entropy, (found["exchanged"][0], without["exchanged"]),
                                                          strict=True))  # fmt: skip
    for name, (value, parts) in {"entropy_direction": (direction, left_out), "entropy": entropy,
                                 "entropy_production": production}.items():  # fmt: skip
        found[name] = (value, _jackknife_error(parts))
    return assemble(trajectory, found)


def closed_production(trajectory: xr.Dataset) -> tuple[float, float]:
    """Entropy produced over an entire cycle that began and ended at rest, in nats, and its standard error.

    −⟨∮dQ/T⟩: over a cycle ΔS = 0, so no entropy is measured and none assumed. The change of L/T + pV/T (pV/(2T) at
    fixed LR) from start to end, of mean zero, is taken off replica by replica: it is most of the noise. Along a path
    there and back, what a finite step adds to U and pV cancels too; round a loop in the plane of T and V it does not:
    on the sphere pV = RT(1 + η_e/2) in a harmonic well leaves −R ∮ (η_e/2) d ln V.

    Raises
    ------
    TypeError, TraceError
        If ``trajectory`` is not from ``drive``, does not end at the hyperparameters it began with, or a replica
        diverged.
    """
    check(trajectory)
    ends = trajectory.isel(sample=[0, -1])
    for axis in AXES:
        first, last = ends[axis].values
        if not np.isclose(first, last, rtol=1e-9, equal_nan=True):
            raise TraceError(
                f"trajectory: expected one that ends where it began, got {axis} from {first:g} to "
                f"{last:g}. Drive there and back: [path, path.stay(), path.reversed(), path.stay(0.0)]."
            )
    loss, volume = ends["energy"].values, ends["volume"].values
    temperature = _temperature(ends, volume, float(trajectory.attrs["noise_var"]))
    wd = ends["wd"].values
    share = np.where(np.isfinite(ends["lr"].values), 0.5, 1.0)
    boundary = loss / temperature + np.where(np.isfinite(wd), share * wd * volume / temperature, 0.0)
    produced = boundary[:, 1] - boundary[:, 0] - trajectory["exchanged"].values[:, -1]
    if not np.isfinite(produced).all():
        raise TraceError("trajectory: expected every replica to finish, got diverged ones. Lower the learning rate.")
    return float(produced.mean()), float(produced.std(ddof=1) / np.sqrt(len(produced)))


def check(trajectory: xr.Dataset) -> None:
    """TypeError or TraceError unless ``trajectory`` is the result of a drive."""
    if not isinstance(trajectory, xr.Dataset):
        raise TypeError(f"trajectory: expected the result of drive(), got {type(trajectory).__name__}.")
    if trajectory.attrs.get("producer") != "drive":
        raise TraceError("trajectory: expected the result of drive(), got another dataset. A trace is for measure().")


def legs(trajectory: xr.Dataset) -> Iterator[tuple[type[Protocol], np.ndarray, dict[str, np.ndarray]]]:
    """Every protocol of a drive, the samples made under it (sample,) and the hyperparameters there."""
    of_leg = np.array([str(name) for name in np.atleast_1d(trajectory.attrs["protocols"])])
    for name in dict.fromkeys(of_leg.tolist()):
        here, kind = of_leg[trajectory["leg"].values] == name, named(name)
        yield kind, here, {axis: trajectory[axis].values[here] for axis in kind.axes}


def _temperature(trajectory: xr.Dataset, volume: np.ndarray, variance: float) -> np.ndarray:
    """T = η_e σ²/2, (replica, sample)."""
    elr = np.empty_like(volume)
    for kind, here, at in legs(trajectory):
        elr[:, here] = kind.effective_rate(at, 2 * volume[:, here])
    return np.where(np.isfinite(volume), elr * variance / 2, np.nan)


def _direction_entropy(loss: np.ndarray, dim: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """S(w̄) (sample,), with each group of replicas excluded (groups, sample), and the group of each replica."""
    replicas, samples = loss.shape
    groups = np.arange(replicas) % min(_GROUPS, replicas)
    count = int(groups.max()) + 1
    value, left_out = np.full(samples, np.nan), np.full((count, samples), np.nan)
    for sample in np.flatnonzero(np.isfinite(loss).all(axis=0)):
        with np.errstate(divide="ignore"):
            logit = np.clip(np.log(loss[:, sample]) - np.log(2 - loss[:, sample]), -70.0, 70.0)
        width = max(float(logit.std()) / _BINS_PER_DEVIATION, 1e-12)
        origin = float(logit.mean()) - width * _BINS / 2
        index = np.clip(((logit - origin) / width).astype(int), 0, _BINS - 1)
        counts = np.zeros((count, _BINS))
        np.add.at(counts, (groups, index), 1.0)
        whole = counts.sum(axis=0)
        some = np.concatenate([whole[None], whole - counts])
        entropies = density.entropy(some[None], np.array([origin]), np.array([width]), dim)[0]
        value[sample] = count * entropies[0] - (count - 1) * entropies[1:].mean()
        left_out[:, sample] = entropies[1:]
    return value, left_out, groups


def _leave_out(x: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Means of (replica, sample) with each group excluded, (groups, sample)."""
    return np.array([x[groups != group].mean(axis=0) for group in range(groups.max() + 1)])


def _jackknife_error(left_out: np.ndarray) -> np.ndarray:
    n = len(left_out)
    return np.sqrt((n - 1) * left_out.var(axis=0))


def assemble(trajectory: xr.Dataset, found: dict[str, tuple[np.ndarray, np.ndarray]]) -> xr.Dataset:
    """The dataset of a balance from values and errors (sample,) by name."""
    variables = {}
    for name in NAMES:
        variables |= quantities.of(name).estimated(*found[name], over=("sample",))
    rates = {axis: trajectory[axis] for axis in AXES}
    return xr.Dataset({**variables, **rates}, trajectory.coords, trajectory.attrs)
