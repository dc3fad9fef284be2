"""The balance of a drive: averages over replicas along a path, with entropy production.

W = −∫ p dV, Q = ΔU − W with U = E[L], and S(w) = S(w̄) + (d−1) E[ln r]. For the ideal gas of weights T dS = dU + p dV:
the direction contributes T dS(w̄) = dU, and the radius T (d−1) d ln r = RT dV/V = p dV. Predictions for a path are in
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


@np.errstate(over="ignore")  # squares may overflow just before a replica diverges
def balance(trajectory: xr.Dataset) -> xr.Dataset:
    """Ensemble averages along a drive, each with its standard error over replicas.

    The entropy of the direction is computed from counts of the overlap z over the replicas at one step, for a density
    of any form. The jackknife over groups of replicas corrects its bias,
    and gives its error and that of the entropy production, which contains it. This error is at least √(R/replicas).

    The friction, W − W_in, also contains the effect of fluctuations of the loss on the radius, η_e³RT² per step at
    fixed ELR. The lag compensates this small term, which therefore does not change the total production.

    The production ΔS − ∫dQ/T is exact for infinitesimal steps. Finite steps cause an error of about η_e |ΔS|/2, since
    the states are not exactly Gibbs states. Along a path there and back it cancels: :func:`closed_production`.

    Parameters
    ----------
    trajectory
        The result of :func:`weightgas.drive`.

    Returns
    -------
    xarray.Dataset
        ``temperature, pressure, volume, energy, entropy_direction, entropy, work, heat, exchanged, friction,
        entropy_production`` (sample,), each with its error ``<name>_err``, and the hyperparameters, ``step`` and
        ``leg`` of the trajectory. NaN from the sample at which a replica has diverged, since an average over the others
        would be that of another ensemble.

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
    """Entropy produced over an entire cycle that begins and ends in equilibrium, −⟨∮dQ/T⟩ in nats, with its error.

    Over a cycle ΔS = 0, so no entropy is measured or assumed. The change of L/T + pV/T (pV/(2T) at fixed LR) from start
    to end has mean zero and is most of the noise; it is subtracted for each replica. Along a path there and back, the
    finite-step terms of U and pV cancel too. Around a loop in the plane of T and V they do not: on the sphere
    pV = RT(1 + η_e/2) in a harmonic well leaves −R ∮ (η_e/2) d ln V.

    Parameters
    ----------
    trajectory
        The result of :func:`weightgas.drive` along legs that end where they began.

    Returns
    -------
    tuple of float
        The entropy production in nats, and its standard error over replicas.

    Raises
    ------
    TypeError, TraceError
        If ``trajectory`` is not from ``drive`` or does not end at its first hyperparameters, or if a replica diverged.
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
    """Every protocol of a drive, with a mask of its samples (sample,) and their hyperparameters."""
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
