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
    named,
    recognised,
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
    "adafactor": (torch.optim.Adafactor([WEIGHTS], **WD), Unknown(0.1, 0.01, "Adafactor", "decoupled"), "decoupled",
                  1e-3, 2),
    "nadam": (torch.optim.NAdam([WEIGHTS], **WD), Unknown(0.1, 0.01, "NAdam", "coupled, not separated"),
              "coupled, not separated", 0.0, 2),
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


def test_one_that_is_not_of_torch_and_its_groups() -> None:
    """Its decay is taken to be decoupled; a group may have a name, and no learning rate."""

    class Mine(torch.optim.Optimizer):
        def __init__(self, params: Any) -> None:
            super().__init__(params, {"weight_decay": 0.1})

    mine = Mine([{"params": [WEIGHTS], "name": "all"}])
    found = recognised(mine, mine.param_groups[0])
    assert found == Unknown(None, 0.1, "Mine", "decoupled (assumed)") and np.isnan(found.decay_share())
    assert found.title == "Mine; decoupled (assumed) decay" and np.isnan(found.radius(9, 1.0))
    growing = torch.optim.ASGD([WEIGHTS], lr=0.1)
    assert recognised(growing, growing.param_groups[0]).power == 4


def test_one_that_is_wrapped() -> None:
    class Wrapper:
        def __init__(self, optimizer: Any) -> None:
            self.optimizer, self.param_groups = optimizer, optimizer.param_groups

    assert checked(Wrapper(Wrapper(torch.optim.SGD([WEIGHTS], **WD)))) == SGD(0.1, 0.01)


def test_equality_is_of_class_and_all_settings() -> None:
    assert SGD(0.1, 0.01) == SGD(lr=0.1, wd=0.01) != SGD(0.1, 0.01, 0.9)
    assert SGD(np.array([0.1, 0.2])) == SGD([0.1, 0.2]) and AdamW(0.1) != AdamL2(0.1)


def test_named_ones() -> None:
    assert set(optimizers.KNOWN) == {"sgd", "adamw", "adam", "lion", "muon"}
    assert named("SGD", lr=0.1, wd=0.1, momentum=None, decoupled=True) == SGD(0.1, 0.1, decoupled=True)
    assert named("lion", decoupled=True) == Lion()
    for name, settings, match in [("adagrad", {}, "optimizer: expected one of adam"),
                                  ("lion", {"momentum": 0.9}, "momentum: expected none for Lion, got 0.9. It has lr"),
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
