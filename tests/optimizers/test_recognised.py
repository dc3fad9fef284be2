"""Parameter groups of torch's optimizers as optimizers of the library: class, settings, convention of decay, powers."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from weightgas import optimizers
from weightgas.optimizers import (
    SGD,
    Adagrad,
    AdamL2,
    AdamW,
    Lion,
    Muon,
    Normalised,
    Optimizer,
    RMSprop,
    Unknown,
    checked,
    innermost,
    named,
    recognised,
    stepper,
)

WEIGHTS = torch.nn.Parameter(torch.ones(3, 2))
WD = {"lr": 0.1, "weight_decay": 0.01}
CASES = {
    "sgd": (torch.optim.SGD([WEIGHTS], **WD), SGD(0.1, 0.01), "coupled", 1e-3, 4),
    "momentum": (torch.optim.SGD([WEIGHTS], momentum=0.9, **WD), SGD(0.1, 0.01, 0.9), "coupled", 1e-2, 4),
    "nesterov": (
        torch.optim.SGD([WEIGHTS], momentum=0.9, nesterov=True, **WD), SGD(0.1, 0.01, 0.9, True), "coupled", 1e-2, 4,
    ),
    "dampened": (
        torch.optim.SGD([WEIGHTS], momentum=0.9, dampening=0.5, **WD), SGD(0.1, 0.01, 0.9, dampening=0.5), "coupled",
        5e-3, 4,
    ),
    "dampening without momentum": (torch.optim.SGD([WEIGHTS], dampening=0.5, **WD), SGD(0.1, 0.01), "coupled", 1e-3, 4),
    "no decay": (torch.optim.SGD([WEIGHTS], 0.1), SGD(0.1, 0.0), "no", 0.0, 4),
    "a tensor": (torch.optim.AdamW([WEIGHTS], torch.tensor(0.1), weight_decay=0.01, capturable=False, foreach=False),
                 AdamW(float(torch.tensor(0.1)), 0.01), "decoupled", 1e-3, 2),
    "adamw": (torch.optim.AdamW([WEIGHTS], betas=(0.8, 0.9), eps=1e-6, **WD), AdamW(0.1, 0.01, (0.8, 0.9), 1e-6),
              "decoupled", 1e-3, 2),
    "adam": (torch.optim.Adam([WEIGHTS], **WD), AdamL2(0.1, 0.01), "coupled", None, 3),
    "rmsprop": (torch.optim.RMSprop([WEIGHTS], momentum=0.5, **WD), RMSprop(0.1, 0.01, 0.5), "coupled", None, 3),
    "adagrad": (torch.optim.Adagrad([WEIGHTS], **WD), Adagrad(0.1, 0.01, eps=1e-10), "coupled", None, 3),
    "adafactor": (torch.optim.Adafactor([WEIGHTS], **WD), Unknown(0.1, 0.01, "Adafactor"), "unknown", 0.0, 2),
    "nadam": (torch.optim.NAdam([WEIGHTS], **WD), Unknown(0.1, 0.01, "NAdam"), "unknown", 0.0, 2),
    "lbfgs": (torch.optim.LBFGS([WEIGHTS]), Unknown(1.0, 0.0, "LBFGS", ""), "no", 0.0, 2),
}  # fmt: skip
if hasattr(torch.optim, "Muon"):
    CASES["muon"] = (torch.optim.Muon([WEIGHTS], **WD), Muon(0.1, 0.01), "decoupled", 1e-3, 2)


@pytest.mark.parametrize("name", CASES)
def test_an_optimizer_of_torch(name: str) -> None:
    optimizer, expected, convention, share, power = CASES[name]
    found = recognised(optimizer, optimizer.param_groups[0])
    assert type(found) is type(expected) and found.words() == expected.words()
    assert found.rates() == expected.rates() and found.convention == convention and found.power == power
    assert found.decay_share() == (share if share is None else pytest.approx(share))
    assert found == expected


class Mine(torch.optim.Optimizer):
    """Of a user."""

    def __init__(self, params: Any, **defaults: float) -> None:
        super().__init__(params, defaults)


def test_one_that_is_not_of_torch_and_its_groups() -> None:
    """What its decay does is not assumed; a group may have a name, and no learning rate."""
    mine = Mine([{"params": [WEIGHTS], "name": "all"}], weight_decay=0.1)
    found = recognised(mine, mine.param_groups[0])
    assert found == Unknown(None, 0.1, "Mine") and "state it by rule=" in found.refused and not found.decay_known
    assert found.title == "Mine; unknown decay" and found.decay_share() == 0 and np.isnan(found.radius(9, 1.0))
    without = recognised(Mine([WEIGHTS], weight_decay=0.0), Mine([WEIGHTS], weight_decay=0.0).param_groups[0])
    assert without.refused == "" and without.decay_known and not without.decays
    silent = Mine([WEIGHTS], l2=0.1)
    assert "no weight_decay, so whether it decays is not known" in recognised(silent, silent.param_groups[0]).refused


def test_decay_that_was_found_fills_a_buffer() -> None:
    """(1 − α^k)/(1 − α) after k steps, as with torch's momentum."""
    found = Unknown(0.1, 0.01, "Mine", "", per_decay=0.1, build_up=10.0, kept=0.9)
    for age in (1.0, 2.0, 7.0, np.inf):
        assert found.decay_share(age) == pytest.approx(SGD(0.1, 0.01, 0.9).decay_share(age), rel=1e-12)
    assert found.title == "Mine; decay found by intervention: coupled, 10 ηλ a step"
    assert Unknown(0.1, 0.01, "Mine", "", per_decay=0.05).title.endswith("decoupled, 0.5 ηλ a step")


