"""What a run costs: timed by parts, added up by the plan."""

from __future__ import annotations

import pytest

from weightgas import datasets, networks, training
from weightgas.protocols import FixedLR
from weightgas.settings import Record
from weightgas.training.cost import MOMENT, Cost, _timed


@pytest.mark.parametrize("each", [MOMENT * 3, MOMENT / 3, MOMENT / 1000])
def test_a_part_is_timed_by_its_clock_whatever_its_size(each):
    now, calls = 0.0, 0

    def several(count):
        nonlocal now, calls
        calls += count
        now += count * each + (0.1 * each if calls == 1 else 0)  # the first call is slower

    found = _timed(lambda: now, several)
    assert found == pytest.approx(each, rel=0.11 if each > MOMENT else 1e-6)
    assert now < 4 * max(MOMENT, each)


@pytest.mark.thorough
def test_every_part_of_a_network_is_timed_as_it_will_run():
    found = training.cost(networks.convnet(2), datasets.digits(), 3, batch_size=16)
    assert found.together == 3 and min(found.step, found.loss, found.gradient, found.curvature) > 0
    assert found.curvature > found.loss  # six gradients against one loss


def test_seconds_are_those_of_steps_and_samples():
    cost = Cost(together=35, step=1.0, loss=1e-3, gradient=1e-6, curvature=1e-9)
    of = (FixedLR([0.1, 0.2], 0.01), networks.mlp(), datasets.digits(), 1000)
    plan = training.planned(*of, record=Record(samples=10, noise_samples=5, warmup=0))
    batches = 1797 // 128
    each = 1000 + 10 * batches * 1e-3 + 5 * (8e-6 + 2e-9)
    assert cost.seconds(plan, 4) == pytest.approx(4 * each + 64 * batches * 1e-3, rel=1e-12)
    assert cost.seconds(training.planned(*of, record=Record(warmup=100)), 1) > 1100
    with pytest.raises(ValueError, match="batch_size: expected at most the 1797 inputs"):
        training.planned(*of, batch_size=2000)
