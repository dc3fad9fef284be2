"""Modes of evaluation: all give the same; where memory runs out, a smaller one; what is measured is kept."""

import json
import logging
import signal
import time
import types
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from calls import flat
from weightgas import networks, runs
from weightgas import trace as traces
from weightgas.datasets import Images
from weightgas.errors import OutOfMemoryError
from weightgas.protocols import FixedLR
from weightgas.training import choice, engine, measured, train
from weightgas.training.mode import Evaluated, Mode, compiled

GENERATOR = np.random.default_rng(0)
DATA = Images("random", GENERATOR.standard_normal((60, 1, 8, 8)), GENERATOR.integers(4, size=60), 4)
MLP = networks.mlp((5,), classes=4)
LAYER = networks.mlp((5,), classes=4, normalisation="layer")
SHORT = {"batch_size": 15, "samples": 2, "noise_batches": 2, "curvature_batches": 1}
PROTOCOL = FixedLR(lr=[0.03, 0.1, 0.3], wd=[0.01, 0.1])
CPU_SAYS = "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory"


class Planted:
    """A network for whose evaluation memory suffices up to so many inputs in all; ``tried`` counts the failures."""

    def __init__(self, network, room, error=None):
        self._network, self.room, self.error = network, room, error or RuntimeError(CPU_SAYS)
        self.tried = 0
        self.name, self.separable = network.name, network.separable
        self.settings, self.groups, self.dim, self.initial = (
            network.settings, network.groups, network.dim, network.initial
        )  # fmt: skip

    def losses(self, weights, inputs, labels):
        if labels.numel() > self.room:
            self.tried += 1
            raise self.error
        return self._network.losses(weights, inputs, labels)


def case(network, stack=6, batch=15, dtype=torch.float64):
    weights = torch.tensor(np.stack([network.initial(GENERATOR, DATA) for _ in range(stack)]), dtype=dtype)
    index = torch.from_numpy(GENERATOR.integers(60, size=(stack, batch)))
    return weights, torch.tensor(DATA.inputs, dtype=dtype)[index], torch.tensor(DATA.labels)[index]


@pytest.mark.parametrize("network", [MLP, LAYER, networks.convnet(2, classes=4, normalisation="group")], ids=str)
def test_every_mode_gives_the_same(network):
    weights, inputs, labels = case(network)
    gradients = networks.gradients(network, weights, inputs, labels)
    losses = networks.losses(network, weights, inputs, labels)
    for mode in (Mode(1), Mode(4), Mode(6), *((Mode(4, inputs=4), Mode(2, inputs=15)) if network.separable else ())):
        evaluated = Evaluated(network, mode)
        for take in (evaluated, types.SimpleNamespace(losses=evaluated.losses, together=mode.at_once)):
            torch.testing.assert_close(networks.gradients(take, weights, inputs, labels), gradients, rtol=1e-9, atol=0)
        torch.testing.assert_close(networks.losses(evaluated, weights, inputs, labels), losses, rtol=1e-9, atol=0)
        assert evaluated.mode == mode


def test_only_normalisations_within_an_input_let_a_batch_be_cut():
    weights, inputs, labels = case(MLP)
    cut = networks.gradients(Evaluated(MLP, Mode(6, inputs=8)), weights, inputs, labels)
    assert not torch.allclose(cut, networks.gradients(MLP, weights, inputs, labels), rtol=1e-2)
    assert not MLP.separable and LAYER.separable and networks.resnet18(2, normalisation="group").separable


@pytest.mark.parametrize("norm", [torch.nn.LayerNorm(5), torch.nn.BatchNorm1d(5)], ids=["layer", "batch"])
def test_a_module_of_ones_own_is_tried(norm):
    flat, head = torch.nn.Flatten(), torch.nn.Linear(5, 4)
    model = torch.nn.Sequential(flat, torch.nn.Linear(64, 5), norm.requires_grad_(False), head.requires_grad_(False))
    groups = {"first": ["1.weight", "1.bias"]} if isinstance(norm, torch.nn.LayerNorm) else None
    model[1].bias.requires_grad_(groups is not None)
    network = networks.module(model, groups or {f"filter{i}": [f"1.weight[{i}]"] for i in range(5)})
    assert not network.separable
    network.groups(DATA)
    assert network.separable == isinstance(norm, torch.nn.LayerNorm)


