"""Tampered traces and states: each is refused in one sentence by this library, or accepted with a sane result.

A case is a small real trace, or its state, of which one thing was changed: a variable, an attribute, a dimension. It is
given to the public functions that take it. Anything but a refusal or a sane result is a bug: an error of NumPy or
xarray, a warning, a number that cannot be. ``python test_tampered_traces.py 1400 0`` prints the counts.
"""

from __future__ import annotations

import json
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from matplotlib import pyplot

import weightgas as wg
from weightgas import figures
from weightgas.analysis import Verdict
from weightgas.errors import is_refusal
from weightgas.report import tables as tabulate
from weightgas.report.chapters import section
from weightgas.status import Status

# --- what is tampered with ---


def _simulated(protocol: Any, **record: Any) -> xr.Dataset:
    options: dict[str, Any] = {"replicas": 2} if protocol.name == "fixed_lr" else {}
    record = {"samples": 32, "blocks": 8, "bins": 64, **record}
    return wg.simulate(protocol, 3, 3200, record=wg.Record(**record), run=wg.Run(threads=1, progress=False), **options)


def _custom() -> xr.Dataset:
    peak = wg.Quantity("peak", measure=lambda w: float(np.abs(w).max()))
    pair = wg.Quantity("pair", dims=("replica", "sample", "axis"), measure=lambda w: w[:2], average="root_mean_square")
    return _simulated(wg.FixedELR([0.01, 0.02], [0.1]), quantities=[peak, pair])


def _to_precision() -> xr.Dataset:
    run = wg.Run(threads=1, progress=False)
    until = wg.Until({"energy": 0.2}, most_steps=6400)
    return wg.simulate(wg.FixedELR([0.05, 0.1], 0.1), 3, 3200, until=until, record=wg.Record(samples=32), run=run)


def _trained() -> xr.Dataset:
    return wg.train(
        wg.FixedLR([0.1, 0.3], [0.01, 0.1]),
        wg.networks.mlp(hidden=(3,)),
        wg.datasets.digits(),
        steps=192,
        batch_size=16,
        record=wg.Record(
            samples=48, noise_samples=24, noise_batches=2, curvature_batches=1, snapshots=20, snapshot_every=5
        ),
        run=wg.Run(progress=False),
    )


def _watched() -> xr.Dataset:
    import watched_runs

    gas = watched_runs.run("momentum", 60, every=2)[2]
    assert gas is not None
    return gas.trace()


TRACES: dict[str, Callable[[], xr.Dataset]] = {
    "fixed_lr": lambda: _simulated(wg.FixedLR([0.1, 0.2], [0.1, 0.2])),
    "fixed_sphere": lambda: _simulated(wg.FixedSphere([0.01, 0.02, 0.04], [1.0]), snapshots=16),
    "custom": _custom,
    "precision": _to_precision,
    "train": _trained,
    "watch": _watched,
}


@cache
def original(kind: str) -> xr.Dataset:
    """The trace before it is tampered with."""
    return TRACES[kind]()


@cache
def state_of(kind: str) -> xr.Dataset:
    """Its state."""
    return wg.measure(original(kind))


# --- how ---

DEEP = "[" * 20_000
NUMBERS = (np.nan, np.inf, -np.inf, -1, 0, -0.5, 0.5, 1e300, -1e300, 1e-300, 2**62, -(2**62), 3, 7, 255)
WRONG: tuple[Any, ...] = (
    *(None, "", "x", "nan", b"bytes", True, False, 0, -1, 1, 7, 2**63, 2**70, 0.5, np.nan, np.inf, 1e300, 1j),
    *([], [1], [1, 2], ["a"], [None], [[1, 2], [3, 4]], [[]], (1,), {}, {"a": 1}, {1: 2}, np.array([1.0, 2.0])),
    *(np.array([]), np.array("x"), np.array([[1, 2]]), np.int64(3), np.float32(2.5), object, "\x00", "é" * 300, DEEP),
    *("[]", "null", "{}", "1", "NaN", '"x"', "{", "fixed_lr", "fixed_elr", "fixed_sphere", "train", "simulate"),
)
"""Values of attributes."""
DTYPES = (
    "float32",
    "float64",
    "float16",
    "int64",
    "int8",
    "uint64",
    "object",
    "U",
    "bool",
    "complex128",
    "M8[s]",
    "S4",
)
SETTINGS: tuple[Any, ...] = (None, "x", [], {}, 0, -1, 1e300, np.nan, [np.nan], [[1.0]], ["x"], [1, 1], True, 10**400)


