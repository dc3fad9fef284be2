"""What weight decay does, found on copies of an optimizer: each convention, what is refused, the run undisturbed."""

import random
from typing import Any

import numpy as np
import pytest
import torch

from watched_runs import GROUPS, Own, batches, drawn_gas, network, steps
from weightgas.monitoring import watch
from weightgas.optimizers import SGD, Unknown
from weightgas.status import Status


class Custom(torch.optim.Optimizer):
    """Of a user: each parameter with its group and state goes to ``move``, which changes it in place."""

    def __init__(self, params: Any, **defaults: Any) -> None:
        super().__init__(params, {"lr": 0.1, "weight_decay": 1e-2, **defaults})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step of all parameters."""
        if closure is not None:
            with torch.enable_grad():
                closure()
        for group in self.param_groups:
            for p in (p for p in group["params"] if p.grad is not None):
                self.move(p, p.grad, group, self.state[p])

    def move(self, p: torch.Tensor, g: torch.Tensor, group: dict[str, Any], state: dict[str, Any]) -> None:
        """What a subclass does."""
        raise NotImplementedError


class PlainL2(Custom):
    """w ← w − η(g + λw)"""

    def move(self, p, g, group, state) -> None:
        p.sub_(group["lr"] * (g + group["weight_decay"] * p))


class MomentumL2(Custom):
    """Decay in the buffer, with Nesterov's step where the group has it."""

    def move(self, p, g, group, state) -> None:
        d, alpha = g + group["weight_decay"] * p, group["momentum"]
        state["buffer"] = alpha * state["buffer"] + d if "buffer" in state else d.clone()
        p.sub_(group["lr"] * (d + alpha * state["buffer"] if group.get("nesterov") else state["buffer"]))


class SignsL2(Custom):
    """Lion with λw in the gradient."""

    def move(self, p, g, group, state) -> None:
        d, m = g + group["weight_decay"] * p, state.setdefault("m", torch.zeros_like(p))
        p.sub_(group["lr"] * (0.9 * m + 0.1 * d).sign())
        m.mul_(0.99).add_(d, alpha=0.01)


class WithoutRate(Custom):
    """w ← (1 − λ)w − η sign(g): decay that does not know the learning rate."""

    def move(self, p, g, group, state) -> None:
        p.mul_(1 - group["weight_decay"]).sub_(group["lr"] * g.sign())


class Slow(Custom):
    """Decay on a second copy of the weights that the parameters follow ever more slowly, as schedule-free ones do."""

    def move(self, p, g, group, state) -> None:
        state["k"] = state.get("k", 0) + 1
        z = state.setdefault("z", p.clone())
        z.sub_(group["lr"] * (g + group["weight_decay"] * p))
        p.lerp_(z, 1 / state["k"])


class Layerwise(Custom):
    """A step in proportion to the norm of the weights: there is no r at which it balances decay."""

    def move(self, p, g, group, state) -> None:
        p.sub_(group["lr"] * (g / g.norm() * p.norm() + group["weight_decay"] * p))


class Normed(Custom):
    """λw in a gradient that is then normalised."""

    def move(self, p, g, group, state) -> None:
        d = g + group["weight_decay"] * p
        p.sub_(group["lr"] * d / d.norm())


class Cautious(Custom):
    """Decay where it agrees with the update alone."""

    def move(self, p, g, group, state) -> None:
        p.sub_(group["lr"] * (g.sign() + group["weight_decay"] * p * (g * p > 0)))


class Random(Custom):
    """A step that draws from every generator."""

    def move(self, p, g, group, state) -> None:
        draw = torch.rand(()) + random.random() + np.random.rand()  # noqa: NPY002
        p.sub_(group["lr"] * (g * (1 + 0.0 * float(draw)) + group["weight_decay"] * p))
        state["noise"] = float(draw)


class NeedsClosure(PlainL2):
    """One whose step cannot be made without a closure."""

    def step(self, closure: Any) -> None:  # type: ignore[override]
        """As any."""
        closure()
        super().step()


