"""Compiled steps in threads: which runs each takes, what ends them early, and a Ctrl-C in the middle of a step."""

import os
import signal
import threading
import time

import numpy as np
import pytest

from calls import flat
from own_functions import growing, tilt
from weightgas.driving import drive, isotherm
from weightgas.losses import Covariance, CustomLoss, CustomNoise, Quadratic
from weightgas.optimizers import SGD
from weightgas.protocols import FixedLR
from weightgas.simulation import simulate
from weightgas.simulation.threads import Threads, at_most

STEPS = 10**15
METHODS = {
    "reduced": {},
    "side by side": {"method": "full"},
    "one by one": {"loss": Quadratic([0.0, 0.5, 1.0]), "noise": Covariance(np.eye(3) + 0.3)},
    "momentum": {"optimizer": SGD(momentum=0.9)},
    "custom": {"loss": CustomLoss(tilt), "noise": CustomNoise(growing)},
}


@pytest.mark.parametrize(("runs", "together", "threads"), [(1, 1, 2), (7, 1, 2), (64, 8, 2), (65, 64, 2), (9, 4, 1)])
def test_portions_cover_every_run_once_and_begin_at_multiples(runs, together, threads):
    seen, portions = np.zeros(runs, int), []

    def advance(portion, more):
        seen[portion.first : portion.end] += 1
        portions.append(portion)
        assert more == "argument"

    with Threads(threads) as pool:
        pool.run(advance, runs, together, "argument")
    assert (seen == 1).all()
    assert all(p.first % together == 0 for p in portions)
    assert len(portions) <= at_most(threads)


def test_an_error_in_one_thread_ends_the_others():
    ended = []

    def advance(portion):
        if portion.first == 1:
            raise ZeroDivisionError
        while not portion.stop[0]:
            time.sleep(0.001)
        ended.append(portion.first)

    with Threads(2) as pool, pytest.raises(ZeroDivisionError):
        pool.number = 2
        pool.run(advance, 2, 1)
    assert ended == [0]


@pytest.fixture(autouse=True)
def interruptible():
    """A Ctrl-C raises KeyboardInterrupt, also where the tests were begun in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupted_after(seconds, call):
    """Seconds from a SIGINT to the KeyboardInterrupt that it makes of ``call``."""
    sent = []

    def send():
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(seconds, send)
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            call()
        return time.monotonic() - sent[0]
    finally:
        timer.cancel()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("threads", [1, 2])
def test_a_run_of_any_length_hears_ctrl_c(method, threads):
    how = flat(samples=8, warmup=0, threads=threads, **METHODS[method])
    simulate(FixedLR([0.1, 0.2], 0.1), 3, 8, **how)  # compiles
    assert interrupted_after(0.2, lambda: simulate(FixedLR([0.1, 0.2], 0.1), 3, STEPS, **how)) < 1.0


@pytest.mark.thorough
def test_a_drive_hears_ctrl_c():
    path = isotherm(elr=0.08, wd=(0.02, 0.05))
    drive(path, 3, 8, replicas=2, warmup=0)
    assert interrupted_after(0.5, lambda: drive(path, 3, 10_000_000, replicas=5000, samples=1, warmup=0)) < 1.0
