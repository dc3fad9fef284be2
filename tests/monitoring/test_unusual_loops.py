"""``watch`` in loops that stumble: what is wrong is given, and the run is what it would have been without it."""

import gc

import numpy as np
import pytest
import torch
from torch import nn

from representatives import names_except
from watched_runs import GROUPS, OPTIMIZERS, OneTensor, Own, batches, network, steps
from weightgas.monitoring import watch
from weightgas.status import Status


def loss_fn(model, batch):
    return nn.functional.cross_entropy(model(batch[0]), batch[1])


def same(model: nn.Module, other: nn.Module) -> bool:
    """Whether parameters and buffers are equal bit by bit, NaN included."""
    pairs = zip([*model.parameters(), *model.buffers()], [*other.parameters(), *other.buffers()], strict=True)
    return all(torch.equal(a.nan_to_num(1e30), b.nan_to_num(1e30)) for a, b in pairs)


def one(make=lambda p: torch.optim.SGD(p, 0.1, weight_decay=0.1), dtype: torch.dtype = torch.float64, **options):
    """(model, optimizer, gas) of nine weights whose gradients the test sets."""
    model = OneTensor(np.ones(9), dtype)
    optimizer = make(model.parameters())
    return model, optimizer, watch(model, optimizer, groups={"all": ["weight"]}, every=2, **options)


def test_a_gradient_that_is_not_finite_for_a_while() -> None:
    """An optimizer that skips such steps continues; so does the status, once samples are finite again."""
    model, optimizer, gas = one()
    told = []
    for n in range(20):
        model.weight.grad = torch.full((9,), torch.inf if 6 <= n < 10 else 1.0, dtype=torch.float64)
        before = model.weight.detach().clone()
        optimizer.step()
        if not torch.isfinite(model.weight).all():
            with torch.no_grad():
                model.weight.copy_(before)
        told.append(gas.groups()[0].status == Status.DIVERGED if n > 2 else False)
    assert told[9] and not told[-1] and gas.attached
    assert np.isfinite(gas.record["radius"]).all() and not any("not finite" in note for note in gas.notes())


@pytest.mark.parametrize("kind", ["momentum", "adamw"])
def test_a_run_that_becomes_nan_stays_the_same_run(kind: str) -> None:
    def go(watched: bool):
        torch.manual_seed(0)
        model = network()
        optimizer = OPTIMIZERS[kind](model.parameters())
        more = {"configurational": True, "loss_fn": loss_fn, "batches": list(batches(2))}
        torch.manual_seed(1)
        gas = watch(model, optimizer, groups=GROUPS, every=2, **more) if watched else None
        for n, (x, y) in enumerate(batches(20)):
            optimizer.zero_grad()
            (loss_fn(model, (x, y)) * (torch.nan if n == 11 else 1.0)).backward()
            optimizer.step()
        return model, optimizer, gas

    (model, _optimizer, gas), (plain, _, _) = go(True), go(False)  # hooks live as long as their optimizer
    assert gas is not None and same(model, plain) and model[0].weight.isnan().any()
    assert gas.attached and gas.steps == 20 and all(s.status == Status.DIVERGED for s in gas.groups())
    assert "the run continues" in str(gas)


def test_a_probe_batch_whose_loss_is_not_finite_costs_its_sample_alone() -> None:
    def sometimes(model, batch):
        return -model.weight[0] / model.weight.norm() * batch

    generator = torch.Generator().manual_seed(0)
    model, optimizer, gas = one(configurational=True, loss_fn=sometimes, batches=[1.0, torch.nan])
    for _ in range(60):
        noise, w = torch.randn(9, generator=generator, dtype=torch.float64), model.weight.detach()
        model.weight.grad = noise - (noise @ w) / (w @ w) * w
        optimizer.step()
    read = np.isfinite(gas.record["laplacian"][:, 0])
    assert 0 < read.sum() < len(read) and np.isfinite(gas.record["radius"]).all()
    assert np.isfinite(gas.groups()[0].temperature_conf) and np.isfinite(gas.groups()[0].temperature)