def run(make: Any, count: int = 25, watched: bool = True, low: bool = False, **options: Any):
    """(model, optimizer, gas) of a short run on the digits."""
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    model = network()
    optimizer = make(model.parameters())
    gas = watch(model, optimizer, groups=GROUPS, every=5, **options) if watched else None
    steps(model, optimizer, count)
    return model, optimizer, gas


_BY = "decay found by intervention:"
FOUND = {
    "decoupled": (lambda p: Own(p, 1e-3, 0.1), f"Own; {_BY} decoupled", 1e-4, 2),
    "L2": (lambda p: PlainL2(p), f"PlainL2; {_BY} decoupled, or coupled without momentum", 1e-3, 4),
    "L2 in momentum": (
        lambda p: MomentumL2(p, momentum=0.9), f"MomentumL2; {_BY} coupled, 10 ηλ a step", 1e-2, 4,
    ),
    "L2 in Nesterov": (
        lambda p: MomentumL2(p, momentum=0.8, nesterov=True),
        f"MomentumL2; {_BY} coupled, 5 ηλ a step", 5e-3, 4,
    ),
    "no learning rate in it": (
        lambda p: WithoutRate(p, lr=1e-3), f"WithoutRate; {_BY} decoupled, 1e+03 ηλ a step", 1e-2, 2,
    ),
    "random": (lambda p: Random(p), f"Random; {_BY} decoupled, or coupled without momentum", 1e-3, 4),
}  # fmt: skip


@pytest.mark.parametrize("name", FOUND)
def test_decay_is_found_and_the_run_is_the_same(name: str) -> None:
    make, title, share, power = FOUND[name]
    (model, _optimizer, gas), (plain, _, _) = run(make), run(make, watched=False)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), plain.parameters(), strict=True))
    assert gas is not None and gas.attached and gas.notes() == []
    rule = gas.rules[0]
    assert rule.title == title and rule.power == power and rule.refused == "" and title in str(gas)
    assert rule.decay_share() == pytest.approx(share, rel=2e-3)
    late = gas.record["decay"][-1] / gas.record["radius"][-1] ** 2
    filled = rule.decay_share(gas.record.step[-1] + 1.0)
    assert filled is not None and late == pytest.approx(-filled * (2 - filled), rel=1e-6)


REFUSED = {
    "signs of g + λw": (lambda p: SignsL2(p, lr=1e-3), "L2 in an adaptive step"),
    "normalised g + λw": (lambda p: Normed(p, lr=1e-2), "L2 in an adaptive step"),
    "cautious": (lambda p: Cautious(p, lr=1e-3), "not along the weights"),
    "slow": (lambda p: Slow(p), "not as in a momentum buffer"),
    "layerwise": (lambda p: Layerwise(p, lr=1e-2), "state it by rule="),
    "a closure": (lambda p: NeedsClosure(p), "a copy fails: TypeError"),
    "Adam of torch": (lambda p: torch.optim.NAdam(p, 1e-3, weight_decay=1e-2), "L2 in an adaptive step"),
    "Adafactor": (lambda p: torch.optim.Adafactor(p, 1e-2, weight_decay=0.1), "not along the weights"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_none_of_these_is_refused_with_the_reason(name: str) -> None:
    make, reason = REFUSED[name]
    torch.manual_seed(0)
    model, plain = network(), network()
    plain.load_state_dict(model.state_dict())
    optimizer, other = make(model.parameters()), make(plain.parameters())
    gas = watch(model, optimizer, groups=GROUPS, every=5)
    for net, opt in ((model, optimizer), (plain, other)):
        torch.manual_seed(1)
        for x, y in batches(25):
            opt.zero_grad()
            torch.nn.functional.cross_entropy(net(x), y).backward()
            opt.step(*([lambda: None] if isinstance(opt, NeedsClosure) else []))
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), plain.parameters(), strict=True))
    for state in gas.groups():
        assert state.status == Status.NOT_APPLICABLE and reason in state.reason, state.reason
        assert np.isnan([state.radius_star, state.radius_star_low, state.radius_law, state.steps_to_go]).all()
        assert np.isinf(state.relaxation_time) and np.isfinite([state.radius, state.angle, state.elr]).all()
    assert "unknown decay" in gas.rules[0].title and np.isnan(gas.record["decay"][1:]).all()
    assert gas.attached and all(one.basis == "none" for one in gas.forecast(500).values())