class Same(torch.optim.SGD):
    """A subclass that steps as its parent does."""

    def learning_rates(self) -> list[float]:
        """Something new."""
        return [group["lr"] for group in self.param_groups]


class Other(torch.optim.SGD):
    """A subclass with a step of its own."""

    def step(self, closure: Any = None) -> Any:
        """Twice."""
        super().step(closure)
        return super().step()


class Deeper(Other):
    """Its subclass."""


class Inside(torch.optim.AdamW):
    """A subclass that overrides another method."""

    def _init_group(self, *given: Any) -> Any:
        return super()._init_group(*given)


@pytest.mark.parametrize(("kind", "expected"), [(Same, SGD), (Other, Unknown), (Deeper, Unknown), (Inside, Unknown)])
def test_a_subclass_that_overrides_a_step_is_not_its_parent(kind: type[torch.optim.Optimizer], expected: type) -> None:
    optimizer = kind([WEIGHTS], **WD)  # type: ignore[call-arg]
    found = recognised(optimizer, optimizer.param_groups[0])
    assert type(found) is expected and found.label == ("SGD" if expected is SGD else kind.__name__)


def test_one_that_is_wrapped() -> None:
    class Wrapper:
        def __init__(self, optimizer: Any) -> None:
            self.optimizer, self.param_groups = optimizer, optimizer.param_groups

    inner = torch.optim.SGD([WEIGHTS], **WD)
    assert checked(Wrapper(Wrapper(inner))) == SGD(0.1, 0.01) and innermost(Wrapper(Wrapper(inner))) is inner


@pytest.mark.parametrize("name", ["optim", "base_optimizer", "_optimizer"])
def test_wrappers_by_other_names_and_one_that_has_a_part_of_the_parameters(name: str) -> None:
    """The outer one has the hooks where the inner one does not step all parameters; what steps is the inner one."""
    both = [WEIGHTS, torch.nn.Parameter(torch.ones(2))]
    inner, outer = torch.optim.SGD(both, **WD), Mine(both, weight_decay=0.5)
    setattr(outer, name, inner)
    assert innermost(outer) is inner and recognised(outer, inner.param_groups[0]) == SGD(0.1, 0.01)
    setattr(outer, name, torch.optim.SGD(both[:1], **WD))
    assert innermost(outer) is outer and stepper(outer) is getattr(outer, name)


def test_equality_is_of_class_and_all_settings() -> None:
    assert SGD(0.1, 0.01) == SGD(lr=0.1, wd=0.01) != SGD(0.1, 0.01, 0.9)
    assert SGD(np.array([0.1, 0.2])) == SGD([0.1, 0.2]) and AdamW(0.1) != AdamL2(0.1)


def test_named_ones() -> None:
    assert set(optimizers.KNOWN) == {"sgd", "adamw", "adam", "lion", "muon"}
    assert named("SGD", lr=0.1, wd=0.1, momentum=None, decoupled=True) == SGD(0.1, 0.1, decoupled=True)
    assert named("lion", decoupled=True) == Lion()
    for name, settings, match in [("adagrad", {}, "optimizer: expected one of adam"),
                                  ("lion", {"momentum": 0.9}, "momentum: expected none for Lion, got 0.9. It has lr"),
                                  (RMSprop, {"decoupled": True}, "decoupled: expected False for RMSprop, got True"),
                                  ("sgd", {"betas": (0.9, 0.99)}, "betas: expected none for SGD")]:  # fmt: skip
        with pytest.raises(ValueError, match=match):
            named(name, **settings)


def test_a_subclass_that_says_nothing() -> None:
    """It has no closed forms, its decay is decoupled, and it cannot step."""

    @dataclass(frozen=True, eq=False)
    class Silent(Optimizer):
        pass

    silent = Silent(0.1, 0.01)
    assert str(silent) == "Silent: lr 0.1, wd 0.01, decoupled decay" and silent.power == 2
    assert silent.decay_share() == pytest.approx(1e-3) and silent.temperature(1.0, 1.0, 9) is None
    assert all(np.isnan(form(9, 1.0)) for form in (silent.radius, silent.relaxation_time, silent.angle))
    with pytest.raises(TypeError, match="expected one that can step, got Silent"):
        silent.buffers(torch.ones(1, 3))
    with pytest.raises(TypeError, match="abstract"):
        Normalised(0.1, 0.01)  # type: ignore[abstract]
