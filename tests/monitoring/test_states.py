"""The states of groups: judged by ``measure``, with what the budget of the norm adds."""

import copy

import numpy as np
import pytest
import torch

from representatives import names_except
from watched_runs import OneTensor, Own, drawn_gas
from weightgas.measurement import Criteria, measure
from weightgas.monitoring import laws, series, states, watch
from weightgas.optimizers import SGD
from weightgas.status import Status, names

D, LR, WD = 60, 0.1, 0.05
STAR = float(SGD(LR, WD).radius(D, D - 1.0))


def sgd(parameters, wd: float = WD):
    return torch.optim.SGD(parameters, LR, weight_decay=wd)


@pytest.fixture(scope="module")
def settled():
    """A run of 40 relaxation times at r*."""
    return drawn_gas(sgd, 2000, dim=D, radius=STAR, seed=1)[0]


def further(gas_and_model, count: int, seed: int) -> None:
    """More steps of pure noise for a watched model."""
    model, optimizer = gas_and_model
    generator = torch.Generator().manual_seed(seed)
    w = model.weight.detach()
    for noise in torch.randn((count, D), generator=generator, dtype=torch.float64):
        model.weight.grad = (noise - (noise @ w) / (w @ w) * w) / w.norm()
        optimizer.step()


def test_one_group_is_what_measure_makes_of_the_trace(settled) -> None:
    (state,), found = settled.groups(), measure(settled.trace())
    assert state.status == Status.EQUILIBRIUM and names(found["status"].values).tolist() == ["equilibrium"]
    assert state.reason.endswith(str(found["reason"].values[0]))
    for name in ("temperature", "compressibility", "volume", "pressure"):
        assert getattr(state, name) == pytest.approx(float(found[name][0]), rel=1e-12), name


@pytest.mark.parametrize("count", [30, 90, 200])
def test_a_group_on_its_way_has_the_status_of_the_whole(count: int) -> None:
    gas = drawn_gas(sgd, count, dim=D, radius=2 * STAR, seed=2)[0]
    (state,), found = gas.groups(), measure(gas.trace())
    assert state.status.name.lower() == names(found["status"].values)[0] == "too_short"
    assert state.reason.startswith("norm +") and state.reason.endswith(str(found["reason"].values[0]))


