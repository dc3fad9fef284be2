"""``watch`` in a loop of Hugging Face's accelerate, whose optimizer wraps the one that makes the steps."""

import accelerate
import numpy as np
import pytest
import torch
from torch import nn

from watched_runs import GROUPS, OPTIMIZERS, batches, network
from weightgas.monitoring import watch

pytestmark = pytest.mark.integration


def run(prepared: bool, kind: str, accumulate: int = 1):
    """(model, optimizer, gas) of a short loop, plain or by accelerate."""
    accelerate.state.AcceleratorState._reset_state(True)
    accelerate.state.GradientState._reset_state()
    torch.manual_seed(0)
    model = network()
    optimizer = OPTIMIZERS[kind](model.parameters())
    accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=accumulate)
    if prepared:
        model, optimizer = accelerator.prepare(model, optimizer)
    gas = watch(model, optimizer, groups=GROUPS, every=2)
    for n, (x, y) in enumerate(batches(24)):
        if prepared:
            with accelerator.accumulate(model):
                accelerator.backward(nn.functional.cross_entropy(model(x), y))
                optimizer.step()
                optimizer.zero_grad()
        else:
            (nn.functional.cross_entropy(model(x), y) / accumulate).backward()
            if (n + 1) % accumulate == 0:
                optimizer.step()
                optimizer.zero_grad()
    return model, optimizer, gas


@pytest.mark.parametrize("accumulate", [1, 4])
@pytest.mark.parametrize("kind", ["momentum", "adamw"])
def test_a_prepared_optimizer_is_watched_like_the_plain_one(kind: str, accumulate: int) -> None:
    model, optimizer, gas = run(True, kind, accumulate)
    plain, _, expected = run(False, kind, accumulate)
    assert type(optimizer).__name__ == "AcceleratedOptimizer" and gas.attached and gas.notes() == []
    assert gas.steps == expected.steps == 24 // accumulate and len(gas.record) == 12 // accumulate
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), plain.parameters(), strict=True))
    for name, array in expected.record.arrays().items():
        np.testing.assert_array_equal(gas.record.arrays()[name], array)
    assert gas.groups()[0].rule == expected.groups()[0].rule