@pytest.mark.parametrize(
    "error",
    [RuntimeError(CPU_SAYS), MemoryError(), torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB"),
     RuntimeError("std::bad_alloc")],
    ids=["cpu", "python", "cuda", "c++"],
)  # fmt: skip
def test_where_memory_runs_out_fewer_are_evaluated_at_once(error, caplog):
    network = Planted(MLP, 2 * 15, error)
    weights, inputs, labels = case(MLP)
    evaluated = Evaluated(network, Mode(6))
    found = networks.gradients(evaluated, weights, inputs, labels)
    torch.testing.assert_close(found, networks.gradients(MLP, weights, inputs, labels), rtol=1e-9, atol=1e-14)
    assert evaluated.mode == Mode(2) and network.tried == 2
    assert "memory ran out with 6 networks at once; continuing with 3 networks at once" in caplog.text
    networks.losses(evaluated, weights, inputs, labels)
    assert network.tried == 2


def test_at_one_network_the_batch_is_cut_where_the_loss_allows_it():
    weights, inputs, labels = case(LAYER)
    evaluated = Evaluated(Planted(LAYER, 5), Mode(6))
    found = networks.gradients(evaluated, weights, inputs, labels)
    torch.testing.assert_close(found, networks.gradients(LAYER, weights, inputs, labels), rtol=1e-9, atol=1e-14)
    assert evaluated.mode == Mode(1, inputs=4)


@pytest.mark.parametrize(
    ("network", "room", "match"),
    [
        (MLP, 14, r"room for one mlp.* with 15 of the 15 inputs .* BatchNorm, got .*can't allocate.* Lower batch_size"),
        (LAYER, 0, "room for one mlp.* with 1 of the 15 inputs of a batch, got"),
    ],
)
def test_where_nothing_is_left_the_error_says_what_to_lower(network, room, match):
    with pytest.raises(OutOfMemoryError, match=match):
        train(PROTOCOL, Planted(network, room), DATA, 2, **flat(**SHORT))


def test_memory_that_runs_out_elsewhere_is_told_too(monkeypatch):
    def fails(*arguments):
        raise RuntimeError(CPU_SAYS)

    monkeypatch.setattr(measured, "gathered", fails)
    with pytest.raises(OutOfMemoryError, match=r"of a stack of 6 networks, got .* Lower cells_at_once, replicas"):
        train(PROTOCOL, MLP, DATA, 2, **flat(**SHORT))


def test_other_errors_are_passed_on():
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        train(
            PROTOCOL,
            Planted(MLP, 30, RuntimeError("mat1 and mat2 shapes cannot be multiplied")),
            DATA,
            2,
            **flat(**SHORT),
        )


@pytest.mark.thorough
def test_a_run_goes_on_in_the_smaller_mode_and_so_does_one_that_is_resumed(tmp_path, monkeypatch):
    plain = train(PROTOCOL, MLP, DATA, 20, **flat(dtype="float64", **SHORT))
    short = train(PROTOCOL, Planted(MLP, 2 * 15), DATA, 20, **flat(dtype="float64", **SHORT))
    np.testing.assert_allclose(short["final_weights"], plain["final_weights"], rtol=1e-9)
    monkeypatch.setattr("weightgas.runs.checkpoint.EVERY", 0.0)
    network = Planted(MLP, 2 * 15)
    advance, calls = engine.Engine.advance, []

    def stopped(self, *arguments, **options):
        calls.append(self.network.mode)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return advance(self, *arguments, **options)

    monkeypatch.setattr(engine.Engine, "advance", stopped)
    with pytest.raises(KeyboardInterrupt):
        train(PROTOCOL, network, DATA, 20, **flat(dtype="float64", folder=tmp_path / "run", **SHORT))
    failures = network.tried
    resumed = train(PROTOCOL, network, DATA, 20, **flat(dtype="float64", folder=tmp_path / "run", **SHORT))
    assert calls[-1] == Mode(2) and 0 < failures <= network.tried
    assert (resumed["final_weights"] == short["final_weights"]).all()


class Timed:
    """What ``choice`` needs of an engine and its timer, with a given time for each mode, at first twice as much.

    ``asked`` are the modes that were made, ``rounds`` those that were timed.
    """

    def __init__(self, milliseconds, compiled=None, fails=False):
        self.milliseconds, self.of_compiled, self.fails = milliseconds, compiled or {}, fails
        self.asked, self.rounds = [], []

    def engine(self, mode):
        self.asked.append(mode)
        return mode

    def timer(self, mode):
        table = self.of_compiled if mode.compiled else self.milliseconds
        works = not (mode.compiled and self.fails)
        made = types.SimpleNamespace(mode=mode, works=works, seconds=2e-3 * table[mode.at_once] if works else np.inf)

        def timed():
            self.rounds.append(mode.at_once)
            made.seconds = table[mode.at_once] / 1e3

        made.round = timed
        return made


@pytest.fixture
def choose(monkeypatch):
    def found(timer, steps=10_000, usual=2, stacked=64, run=None, compile=None):
        monkeypatch.setattr(choice, "Timer", timer.timer)
        return choice.chosen(Mode(usual), timer.engine, choice.Work(stacked, steps), run, compile)

    return found