def test_a_norm_far_from_the_budget_is_not_in_equilibrium(settled, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: a budget that is 10 % off. Whatever its statistics, such a norm is not where decay and update meet."""
    right = laws.budget_radius
    monkeypatch.setattr(laws, "budget_radius", lambda *given: (1.1 * right(*given)[0], right(*given)[1]))
    (state,) = settled.groups()
    assert state.status == Status.TOO_SHORT and "norm -9% from r*" in state.reason and "5% allowed" in state.reason
    assert np.isfinite([state.steps_to_go_low, state.steps_to_go_high]).all()  # no number without its interval


@pytest.mark.parametrize("radius", names_except([30.0], [1.0, 30.0]))
def test_decay_that_is_ignored_gives_no_equilibrium(radius: float) -> None:
    """An optimizer that ignores the decay of its group: nothing is assumed of it, and what was read stays."""

    class Ignoring(Own):
        @torch.no_grad()
        def step(self, closure=None) -> None:
            for p in (p for group in self.param_groups for p in group["params"]):
                p.sub_(0.1 * p.grad.sign())

    gas = drawn_gas(lambda p: Ignoring(p, LR, WD), 1000, dim=D, radius=radius, seed=3)[0]
    (state,) = gas.groups()
    assert state.status == Status.NOT_APPLICABLE and "the same weights at every weight_decay" in state.reason
    assert np.isnan([state.radius_star, state.steps_to_go, state.decay, state.temperature]).all()
    assert np.isinf(state.relaxation_time) and gas.forecast(2000)["all"].basis == "none" and "unknown decay" in str(gas)
    change = (gas.record["alignment"] + gas.record["update"])[:, 0]
    np.testing.assert_allclose(change[:-1].sum() > 0, True)
    assert np.isfinite([state.radius, state.angle, state.elr]).all() and state.closure < 1e-9


@pytest.mark.thorough
def test_samples_of_another_learning_rate_do_not_count() -> None:
    model = OneTensor(np.full(D, STAR / D**0.5))
    optimizer = sgd(model.parameters())
    gas = watch(model, optimizer, groups={"all": ["weight"]}, every=4)
    further((model, optimizer), 2000, seed=4)
    assert gas.groups()[0].status == Status.EQUILIBRIUM
    optimizer.param_groups[0]["lr"] = LR / 4
    further((model, optimizer), 100, seed=5)
    (state,) = gas.groups()
    assert state.status == Status.TOO_SHORT and "faster than the norm can follow" in state.reason
    assert "only samples since step 2000 count" in state.reason
    assert state.radius_star == pytest.approx(STAR / 2**0.5, rel=0.1) and state.radius > 1.2 * state.radius_star
    further((model, optimizer), 6000, seed=6)
    (state,) = gas.groups()
    assert state.status == Status.EQUILIBRIUM and "since step 2000" in state.reason, state.reason
    assert "faster" not in state.reason and state.radius == pytest.approx(STAR / 2**0.5, rel=0.06)
    assert state.temperature == pytest.approx(float(SGD(LR / 4, WD).temperature(STAR / 2**0.5, D - 1, D - 1)), rel=0.06)


def test_a_small_change_of_the_learning_rate_is_no_other_one(settled) -> None:
    record = copy.deepcopy(settled.record)
    record._values["lr"][100, 0] *= 1.1
    (state,), _ = states.states(record, {"all": D}, settled.rules, Criteria())
    assert "since step" not in state.reason
    record._values["lr"][100, 0] *= 1.5
    (state,), _ = states.states(record, {"all": D}, settled.rules, Criteria())
    assert f"only samples since step {record.step[101]} count" in state.reason


def test_without_decay_there_is_a_configurational_temperature_and_no_other() -> None:
    def loss_fn(model, _):
        return model.weight[0] / model.weight.norm()

    more = {"configurational": True, "loss_fn": loss_fn, "batches": [None]}
    gas = drawn_gas(lambda p: sgd(p, 0.0), 800, dim=D, slope=1.0, radius=20.0, seed=7, **more)[0]
    (state,) = gas.groups()
    assert state.status == Status.NOT_APPLICABLE and "no weight decay" in state.reason
    assert np.isnan([state.temperature, state.pressure, state.volume, state.compressibility]).all()
    read = gas.record["probe_grad_sq"].sum() / gas.record["laplacian"].sum()
    assert state.temperature_conf == pytest.approx(read, rel=0.5) and state.temperature_conf_err > 0


def test_other_criteria(settled) -> None:
    strict, lax = Criteria(relaxations=100), Criteria(radius_trend=0.5, ess=1, relaxations=0.1, turns=0.01, rhat=9)
    for criteria, expected in ((strict, Status.TOO_SHORT), (Criteria(), Status.EQUILIBRIUM)):
        settled.criteria = criteria
        assert settled.groups()[0].status == expected
    gas = drawn_gas(sgd, 200, dim=D, radius=STAR, seed=8, criteria=lax)[0]
    assert gas.groups()[0].status == Status.EQUILIBRIUM
    gas.criteria = Criteria()
    assert gas.groups()[0].status == Status.TOO_SHORT


def test_the_old_name_of_the_relaxation_time(settled) -> None:
    (state,) = settled.groups()
    with pytest.raises(AttributeError, match="clock: now relaxation_time"):
        _ = state.clock
    with pytest.raises(AttributeError, match="GroupState has no colour"):
        _ = state.colour
    assert repr(copy.copy(state)) == repr(state)


def test_r_star_along_the_run_is_that_of_the_last_quarter_before(settled) -> None:
    record, star = settled.record, settled.trace()["group_radius_star"].values[0, 0, :, 0]
    assert np.isnan(star[: series.LEAST - 1]).all() and np.isfinite(star[series.LEAST - 1 :]).all()
    for i in (3, 10, 100, len(record) - 1):
        kept = (record.step >= 0.75 * record.step[i]) & (record.step <= record.step[i])
        kept[i - 3 : i + 1] = True
        expected = states.predicted(record, 0, D, settled.rules[0], kept).star
        assert star[i] == pytest.approx(expected, rel=1e-9)
