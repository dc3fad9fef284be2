"""What noise costs in a watched loop: the number where all was measured, a bound, or what is missing, in a sentence."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from watched_runs import drawn_gas, run
from weightgas.datasets import digits
from weightgas.monitoring import watch
from weightgas.monitoring.noise_cost import noise_cost
from weightgas.monitoring.record import Record
from weightgas.optimizers import SGD
from weightgas.status import Status


class Settled:
    """The state of a group in equilibrium."""

    name, status = "w", Status.EQUILIBRIUM


def recorded(count=200, step=0.2, drift=0.1, loss=2.0, probed=True, seed=0, **changes):
    """Samples of one group of r² = 4 and λ = 0.01, so that pV = 0.02, with noise in all that is read."""
    generator = np.random.default_rng(seed)
    record = Record(count, 1)
    for k in range(count):
        noise = 1 + 0.1 * generator.standard_normal()
        product = drift - step * (1 - drift) + 0.1 * generator.standard_normal()
        row = dict.fromkeys(record._values, np.zeros(1)) | {
            "radius": np.array([2 + 1e-3 * generator.standard_normal()]), "wd": np.array([0.01]), "lr": np.array([0.1]),
            "grad_sq": np.array([noise]), "mean_grad_sq": np.array([product]),
            "probe_grad_sq": np.array([drift + 0.1 * generator.standard_normal() if probed else np.nan]),
        } | {name: np.array([value]) for name, value in changes.items()}  # fmt: skip
        record.append(10 * k, loss * (1 + 0.1 * generator.standard_normal()), row)
    return record


def cost(record, rule=None, states=(Settled,), others=0, clipped=False):
    return noise_cost(record, list(states), [rule or SGD(lr=0.1, wd=0.01)], others, clipped)


def test_where_all_is_measured_it_is_pv() -> None:
    found = cost(recorded())
    assert found.value == pytest.approx(0.02, rel=0.01) and found.error == pytest.approx(0.002, rel=0.1)
    words = "noise costs 0.02 ± 0.002 of the loss; cutting the learning rate or averaging the weights recovers it"
    assert str(found) == words


def test_with_other_trained_weights_it_is_a_bound() -> None:
    found = cost(recorded(), others=330)
    assert np.isnan(found.value) and found.at_most == pytest.approx(0.024, rel=0.02)
    assert str(found).startswith("noise costs at most 0.024 of the loss")
    assert "330 other weights are trained" in str(found)


def test_one_sentence_states_what_is_missing() -> None:
    moving = type("Moving", (), {"name": "second", "status": Status.CONVERGING})
    cases = {
        "no group is known to be scale-invariant": {"states": ()},
        "SGD with coupled decay alone": {"rule": SGD(lr=0.1, wd=0.01, decoupled=True)},
        "alone, without dampening": {"rule": SGD(lr=0.1, wd=0.01, momentum=0.5, dampening=0.5)},
        "there is no weight decay": {"rule": SGD(lr=0.1, wd=0.0)},
        "gradients are clipped": {"clipped": True},
        "second is not in equilibrium": {"states": (moving,)},
    }
    for reason, options in cases.items():
        found = cost(recorded(), **options)
        assert np.isnan([found.value, found.error, found.at_most]).all()
        assert reason in str(found) and str(found).startswith("what noise costs: not given, ")
    samples = {
        "weights change between steps": {"between": 0.1},
        "8 samples in equilibrium of 16 needed": {"count": 16},
        "pass configurational=True, loss_fn and batches": {"probed": False},
        "pass it to gas.loss": {"loss": np.nan},
        "the drift, ‖∇L‖²/G, is too large or not known": {"drift": 0.5},
        "the step, η_eκ, is too large or not known": {"step": 0.8},
        "pV over the loss is too large": {"loss": 0.19},
    }
    for reason, options in samples.items():
        found = cost(recorded(**options))
        assert np.isnan(found.value) and reason in str(found), found


def test_momentum_counts_in_the_step() -> None:
    """The product of successive gradients shows the step of η; η_e has 1/(1 − α)."""
    heavy = SGD(lr=0.01, wd=0.01, momentum=0.9)
    assert np.isfinite(cost(recorded(count=2000, step=0.03), heavy).value)
    assert "the step" in cost(recorded(count=2000, step=0.09), heavy).reason


def test_a_condition_that_is_known_badly_is_not_measured() -> None:
    """The same mean from few samples: it and two standard errors are beyond the limit."""
    assert np.isfinite(cost(recorded(count=4000, drift=0.43)).value)
    few = [cost(recorded(count=60, drift=0.43, seed=seed)) for seed in range(20)]
    assert sum("not known well enough" in one.reason for one in few) > 12


def test_every_printed_run_has_the_line() -> None:
    for kind, reason in {"sgd": "is not in equilibrium", "adamw": "SGD with coupled decay"}.items():
        _, _, gas = run(kind, 60)
        assert reason in gas.noise_cost().reason and str(gas.noise_cost()) in str(gas)
    assert gas.trained == sum(p.numel() for p in run("adamw", 1)[0].parameters())
    gas, _ = drawn_gas(lambda p: torch.optim.SGD(p, 0.05, weight_decay=0.0), 200)
    assert "there is no weight decay" in str(gas) and gas.trained == 60


@pytest.mark.thorough
def test_a_loop_in_equilibrium_wins_what_is_printed() -> None:
    """A scale-invariant network on the digits: the loss falls by the number after a cut by 20, within its interval."""
    torch.manual_seed(0)
    data = digits()
    x, y = torch.tensor(data.inputs), torch.tensor(data.labels)
    model = nn.Sequential(
        nn.Linear(64, 8, bias=False), nn.BatchNorm1d(8, affine=False), nn.ReLU(), nn.Linear(8, 10, bias=False)
    )
    model[3].weight.requires_grad_(False).mul_(3)
    optimizer = torch.optim.SGD([model[0].weight], 0.2, weight_decay=0.003)

    def loss_fn(model, batch):
        return nn.functional.cross_entropy(model(batch[0]), batch[1])

    def drawn(generator):
        chosen = torch.randint(len(x), (128,), generator=generator)
        return x[chosen], y[chosen]

    def energy(model):
        parts = [(x[i : i + 128], y[i : i + 128]) for i in range(0, 1700, 128)]
        with torch.no_grad():
            return float(np.mean([float(loss_fn(model, part)) for part in parts]))

    generator = torch.Generator().manual_seed(1)
    probes = [drawn(generator) for _ in range(40)]
    gas = watch(model, optimizer, every=20, configurational=True, loss_fn=loss_fn, batches=probes)

    def train(steps, every=0):
        seen = []
        for k in range(steps):
            loss = loss_fn(model, drawn(generator))
            gas.loss(loss)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if every and k % every == 0:
                seen.append(energy(model))
        return np.array(seen)

    train(12_000)
    found = gas.noise_cost()
    assert np.isfinite(found.value), str(gas)
    before = train(3000, 10)
    optimizer.param_groups[0]["lr"] /= 20
    train(400)
    fall = before.mean() - train(400, 10).mean()
    assert abs(fall - 0.95 * found.value) < 2 * found.error + 0.1 * found.value, (fall, str(found))