def test_a_rule_that_is_stated_is_taken_without_intervention(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weightgas.monitoring.intervention.Copies", None)
    gas = run(lambda p: MomentumL2(p, momentum=0.9), rule=SGD(momentum=0.9))[2]
    assert gas.rules[0].title == "SGD, momentum 0.9; coupled decay" and "stated by rule=" in str(gas)


def test_a_subclass_with_decay_of_its_own_is_not_its_parent() -> None:
    class Shrinking(torch.optim.SGD):
        @torch.no_grad()
        def step(self, closure=None):
            for p in (p for group in self.param_groups for p in group["params"]):
                p.mul_(0.99)
            return super().step(closure)

    gas = run(lambda p: Shrinking(p, 0.1, weight_decay=1e-2))[2]
    assert isinstance(gas.rules[0], Unknown) and gas.groups()[0].status == Status.NOT_APPLICABLE
    assert gas.steps == 25 and (gas.record["closure"] < 1e-9).all()  # hooks inside hooks count once


@pytest.mark.thorough
def test_the_budget_with_found_decay_leads_where_the_closed_form_does() -> None:
    """A home-made SGD with L2 in its momentum, from twice r*: r*, relaxation time and equilibrium as of torch's."""
    lr, wd, dim = 0.1, 0.05, 60
    law = SGD(lr, wd, 0.5)
    star = float(law.radius(dim, dim - 1.0))
    make = lambda p: MomentumL2(p, lr=lr, weight_decay=wd, momentum=0.5)  # noqa: E731
    (state,) = drawn_gas(make, 4000, dim=dim, radius=2 * star, seed=1)[0].groups()
    (expected,) = drawn_gas(
        lambda p: torch.optim.SGD(p, lr, 0.5, weight_decay=wd), 4000, dim=dim, radius=2 * star, seed=1
    )[0].groups()
    assert state.status == expected.status == Status.EQUILIBRIUM, state.reason
    assert state.radius_star == pytest.approx(expected.radius_star, rel=1e-3) == pytest.approx(star, rel=0.03)
    assert state.relaxation_time == pytest.approx(float(law.relaxation_time(dim, dim - 1.0)), rel=0.05)
    for name in ("decay", "alignment", "update", "angle", "radius_mean"):
        assert getattr(state, name) == pytest.approx(getattr(expected, name), rel=1e-3), name


def test_gradients_that_are_not_usual_do_not_make_a_refusal_final() -> None:
    """Learning rates that begin at 0, gradients of 0 and infinite ones: what decay does is found later."""
    torch.manual_seed(0)
    model = network()
    optimizer = PlainL2(model.parameters(), lr=0.0)
    gas = watch(model, optimizer, groups=GROUPS, every=2)
    for n, (x, y) in enumerate(batches(60)):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x), y).backward()
        if 4 <= n < 30:
            for p in model.parameters():
                assert p.grad is not None
                p.grad.mul_(0.0 if n < 16 else torch.inf)
        kept = [p.detach().clone() for p in model.parameters()]
        optimizer.param_groups[0]["lr"] = 0.1 if n >= 4 else 0.0
        optimizer.step()
        if n < 30:
            with torch.no_grad():
                for p, w in zip(model.parameters(), kept, strict=True):
                    p.copy_(w)
    assert gas.attached and gas.rules[0].refused == "" and "found by intervention" in gas.rules[0].title