@pytest.mark.thorough
@pytest.mark.parametrize("make", [lambda p: torch.optim.SGD(p, 0.1, 0.9, weight_decay=1e-2), torch.optim.LBFGS])
def test_closures_are_called_as_often_as_without(make) -> None:
    def go(watched: bool):
        torch.manual_seed(0)
        model, calls = network(), 0
        optimizer = make(model.parameters())
        more = {"configurational": True, "loss_fn": loss_fn, "batches": list(batches(2))}
        torch.manual_seed(1)
        gas = watch(model, optimizer, groups=GROUPS, every=2, **more) if watched else None
        for x, y in batches(8):

            def closure(x=x, y=y):
                nonlocal calls
                calls += 1
                optimizer.zero_grad()
                loss = loss_fn(model, (x, y))
                loss.backward()
                return loss

            optimizer.step(closure)
        return model, calls, gas

    (model, calls, gas), (plain, expected, _) = go(True), go(False)
    assert gas is not None and same(model, plain) and calls == expected
    assert len(gas.record) >= 3 and (np.abs(gas.record["closure"]) < 1e-9 * gas.record["radius"] ** 2).all()
    assert np.isfinite(gas.record["laplacian"]).all()


def test_a_learning_rate_from_a_checkpoint_and_a_parameter_group_that_comes_later() -> None:
    torch.manual_seed(0)
    model = network()
    optimizer = torch.optim.SGD(model[:4].parameters(), 0.1, weight_decay=1e-2)
    gas = watch(model, optimizer, groups={"first": ["0.weight"]}, every=2)
    steps(model, optimizer, 10)
    saved = optimizer.state_dict()
    saved["param_groups"][0]["lr"] = 0.02
    optimizer.load_state_dict(saved)
    optimizer.add_param_group({"params": model[4:].parameters(), "lr": 0.5})
    steps(model, optimizer, 10)
    lr = gas.record["lr"][:, 0]
    assert gas.attached and lr[0] == 0.1 and lr[-1] == 0.02
    assert (np.abs(gas.record["closure"]) < 1e-9).all()


def test_weights_that_are_frozen_on_the_way() -> None:
    torch.manual_seed(0)
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), 0.1, weight_decay=1e-2)
    gas = watch(model, optimizer, groups=GROUPS, every=2)
    steps(model, optimizer, 10)
    model[0].weight.requires_grad_(False)
    optimizer.zero_grad(set_to_none=True)
    radius = float(model[0].weight.norm())
    steps(model, optimizer, 10)
    late = gas.record.step >= 10
    assert gas.attached and (gas.record["decay"][late, 0] == 0).all() and (gas.record["decay"][late, 1] < 0).all()
    np.testing.assert_allclose(gas.record["radius"][late, 0], radius, rtol=1e-6)
    state, moving, *_ = gas.groups()
    assert state.reason.startswith("no gradient since step 10: frozen") and state.reason in str(gas)
    assert np.isnan([state.temperature, state.compressibility, state.radius_star, state.relaxation_time]).all()
    assert state.angle == 0 and np.isinf(state.decay_time) and state.status == Status.NOT_APPLICABLE
    assert moving.angle > 0 and moving.decay_time < 1e4
    (ahead, *_), shown = gas.forecast(1000).values(), gas.trace().attrs["groups_excluded"]
    assert ahead.basis == "none" and "no gradient" in ahead.reason and gas.names[0] in shown


def test_a_replaced_module_has_no_gradient_and_one_that_is_used_again_has() -> None:
    model = OneTensor(np.ones(9))
    model.register_parameter("other", nn.Parameter(torch.ones(4)))
    optimizer = torch.optim.SGD(model.parameters(), 0.1, weight_decay=0.1)
    gas = watch(model, optimizer, groups={"all": ["weight"], "other": ["other"]}, every=2)
    for n in range(60):
        model.other.grad = torch.ones(4)
        model.weight.grad = None if 20 <= n < 40 else torch.randn(9, dtype=torch.float64)
        optimizer.step()
        if n == 39:
            assert gas.groups()[0].reason.startswith("no gradient since step 20")
    assert "no gradient" not in gas.groups()[0].reason