def _values(generator: np.random.Generator, variable: xr.Variable) -> np.ndarray:
    """Other values of the same type and shape, in some places or in all."""
    values = np.array(variable.values)
    number = NUMBERS[generator.integers(len(NUMBERS))]
    where = np.ones(values.shape, bool) if generator.random() < 0.5 else generator.random(values.shape) < 0.3
    if values.dtype.kind in "fiu":
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            values[where] = np.asarray(number).astype(values.dtype)
    elif values.size:
        values[where] = values.ravel()[0]
    return values


def _with(data: xr.Dataset, name: str, dims: Any, values: Any, attributes: dict[Any, Any]) -> xr.Dataset:
    bare = data.drop_vars(name)
    made = {name: xr.Variable(dims, values, attributes)}
    return bare.assign_coords(made) if name in data.coords else bare.assign(made)


def _variable(generator: np.random.Generator, data: xr.Dataset) -> tuple[str, xr.Dataset]:
    """One variable is dropped, of another type, has other values, dimensions or attributes."""
    names = sorted(map(str, data.variables))
    name = names[generator.integers(len(names))]
    v = data[name].variable
    how = str(generator.choice(["drop", "dtype", "values", "values", "values", "dims", "attribute", "swap"]))
    if how == "drop":
        return f"{name} dropped", data.drop_vars(name)
    if how == "dtype":
        dtype = DTYPES[generator.integers(len(DTYPES))]
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            try:
                values = np.asarray(v.values).astype(dtype)
            except (TypeError, ValueError):
                values = np.zeros(v.shape).astype(dtype)
        return f"{name} as {dtype}", _with(data, name, v.dims, values, v.attrs)
    if how == "values":
        values = _values(generator, v)
        first = values.ravel()[:3].tolist()
        return f"{name} = {first}...", _with(data, name, v.dims, values, v.attrs)
    if how == "dims":
        way = int(generator.integers(6))
        if way == 0 and v.ndim > 1:
            return f"{name} transposed", _with(data, name, v.dims[::-1], v.values.T, v.attrs)
        if way == 1 and v.ndim:
            dims = (*v.dims[:-1], "other")
            return f"{name} on {dims}", _with(data, name, dims, v.values, v.attrs)
        if way == 2 and v.ndim:
            return f"{name} without {v.dims[-1]}", _with(data, name, v.dims[:-1], v.values[..., 0], v.attrs)
        if way == 3 and v.ndim:
            short = v.values[..., : v.shape[-1] // 2]
            return f"{name} shorter", _with(data, name, (*v.dims[:-1], "shorter"), short, v.attrs)
        if way == 4:
            return f"{name} a number", _with(data, name, (), np.asarray(v.values).ravel()[:1].sum(), v.attrs)
        more = np.repeat(np.asarray(v.values)[..., None], 2, axis=-1)
        return f"{name} with another dimension", _with(data, name, (*v.dims, "other"), more, v.attrs)
    if how == "attribute":
        keys = sorted({*v.attrs, "cell_methods", "average", "units"})
        key, value = keys[generator.integers(len(keys))], WRONG[generator.integers(len(WRONG))]
        return f"{name}.{key} = {str(value)[:40]!r}", _with(data, name, v.dims, v.values, {**v.attrs, key: value})
    other = names[generator.integers(len(names))]
    if data[other].dims != v.dims:
        return f"{name} as new_{name}", data.rename({name: f"new_{name}"})
    swapped = _with(data, name, v.dims, data[other].values, v.attrs)
    return f"{name} is {other}", _with(swapped, other, v.dims, v.values, data[other].attrs)


def _attribute(generator: np.random.Generator, data: xr.Dataset) -> tuple[str, xr.Dataset]:
    """One attribute is dropped or forged."""
    optional = {"group_sizes", "group_names", "mobility", "noise_every", "precision", "momentum", "laplacian_slope"}
    optional |= {"energy_random", "energy_random_std", "noise_isotropic", "energy_batches", "seeds", "nesterov"}
    names = sorted({*map(str, data.attrs), *optional})
    name = names[generator.integers(len(names))]
    if generator.random() < 0.15 and name in data.attrs:
        return f"attribute {name} dropped", data.assign_attrs().copy().drop_attrs(deep=False).assign_attrs(
            {k: v for k, v in data.attrs.items() if k != name}
        )
    value = WRONG[generator.integers(len(WRONG))]
    return f"attribute {name} = {str(value)[:40]!r} ({type(value).__name__})", data.assign_attrs({name: value})


def _settings(generator: np.random.Generator, data: xr.Dataset) -> tuple[str, xr.Dataset]:
    """The JSON of ``settings`` or ``precision`` is forged inside."""
    name = "precision" if "precision" in data.attrs and generator.random() < 0.5 else "settings"
    inside = json.loads(data.attrs[name])
    keys = [*inside, "other", "__class__"]
    key, value = keys[generator.integers(len(keys))], SETTINGS[generator.integers(len(SETTINGS))]
    if key in inside and generator.random() < 0.2:
        inside.pop(key)
    else:
        inside[key] = value
    return f"{name}: {key} = {str(value)[:40]!r}", data.assign_attrs({name: json.dumps(inside)})


def _texts(data: xr.Dataset) -> list[Any]:
    return [name for name, variable in data.variables.items() if variable.dtype.kind not in "biuf"]


def _shape(generator: np.random.Generator, data: xr.Dataset) -> tuple[str, xr.Dataset]:
    """The dataset is cut, turned around, renamed or unstacked."""
    dims = sorted(map(str, data.dims))
    dim = dims[generator.integers(len(dims))]
    n = data.sizes[dim]
    ways: dict[str, Callable[[], xr.Dataset]] = {
        "none of": lambda: data.isel({dim: slice(0, 0)}),
        "the first of": lambda: data.isel({dim: slice(0, 1)}),
        "two of": lambda: data.isel({dim: slice(0, 2)}),
        "one, without": lambda: data.isel({dim: 0}),
        "backwards": lambda: data.isel({dim: slice(None, None, -1)}),
        "twice": lambda: data.isel({dim: [*range(n), *range(n)]}),
        "renamed": lambda: data.rename({dim: f"new_{dim}"}),
        "swapped names of": lambda: data.rename({dim: dims[0], dims[0]: dim}) if dim != dims[0] else data,
        "transposed": lambda: data.transpose(*dims[::-1]),
        "mean over": lambda: data.drop_vars(_texts(data)).mean(dim).assign_attrs(data.attrs),
        "an index of": lambda: data.assign_coords({dim: np.arange(n)}),
        "no coordinates": lambda: data.reset_coords(drop=True),
        "coordinates as variables": lambda: data.reset_coords(),
        "no variables": lambda: data[[]].assign_attrs(data.attrs),
        "no attributes": lambda: data.drop_attrs(),
        "in chunks": lambda: data.chunk({dim: 1}),
    }
    names = sorted(ways)
    way = names[generator.integers(len(names))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return f"{way} {dim}", ways[way]()


def _more(generator: np.random.Generator, data: xr.Dataset) -> tuple[str, xr.Dataset]:
    """A variable is added: a forged custom quantity, a name of the contract, one of a state."""
    names = ("mine", "temperature", "status", "ess", "energy_err", "cell", "sample", "known", "completed", "entropy")
    name = names[generator.integers(len(names))]
    dims = [("cell",), ("cell", "replica", "sample"), ("sample", "cell"), ("cell", "sample"), (), ("mine",)]
    chosen = dims[generator.integers(len(dims))]
    if name in data.dims:
        chosen = (name,)
    averages = ("mean", "root_mean_square", "none", "x", None, 3, ["mean"])
    notes = {"average": averages[generator.integers(len(averages))]} if generator.random() < 0.7 else {}
    shape = [data.sizes.get(d, 2) for d in chosen]
    kinds = (np.ones(shape), np.full(shape, "a"), np.full(shape, np.nan), np.full(shape, None), np.ones(shape, complex))
    values = kinds[generator.integers(len(kinds))]
    return f"new {name} on {chosen}, {values.dtype}, {notes}", data.assign({name: (chosen, values, notes)})


WAYS = (_variable, _variable, _variable, _variable, _attribute, _attribute, _settings, _shape, _more)


def cases(count: int, seed: int, kinds: Sequence[str] = ()) -> Iterator[tuple[str, str, xr.Dataset]]:
    """Kind of the original, what was tampered with, and the tampered trace (every fifth case: state)."""
    for number in range(count):
        generator = np.random.default_rng([seed, number])
        kind = (kinds or sorted(TRACES))[generator.integers(len(kinds or TRACES))]
        of_state = number % 5 == 4
        data = (state_of if of_state else original)(kind).copy(deep=True)
        ways = [way for way in WAYS if not of_state or way is not _settings or "settings" in data.attrs]
        text, tampered = ways[generator.integers(len(ways))](generator, data)
        yield kind, f"{'state: ' if of_state else ''}{text}", tampered


# --- what becomes of it ---

SELDOM = 0.3
"""Share of the cases that are drawn and stored, which takes long."""


class Bug(Exception):
    """Neither refused by this library nor a sane result."""


def outcome(call: Callable[[], Any]) -> Any:
    """The result of a call, or None if it was refused in one sentence by this library.

    Raises
    ------
    Bug
        If it warned, raised another error, or refused in more than a line.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return call()
    except (ValueError, TypeError) as error:  # a TraceError is a ValueError
        if is_refusal(error) and str(error) and "\n" not in str(error) and len(str(error)) < 1000:
            return None
        raise Bug(_told(error)) from error
    except Exception as error:
        raise Bug(_told(error)) from error


def _told(error: BaseException) -> str:
    ours = [f for f in traceback.extract_tb(error.__traceback__) if "weightgas" in f.filename]
    where = f"{Path(ours[-1].filename).name}:{ours[-1].name}" if ours else "outside"
    return f"{type(error).__name__} in {where}: {' '.join(str(error).split())[:150]}"


def sane(state: xr.Dataset) -> None:
    """Bug where a state has numbers that cannot be."""
    status = state["status"].values
    if not np.isin(status, [int(s) for s in Status]).all():
        raise Bug(f"status {status}")
    settled = status == Status.EQUILIBRIUM
    for name, v in state.data_vars.items():
        if v.dtype.kind == "f" and str(name).endswith("_err") and (v.values < 0).any():
            raise Bug(f"negative {name}")
        if v.dtype.kind in "cOmM":
            raise Bug(f"{name} of type {v.dtype}")
    for name in ("radius", "volume"):
        values = state[name].values
        if (values < 0).any():
            raise Bug(f"{name} {values}")
        if not np.isfinite(values[settled]).all() or not (values[settled] > 0).all():
            raise Bug(f"equilibrium with {name} {values}")
    for name in ("grad_sq", "energy_variance"):
        if (state[name].values < 0).any():
            raise Bug(f"negative {name}")
    ess = state["ess"].values
    if (ess < 0).any() or not np.isfinite(ess[settled]).all():
        raise Bug(f"ess {ess}")


OF_FINDINGS = [name for name, value in vars(wg.Findings).items() if isinstance(value, cached_property)]
CHAPTERS = [figure for chapter in figures.CHAPTERS.values() for figure in chapter]


def _findings(data: xr.Dataset, state: xr.Dataset | None) -> wg.Findings | None:
    """Every analysis, each refused or made."""
    run = outcome(lambda: wg.Findings(data, state) if state is not None else wg.Findings(data))
    if run is not None:
        for name in OF_FINDINGS:
            outcome(lambda name=name: getattr(run, name))
    return run


def _drawn(run: wg.Findings, generator: np.random.Generator) -> None:
    """The table of cells and one figure of a report; an error that it caught is a bug."""
    figure = CHAPTERS[generator.integers(len(CHAPTERS))]
    made = outcome(lambda: section("s", [figure], {run.protocol: run}, tables=tabulate.states))
    pyplot.close("all")
    for note in made.notes if made else ():
        if "The log has the traceback" in note:
            raise Bug(f"report: {note[:200]}")


def _stored(data: xr.Dataset, folder: Path) -> None:
    """What can be saved is opened again, or refused as it is in memory."""
    path = folder / f"{len(list(folder.iterdir()))}.zarr"
    if outcome(lambda: wg.save_trace(data, path)) is not None:
        outcome(lambda: wg.open_trace(path))


def examine(kind: str, data: xr.Dataset, folder: Path, generator: np.random.Generator) -> str:
    """``"refused"`` or ``"accepted"``; Bug for anything else."""
    whole = original(kind)
    if "status" in data.variables and "step" not in data.variables:
        run = None
        if outcome(lambda: figures.status_map(data)) is not None:
            run = outcome(lambda: wg.Findings(state=data))
            for name in OF_FINDINGS if run is not None else ():
                outcome(lambda name=name: getattr(run, name))
        pair = outcome(lambda: wg.verdict(whole, data))
        if pair is not None:
            outcome(lambda: wg.bootstrap(whole, lambda t, s: float(s["energy"].mean()), state=data, draws=10))
        answer = "refused" if run is None and pair is None else "accepted"
    else:
        state = outcome(lambda: wg.measure(data))
        if state is not None:
            sane(state)
        run = _findings(data, state)
        judged = outcome(lambda: wg.verdict(data if run is None else run))
        wrong = judged is not None and (state is None or not isinstance(judged, Verdict))
        # without the noise there is a state, of radius and energy, but no gas to judge: refused in a sentence
        if wrong or (judged is None and state is not None and "noise_trace" in data):
            raise Bug("measure and verdict disagree")
        outcome(lambda: wg.verdict(data, state_of(kind)))
        for along in ("sample", "cell", "replica"):
            outcome(lambda along=along: wg.extend(whole, data, along))
        halves = [whole.isel(cell=slice(0, 1)), data.isel(cell=slice(1, None))] if "cell" in data.dims else []
        if halves:
            outcome(lambda: wg.extend(*halves, "cell"))
        if generator.random() < SELDOM:
            outcome(lambda: figures.along_run(data))
        answer = "refused" if state is None else "accepted"
    pyplot.close("all")
    if run is not None and generator.random() < SELDOM:
        _drawn(run, generator)
    outcome(lambda: wg.grid(data))
    if generator.random() < SELDOM:
        _stored(data, folder)
    return answer


def campaign(
    count: int, seed: int, kinds: Sequence[str] = (), *, verbose: bool = False
) -> tuple[Counter[str], list[str]]:
    """The number of cases with each outcome, and a line for each bug."""
    counts: Counter[str] = Counter()
    bugs = []
    with tempfile.TemporaryDirectory() as folder:
        for number, (kind, text, data) in enumerate(cases(count, seed, kinds)):
            try:
                answer = examine(kind, data, Path(folder), np.random.default_rng(number))
            except Bug as bug:
                answer = "bug"
                bugs.append(f"{seed}/{number} {kind}, {text}: {bug}")
                if verbose:
                    print(bugs[-1], flush=True)
            counts[answer] += 1
    return counts, bugs


# --- tests ---


@pytest.mark.thorough
@pytest.mark.parametrize("kind", sorted(TRACES))
def test_what_is_not_tampered_with_is_accepted(kind: str, tmp_path: Path) -> None:
    for data in (original(kind), state_of(kind)):
        assert examine(kind, data.copy(deep=True), tmp_path, np.random.default_rng(0)) == "accepted"


def test_some_tampered_traces() -> None:
    counts, bugs = campaign(8, 0, ("custom", "fixed_lr"))  # without torch
    assert not bugs, "\n".join(bugs)
    assert counts["refused"] > 2 and counts["accepted"] > 1, counts


@pytest.mark.thorough
def test_more_tampered_traces() -> None:
    counts, bugs = campaign(40, 0)
    assert not bugs, "\n".join(bugs)
    assert counts["refused"] > 10 and counts["accepted"] > 6, counts


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 16))
def test_many_tampered_traces(seed: int) -> None:
    counts, bugs = campaign(100, seed)
    assert not bugs, "\n".join(bugs)
    assert counts["refused"] > 30 and counts["accepted"] > 10, counts


if __name__ == "__main__":
    pyplot.switch_backend("Agg")
    found, lines = campaign(int(sys.argv[1]), int(sys.argv[2]), verbose=True)
    print(dict(found))
