"""What a sample keeps: one byte a parameter where the step can be made again, and what it costs in accuracy."""

import gc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from representatives import names_except
from weightgas.monitoring import Gas, sample, watch
from weightgas.monitoring.products import Compressed, grams, source
from weightgas.optimizers import SGD, Normalised

MADE_AGAIN: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "sgd": lambda p: torch.optim.SGD(p, 0.1, weight_decay=1e-2),
    "maximize": lambda p: torch.optim.SGD(p, 1e-3, weight_decay=1e-2, maximize=True),
    "momentum": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, dampening=0.5, weight_decay=1e-3),
    "nesterov": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, nesterov=True, weight_decay=1e-3),
    "adamw": lambda p: torch.optim.AdamW(p, 1e-3, weight_decay=0.1),
    "adam": lambda p: torch.optim.Adam(p, 1e-3, weight_decay=0.1, amsgrad=True),
    "fused": lambda p: torch.optim.AdamW(p, 1e-3, weight_decay=0.1, fused=True),
    "capturable": lambda p: torch.optim.AdamW(p, torch.tensor(1e-3), weight_decay=0.1, foreach=False),
}
COPIED: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "rmsprop": lambda p: torch.optim.RMSprop(p, 1e-3, weight_decay=0.1),
    "adagrad": lambda p: torch.optim.Adagrad(p, 1e-3, weight_decay=0.1),
}
WIDTH, STEPS = 256, 12


def model() -> nn.Module:
    torch.manual_seed(0)
    layers = [(nn.Linear(WIDTH, WIDTH, bias=False), nn.LayerNorm(WIDTH), nn.ReLU()) for _ in range(3)]
    return nn.Sequential(*[module for layer in layers for module in layer], nn.Linear(WIDTH, 10))


def trained(kind: Callable[[Any], torch.optim.Optimizer], look: Callable[..., None] | None = None, **more: Any) -> Gas:
    """Watched every second step; ``look(place)`` is called before a step, in it and after it."""
    net = model()
    optimizer = kind(list(net.parameters()))
    gas = watch(net, optimizer, every=2, **more)
    if look is not None:

        def before(*_: Any) -> None:
            grads = [p.grad for p in net.parameters()]  # live() finds what Python has seen
            look("in")
            del grads

        optimizer.register_step_pre_hook(before)
        optimizer.register_step_post_hook(lambda *_: look("after"))
    generator = torch.Generator().manual_seed(1)
    for _ in range(STEPS):
        x, y = torch.randn(32, WIDTH, generator=generator), torch.randint(10, (32,), generator=generator)
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
    return gas


def live() -> int:
    """Bytes of all tensors that live."""
    found = {o.untyped_storage().data_ptr(): o.untyped_storage().nbytes() for o in gc.get_objects() if _tensor(o)}
    return sum(found.values())


def _tensor(thing: Any) -> bool:
    kind = type(thing)  # those of torch.compile, which another test may have left, have no storage
    return issubclass(kind, Tensor) and not kind.__module__.startswith("torch._subclasses")