def test_an_optimizer_that_is_gone_and_hooks_that_are_taken_off() -> None:
    model, optimizer, gas = one()
    for _ in range(6):
        model.weight.grad = torch.ones(9, dtype=torch.float64)
        optimizer.step()
    gas.detach()
    optimizer.step()
    assert not gas.attached and gas.steps == 6 and "all" in str(gas)
    again = watch(model, optimizer, groups={"all": ["weight"]}, every=2)
    for _ in range(4):
        optimizer.step()
    del optimizer
    gc.collect()
    assert not again.attached and len(again.groups()) == 1 and not any("hooks are off" in n for n in again.notes())


def test_sparse_gradients() -> None:
    torch.manual_seed(0)
    model = nn.Embedding(20, 4, sparse=True)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    gas = watch(model, optimizer, groups={"words": ["weight"]}, every=2)
    for _ in range(10):
        optimizer.zero_grad()
        (model(torch.randint(20, (6,))) ** 2).sum().backward()
        optimizer.step()
    assert len(gas.record) >= 4 and (np.abs(gas.record["closure"]) < 1e-9).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_weights_of_low_precision_close_too(dtype: torch.dtype) -> None:
    """The budget is of the step that was made, rounding of the weights included: that goes into the update."""
    generator = torch.Generator().manual_seed(0)
    model, optimizer, gas = one(dtype=dtype)
    for _ in range(40):
        model.weight.grad = torch.randn(9, generator=generator).to(dtype)
        optimizer.step()
    assert gas.groups()[0].closure < 1e-4 and np.isfinite(gas.record["radius"]).all()