@pytest.mark.parametrize(
    ("milliseconds", "stacked", "expected"),
    [
        ({1: 48.7, 2: 50.3, 4: 74.6}, 64, 1),
        ({1: 81.9, 2: 49.6, 4: 50.3, 8: 65}, 64, 2),
        ({1: 13.7, 2: 8, 4: 5, 8: 3.24, 16: 3.2, 32: 1}, 64, 8),  # two per cent are not worth twice the memory
        ({1: 13.7, 2: 8, 3: 5, 4: 4}, 3, 3),
        ({1: 3, 2: 9, 4: 10}, 64, 1),
    ],
)
def test_a_long_run_takes_what_is_fastest(milliseconds, stacked, expected, choose, caplog):
    caplog.set_level(logging.INFO)
    assert choose(Timed(milliseconds), stacked=stacked) == Mode(expected)
    line = f"{expected} network{'s' * (expected > 1)} at once: {milliseconds[expected]:.3g} ms a step each ("
    assert line in caplog.text


def test_a_short_run_takes_the_rule(choose):
    timer = Timed({1: 1, 2: 20, 4: 100})
    assert choose(timer, steps=490) == Mode(2) and timer.asked == [Mode(2)] and not timer.rounds
    assert choose(timer, steps=510) == Mode(1)
    assert timer.rounds == [2, 4] * choice.ROUNDS + [2, 1] * choice.ROUNDS  # in turn
    timer = Timed({2: 50})
    assert choose(timer, steps=100) == Mode(2) == choose(timer, steps=0) and timer.asked == []


def test_compiling_is_tried_where_a_run_is_very_long_and_kept_where_it_is_faster(choose, caplog):
    caplog.set_level(logging.INFO)
    eager = {1: 80, 2: 50, 4: 52}
    assert choose(Timed(eager, {2: 50, 4: 44}), steps=20_000) == Mode(4, compiled=True)
    assert "compiled (2: 50, 4: 44, tried in" in caplog.text
    assert choose(Timed(eager, {2: 49, 4: 50}), steps=20_000) == Mode(2)
    assert "not compiled (2: 49, 4: 50" in caplog.text
    timer = Timed(eager, {2: 1, 4: 1}, fails=True)
    assert choose(timer, steps=20_000) == Mode(2) and "not compiled (2: failed" in caplog.text
    assert choose(Timed(eager), steps=11_000) == Mode(2)
    assert choose(Timed(eager), steps=20_000, compile=False) == Mode(2)
    assert choose(Timed(eager), steps=1, compile=True) == Mode(2, compiled=True)


def test_times_are_of_a_step_of_one_network(monkeypatch):
    """Half a second for the first step, which is slow only once; then 10 ms for a step of four networks."""
    clock, made = [0.0], []

    def advance(state, steps):
        clock[0] += 0.01 * steps + (0 if made else 0.5)
        made.append(steps)
        return types.SimpleNamespace(weights=torch.empty(0))

    ticks = types.SimpleNamespace(perf_counter=lambda: clock[0], process_time=lambda: clock[0])
    monkeypatch.setattr(choice, "time", ticks)
    network = types.SimpleNamespace(mode=Mode(4))
    timer = choice.Timer(types.SimpleNamespace(initial=lambda: None, advance=advance, stack=4, network=network))
    assert timer.seconds == pytest.approx(0.0025) and timer.works and made == [1, 1]
    timer.round()
    assert timer.seconds == pytest.approx(0.0025) and made == [1, 1, 3]
    network = types.SimpleNamespace(mode=Mode(4, compiled=True))

    def fails(state, steps):
        network.mode = Mode(4)
        return advance(state, steps)

    timer = choice.Timer(types.SimpleNamespace(initial=lambda: None, advance=fails, stack=4, network=network))
    assert timer.seconds == np.inf and not timer.works


def test_the_choice_is_kept_in_the_run_folder(choose, tmp_path, caplog):
    run = runs.prepare(tmp_path / "run", {"command": "train"})
    assert choose(Timed({1: 1, 2: 50, 4: 60}), run=run) == Mode(1)
    timer = Timed({1: 90, 2: 50, 4: 1, 8: 2})
    assert choose(timer, run=run) == Mode(1) and not timer.asked
    stored = json.loads((run.folder / "mode.json").read_text())
    assert stored["at_once"] == 1 and stored["said"].startswith("1 network at once: 1 ms a step each (2: 50, 4: 60)")
    (run.folder / "mode.json").write_text('{"at_once": ')
    assert choose(timer, run=run) == Mode(4) and "mode.json: damaged, chosen anew" in caplog.text
    runs.prepare(tmp_path / "run", {"command": "simulate"}, force=True)
    assert not (run.folder / "mode.json").exists()