def kept_by_a_sample(kind: Callable[[Any], torch.optim.Optimizer]) -> float:
    """Bytes a watched parameter that live more in a step, or after it, with the sample than without one."""
    seen: dict[str, list[int]] = {"in": [], "after": []}

    def look(place: str) -> None:  # in the last steps alone: it takes long
        seen[place].append(live() if len(seen[place]) >= STEPS - 2 else 0)

    gas = trained(kind, look)  # a sample is opened at even steps and finished at odd ones
    return max(counts[-2] - counts[-1] for counts in seen.values()) / sum(gas.sizes)


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every model is a large one."""
    monkeypatch.setattr(sample, "SMALL", 0)


@pytest.mark.thorough
@pytest.mark.parametrize("kind", MADE_AGAIN)
def test_one_byte_a_parameter(large: None, kind: str) -> None:
    assert 0.9 < kept_by_a_sample(MADE_AGAIN[kind]) <= 1.01


@pytest.mark.thorough
@pytest.mark.parametrize("kind", COPIED)
def test_one_copy_of_the_weights_for_others(large: None, kind: str) -> None:
    assert 3.9 < kept_by_a_sample(COPIED[kind]) <= 4.01


@pytest.mark.parametrize("kind", names_except(["momentum", "adamw", "rmsprop"], [*MADE_AGAIN, *COPIED]))
def test_the_numbers_are_those_of_copies(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    make = (MADE_AGAIN | COPIED)[kind]
    exact = trained(make).record
    monkeypatch.setattr(sample, "SMALL", 0)
    found = trained(make).record
    np.testing.assert_array_equal(found.step, exact.step)
    for name in ("radius", "grad_sq", "tangency"):
        np.testing.assert_allclose(found[name], exact[name], rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(found["angle"], exact["angle"], rtol=1e-5)
    largest = np.nanmax(np.abs(exact["decay"]))
    for name in ("decay", "alignment", "update", "closure"):
        np.testing.assert_allclose(found[name], exact[name], rtol=1e-5, atol=1e-3 * largest, err_msg=name)
    np.testing.assert_allclose(found["mean_grad_sq"], exact["mean_grad_sq"], atol=1e-3 * exact["grad_sq"].max())


def test_weights_that_are_not_made_again_rightly_are_copied(large: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that the library has wrong costs one sample and no wrong number."""
    right = SGD.undone
    monkeypatch.setattr(SGD, "undone", lambda *given: right(*given) * 1.001)
    record = trained(MADE_AGAIN["momentum"]).record
    monkeypatch.setattr(sample, "SMALL", 1 << 40)
    exact = trained(MADE_AGAIN["momentum"]).record
    assert record.step[0] > 0 and len(record) >= len(exact) - 2
    for name in ("radius", "alignment", "update"):
        found = [exact[name][list(exact.step).index(step)] for step in record.step if step in exact.step]
        np.testing.assert_allclose(record[name][np.isin(record.step, exact.step)], found, rtol=1e-9)


class WritesIntoGradients(torch.optim.Optimizer):
    """SGD that normalises every gradient where it lies."""

    def __init__(self, params: Any) -> None:
        super().__init__(params, {"lr": 0.01, "weight_decay": 0.1})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                p.grad.div_(p.grad.norm() + 1e-12)
                p.mul_(1 - group["lr"] * group["weight_decay"]).sub_(group["lr"] * p.grad)


class Rule(Normalised):
    """Decoupled decay."""

    @classmethod
    def of(cls, optimizer: Any, group: Any) -> Any:
        return cls.from_group(group)

    def update_moments(self, decay: Any) -> tuple[Any, Any]:
        return 1.0, 1.0


def test_an_optimizer_that_writes_into_gradients(large: None, monkeypatch: pytest.MonkeyPatch) -> None:
    record = trained(WritesIntoGradients, rule=Rule).record
    monkeypatch.setattr(sample, "SMALL", 1 << 40)
    exact = trained(WritesIntoGradients, rule=Rule).record
    both = np.isin(exact.step, record.step)
    assert both.sum() >= len(exact) - 1 and not both[0]
    at = np.isin(record.step, exact.step)
    np.testing.assert_allclose(
        record["mean_grad_sq"][at], exact["mean_grad_sq"][both], atol=1e-3 * exact["grad_sq"].max()
    )


@pytest.mark.parametrize("tail", [1, 10, 1000])
def test_products_of_a_compressed_vector(tail: float) -> None:
    """Gaussian elements, some of them many times larger: off by what steps of 4 (x³ m)^(1/4)/127 leave, not biased."""
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn((2, 300, 1000), generator=generator)
    x[:, ::100] *= tail
    off, expected = [], []
    for one, other in zip(x, y, strict=True):
        both = source(other)
        made, true = (grams([first, both], one, 1)[0, 0, 1].item() for first in (Compressed.of(one), source(one)))
        step = 4 * (one.abs() ** 3 * one.abs().max()) ** (1 / 4) / 127
        step[one.abs().argmax()] = 0  # that one is exact
        off.append(made - true)
        expected.append((step**2 / 12 * other**2).sum().sqrt().item())
    z = np.array(off) / expected
    assert abs(z.mean()) < 4 / np.sqrt(len(z)) and 0.85 < z.std() < 1.15


def test_a_compressed_zero_is_zero() -> None:
    assert not Compressed.of(torch.zeros(5))(0, 5).any() and Compressed.of(torch.zeros(0))(0, 0).shape == (0,)