class Wrapper(torch.optim.Optimizer):
    """Of the shape of accelerate's: a subclass that wraps another optimizer and was never initialised as one."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.optimizer = optimizer

    @property
    def param_groups(self):  # type: ignore[override]
        """Those of the inner one."""
        return self.optimizer.param_groups

    def zero_grad(self, set_to_none: bool = True) -> None:
        """That of the inner one."""
        self.optimizer.zero_grad(set_to_none)

    def step(self, closure=None):
        """That of the inner one."""
        return self.optimizer.step(closure)


@pytest.mark.parametrize("wrap", [Wrapper, lambda inner: Wrapper(Wrapper(inner))])
def test_an_optimizer_that_wraps_another_is_watched_inside(wrap) -> None:
    def go(wrapped: bool):
        torch.manual_seed(0)
        model = network()
        inner = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=1e-2)
        optimizer = wrap(inner) if wrapped else inner
        gas = watch(model, optimizer, groups=GROUPS, every=2)
        steps(model, optimizer, 20)
        return model, gas, optimizer

    (model, gas, _optimizer), (plain, expected, _) = go(True), go(False)  # hooks live as long as it
    assert same(model, plain) and gas.attached and gas.groups()[0].rule == "SGD, momentum 0.9; coupled decay"
    for name, array in expected.record.arrays().items():
        np.testing.assert_array_equal(gas.record.arrays()[name], array)


def test_a_wrapper_without_hooks_and_without_an_inner_optimizer_is_refused() -> None:
    model = network()
    with pytest.raises(TypeError, match=r"optimizer: expected a torch\.optim\.Optimizer, got Wrapper.*Pass the inner"):
        watch(model, Wrapper(None), groups=GROUPS)  # type: ignore[arg-type]


def by_closure(optimizer, evaluate) -> None:
    optimizer.step(evaluate)


def by_keyword(optimizer, evaluate) -> None:
    optimizer.step(closure=evaluate)


def plainly(optimizer, evaluate) -> None:
    with torch.enable_grad():
        evaluate()
    optimizer.step()


def closures(take, make=OPTIMIZERS["momentum"], project: bool = False):
    """(model, optimizer, gas) of twenty steps taken by ``take(optimizer, closure)``."""
    torch.manual_seed(0)
    model = network()
    optimizer = make(model.parameters())
    probe = list(batches(2))
    gas = watch(model, optimizer, groups=GROUPS, every=2, configurational=True, loss_fn=loss_fn, batches=probe)
    for batch in batches(20):

        def evaluate(batch=batch):
            optimizer.zero_grad()
            loss = loss_fn(model, batch)
            loss.backward()
            gas.loss(loss)
            return loss

        take(optimizer, evaluate)
        if project:
            with torch.no_grad():
                model[0].weight /= model[0].weight.norm()
    return model, optimizer, gas


@pytest.mark.parametrize("kind", names_except(["momentum"], ["momentum", "adam", "amsgrad"]))
@pytest.mark.parametrize("take", [by_closure, by_keyword])
def test_steps_with_a_closure_are_read_like_those_without(take, kind: str) -> None:
    (model, _, gas), (plain, _, expected) = closures(take, OPTIMIZERS[kind]), closures(plainly, OPTIMIZERS[kind])
    assert same(model, plain) and len(gas.record) == 10
    for name, array in expected.record.arrays().items():
        np.testing.assert_array_equal(gas.record.arrays()[name], array)
    assert (np.abs(gas.record["between"]) < 1e-13).all() and np.isfinite(gas.record.energy).all()
    assert gas.notes() == []


@pytest.mark.parametrize("make", [OPTIMIZERS["sgd"], lambda p: torch.optim.LBFGS(p, max_iter=3)])
def test_weights_that_change_between_steps_with_a_closure_are_noticed(make) -> None:
    assert not any("change between" in note for note in closures(by_closure, make)[2].notes())
    _, optimizer, gas = closures(by_closure, make, project=True)
    assert any("weights change between steps" in note for note in gas.notes()) and optimizer.param_groups
    between = np.abs(gas.record["between"])
    assert (between[:, 1] < 1e-13).all() and (between[:, 0] > 1e-6).all()


def test_an_optimizer_that_never_calls_its_closure() -> None:
    """Its gradients are read after the step, and no probe batch is: the weights are others by then."""

    def take(optimizer, evaluate) -> None:
        evaluate()
        optimizer.step(lambda: pytest.fail("Own never calls it"))

    model, _, gas = closures(take, lambda p: Own(p, 1e-3, 0.1))
    plain, _, expected = closures(plainly, lambda p: Own(p, 1e-3, 0.1))
    assert same(model, plain) and gas.notes() == expected.notes() == []
    for name, array in expected.record.arrays().items():
        if name not in ("laplacian", "probe_grad_sq"):
            np.testing.assert_array_equal(gas.record.arrays()[name], array)
    assert np.isnan(gas.record["laplacian"]).all() and np.isfinite(expected.record["laplacian"]).all()


def test_a_step_that_raises_leaves_nothing_behind() -> None:
    """A loop that catches what its closure raised, and repeats the step, is watched as if it had not happened."""

    def take(optimizer, evaluate) -> None:
        def broken():
            raise MemoryError("planted")

        with pytest.raises(MemoryError, match="planted"):
            optimizer.step(broken)
        optimizer.step(evaluate)

    (model, _optimizer, gas), (plain, _, expected) = closures(take), closures(by_closure)
    assert same(model, plain) and gas.attached and gas.steps == 20
    for name, array in expected.record.arrays().items():
        np.testing.assert_array_equal(gas.record.arrays()[name], array)


def test_a_failure_of_one_of_two_watches_ends_neither_the_run_nor_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    model, optimizer, gas = one()
    other = watch(model, optimizer, groups={"all": ["weight"]}, every=2)

    def broken(*_):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(gas._probe, "_read_weights", broken)
    with pytest.warns(UserWarning, match="the run continues unwatched: RuntimeError: out of memory"):
        for _ in range(6):
            model.weight.grad = torch.ones(9, dtype=torch.float64)
            optimizer.step()
    assert not gas.attached and other.attached and other.steps == 6 and len(other.record) == 3
    assert [any("out of memory" in note for note in g.notes()) for g in (gas, other)] == [True, False]


class Twice(torch.optim.SGD):
    """A subclass that calls the step of its parent: torch runs the hooks of both."""

    def step(self, closure=None):
        """With decay of its own before it."""
        with torch.no_grad():
            for p in (p for group in self.param_groups for p in group["params"]):
                p.mul_(0.999)
        return super().step(closure)


def test_hooks_inside_hooks_are_read_once() -> None:
    torch.optim.SGD(network().parameters(), 0.1)  # from here on torch calls hooks in the step of the parent too
    torch.manual_seed(0)
    model = network()
    optimizer = Twice(model.parameters(), 0.0)
    calls = []
    handle = optimizer.register_step_pre_hook(lambda *_: calls.append(1))
    gas = watch(model, optimizer, groups=GROUPS, every=2)
    steps(model, optimizer, 10)
    assert len(calls) == 20 and gas.steps == 10 and len(gas.record) == 5 and handle is not None
    change = gas.record["decay"] + gas.record["alignment"] + gas.record["update"]
    np.testing.assert_allclose(np.nansum([gas.record["alignment"], gas.record["update"]], axis=0), change, rtol=1e-9)
    np.testing.assert_allclose(change / gas.record["radius"] ** 2, 0.999**2 - 1, rtol=1e-3)


class Perturbing(torch.optim.SGD):
    """Sharpness-aware: the closure is called at other weights than those that are stepped."""

    def step(self, closure=None):
        """w ← w − η g(w + 0.01)"""
        params = [p for group in self.param_groups for p in group["params"]]
        with torch.no_grad():
            for p in params:
                p.add_(0.01)
        assert closure is not None
        closure()
        with torch.no_grad():
            for p in params:
                p.sub_(0.01)
        return super().step()


def test_weights_that_move_before_the_closure_are_refused() -> None:
    with pytest.warns(UserWarning, match="Perturbing moves the weights before it calls its closure"):
        model, _, gas = closures(by_closure, lambda p: Perturbing(p, 0.1))
    torch.manual_seed(0)
    plain = network()
    optimizer = Perturbing(plain.parameters(), 0.1)
    list(batches(2))
    for x, y in batches(20):

        def evaluate(x=x, y=y):
            optimizer.zero_grad()
            loss_fn(plain, (x, y)).backward()

        optimizer.step(evaluate)
    assert same(model, plain) and not gas.attached and len(gas.record) == 0
    assert "moves the weights before it calls its closure" in str(gas)


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch.jit, inside the compiler
def test_a_compiled_step_is_the_same_with_hooks_and_they_are_in_no_graph() -> None:
    graphs = []

    def go(watched: bool):
        torch.manual_seed(0)
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=2e-3)
        gas = watch(model, optimizer, groups=GROUPS, every=2) if watched else None

        def backend(graph, _):
            graphs.append(sum(node.op.startswith("call") for node in graph.graph.nodes))
            return graph.forward

        torch._dynamo.reset()
        optimizer.step = torch.compile(optimizer.step, backend=backend)
        steps(model, optimizer, 12)
        return model, gas, optimizer

    (plain, _, _), unwatched = go(False), list(graphs)
    graphs.clear()
    model, gas, _optimizer = go(True)
    assert gas is not None and same(model, plain) and graphs == unwatched and gas.attached and gas.notes() == []
    assert gas.steps == 12 and len(gas.record) == 6 and gas.groups()[0].closure < 1e-4
    torch.manual_seed(0)
    eager = network()
    optimizer = torch.optim.SGD(eager.parameters(), 0.1, momentum=0.9, weight_decay=2e-3)
    expected = watch(eager, optimizer, groups=GROUPS, every=2)
    steps(eager, optimizer, 12)
    for name in ("radius", "decay", "angle", "grad_sq"):
        np.testing.assert_allclose(gas.record[name], expected.record[name], rtol=1e-4, err_msg=name)