@pytest.mark.thorough
def test_a_long_run_measures_and_a_second_one_in_its_folder_does_not(tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    for name, value in (("LONG", 0.0), ("ROUND", 1e-4), ("FEWEST", 1)):
        monkeypatch.setattr(choice, name, value)
    options = {"folder": tmp_path / "run", **SHORT}
    first = train(PROTOCOL, networks.convnet(4, classes=4), DATA, 20, **flat(**options))
    assert "at once" in caplog.text and " ms a step each (" in caplog.text
    stored = json.loads((tmp_path / "run" / "mode.json").read_text())
    assert first.attrs["networks_at_once"] == stored["at_once"] and first.attrs["compiled"] == 0
    monkeypatch.setattr(choice, "Timer", None)
    again = train(PROTOCOL, networks.convnet(4, classes=4), DATA, 20, **flat(**options))
    assert (again["final_weights"] == first["final_weights"]).all()
    explicit = train(PROTOCOL, MLP, DATA, 20, **flat(cells_at_once=4, **SHORT))
    assert explicit.attrs["networks_at_once"] == 4


@pytest.mark.thorough
def test_each_worker_of_a_client_gets_a_stack(tmp_path):
    plain = train(PROTOCOL, MLP, DATA, 10, **flat(dtype="float64", folder=tmp_path / "alone", **SHORT))
    with ThreadPoolExecutor(4) as executor:
        spread = train(
            PROTOCOL, MLP, DATA, 10, **flat(dtype="float64", folder=tmp_path / "spread", client=executor, **SHORT)
        )
        told = train(
            PROTOCOL, MLP, DATA, 10, **flat(cells_at_once=6, folder=tmp_path / "told", client=executor, **SHORT)
        )
    sizes = [traces.cells_per_write(tmp_path / name / "trace.zarr") for name in ("alone", "spread", "told")]
    assert sizes == [6, 2, 6] and told.sizes["cell"] == 6
    np.testing.assert_allclose(spread["final_weights"], plain["final_weights"], rtol=1e-9)


def test_torch_that_cannot_compile_goes_on_without(monkeypatch, caplog):
    def fails(*arguments, **options):
        def call(*tensors):
            raise RuntimeError("InvalidCxxCompiler: no working C++ compiler found")

        return call

    measured._compiled.cache_clear()
    monkeypatch.setattr(torch, "compile", fails)
    eager = train(PROTOCOL, MLP, DATA, 6, **flat(**SHORT))
    found = train(PROTOCOL, MLP, DATA, 6, **flat(compile=True, **SHORT))
    measured._compiled.cache_clear()
    assert (found["final_weights"] == eager["final_weights"]).all()
    assert "torch.compile failed, eager torch is used (RuntimeError: InvalidCxxCompiler" in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "dtype"), [(MLP, "float32"), (networks.convnet(2, classes=4), "float64")], ids=["mlp", "convnet"]
)
def test_compiled_steps_follow_eager_ones(network, dtype, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    options = {"dtype": dtype, "cells_at_once": 3, **SHORT}
    eager = train(PROTOCOL, network, DATA, 20, **flat(**options))
    found = train(PROTOCOL, network, DATA, 20, **flat(compile=True, **options))
    if "torch.compile failed" in caplog.text:
        pytest.skip("no C++ compiler here: " + caplog.text)
    assert found.attrs["compiled"] == 1
    np.testing.assert_allclose(found["final_weights"], eager["final_weights"], rtol=0, atol=1e-5)
    assert not (found["final_weights"] == eager["final_weights"]).all()


@pytest.mark.thorough
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timer")
def test_no_interruption_is_lost_in_a_compiled_function():
    """torch drops exceptions in guards that are Python functions: with all of them 44 and 45 of these were lost."""
    function, lost = compiled(MLP.losses), 0
    images = torch.from_numpy(DATA.inputs[:15]).float().expand(2, 15, *DATA.inputs.shape[1:])
    labels = torch.from_numpy(DATA.labels[:15]).expand(2, 15)
    weights = torch.arange(MLP.dim(DATA)).float().expand(2, -1).contiguous()

    def interrupt(*_):
        raise KeyboardInterrupt

    with torch.no_grad():
        expected = function(weights, images, labels)
        before = signal.signal(signal.SIGALRM, interrupt)
        try:
            for _ in range(400):
                try:
                    signal.setitimer(signal.ITIMER_REAL, 0.003)
                    end = time.monotonic() + 0.2
                    while time.monotonic() < end:
                        found = function(weights, images, labels)
                    lost += 1
                except KeyboardInterrupt:
                    pass
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
    assert lost == 0 and torch.equal(found, expected)