def test_r_star_along_the_run_is_refused_too() -> None:
    """Of an update in proportion to the weights, whose decay is known and whose power is not."""

    class Relative(Custom):
        def move(self, p, g, group, state) -> None:
            p.sub_(
                group["lr"] * group["weight_decay"] * p + group["lr"] * g / g.norm() * state.setdefault("r", p.norm())
            )

    gas = run(lambda p: Relative(p, lr=1e-2), count=60)[2]
    assert gas is not None and gas.rules[0].decay_known and "its update goes as g^" in gas.rules[0].refused
    assert np.isnan(gas.trace()["group_radius_star"].values).all()
    state = gas.groups()[0]
    assert state.status == Status.NOT_APPLICABLE and np.isnan(state.radius_star) and state.decay < 0


def test_r_star_along_the_run_knows_momentum() -> None:
    make = lambda p: torch.optim.SGD(p, 0.1, momentum=0.5, weight_decay=1e-2)  # noqa: E731
    _, optimizer, gas = run(make, count=100)
    assert gas is not None and np.isfinite(gas.trace()["group_radius_star"].values[0, 0, -1]).all()
    values = gas.record._values["momentum"]
    values[: len(gas.record) - 2] = 0.9
    assert np.isnan(gas.trace()["group_radius_star"].values[0, 0, -1]).all() and optimizer.param_groups


@pytest.mark.parametrize("kind", [MomentumL2, Own], ids=["called", "never called"])
def test_a_step_with_a_closure_finds_the_same(kind: Any) -> None:
    """Where it is never called, the gradients and the copy's tensors are read after the step."""

    def go(closed: bool):
        torch.manual_seed(0)
        model = network()
        optimizer = kind(model.parameters(), lr=1e-2, weight_decay=1e-2, **({} if kind is Own else {"momentum": 0.9}))
        gas = watch(model, optimizer, groups=GROUPS, every=5)
        for x, y in batches(20):

            def evaluate(x=x, y=y) -> None:
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(model(x), y).backward()

            if not closed or kind is Own:
                evaluate()
            optimizer.step(evaluate if closed else None)
        return gas, optimizer

    (gas, _optimizer), (expected, _other) = go(True), go(False)
    assert gas.rules[0].title == expected.rules[0].title and "found by intervention" in gas.rules[0].title
    for name, array in expected.record.arrays().items():
        rtol = 1e-5 if name in ("decay", "alignment", "closure", "decay_factor") else 0
        np.testing.assert_allclose(gas.record.arrays()[name], array, rtol=rtol, atol=1e-9, err_msg=name)


class NeedsTensors(MomentumL2):
    """One that fails on a parameter group without gradients, as functions of torch on lists do."""

    def step(self, closure: Any = None) -> None:
        """As any."""
        assert all(any(p.grad is not None for p in group["params"]) for group in self.param_groups)
        super().step(closure)


@pytest.mark.parametrize("cap", [1 << 24, 600])
def test_several_parameter_groups_and_large_tensors(cap: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A group that comes later, one of vectors without decay, and one with tensors that are too large to be copied."""
    monkeypatch.setattr("weightgas.monitoring.copies._LARGEST", cap)

    def make(parameters: Any) -> torch.optim.Optimizer:
        every = list(parameters)
        vectors = {"params": [p for p in every if p.ndim < 2], "weight_decay": 0.0}
        optimizer = NeedsTensors([vectors, {"params": [every[0]]}], momentum=0.9)
        optimizer.add_param_group({"params": [p for p in every[1:] if p.ndim == 2], "lr": 0.05})
        return optimizer

    (model, _optimizer, gas), (plain, _, _) = run(make), run(make, watched=False)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), plain.parameters(), strict=True))
    first, second = gas.rules
    assert second.title == f"NeedsTensors; {_BY} coupled, 10 ηλ a step" and second.rates() == (0.05, 1e-2)
    if cap > 600:
        assert first.title == second.title and first.rates() == (0.1, 1e-2)
    else:
        assert "it takes a watched tensor of 8 to 600 elements" in gas.groups()[0].reason
