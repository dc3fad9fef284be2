"""Small runs to watch: a network on the digits, and a gas of one tensor whose gradients are drawn, not computed."""

import numpy as np
import torch
from torch import Tensor, nn

from weightgas.datasets import digits
from weightgas.monitoring import Gas, watch

OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, 0.1, weight_decay=1e-2),
    "momentum": lambda p: torch.optim.SGD(p, 0.05, momentum=0.9, weight_decay=2e-3),
    "nesterov": lambda p: torch.optim.SGD(p, 0.05, momentum=0.9, nesterov=True, weight_decay=2e-3),
    "dampened": lambda p: torch.optim.SGD(p, 0.1, momentum=0.5, dampening=0.5, weight_decay=1e-2),
    "adamw": lambda p: torch.optim.AdamW(p, 1e-3, weight_decay=1.0),
    "adam": lambda p: torch.optim.Adam(p, 1e-3, weight_decay=1e-2),
    "amsgrad": lambda p: torch.optim.Adam(p, 1e-3, weight_decay=1e-2, amsgrad=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, 1e-3, weight_decay=1e-2),
    "adagrad": lambda p: torch.optim.Adagrad(p, 1e-2, weight_decay=1e-2, lr_decay=1e-3),
    "nadam": lambda p: torch.optim.NAdam(p, 1e-3, weight_decay=1e-2),
}
if hasattr(torch.optim, "Muon"):
    OPTIMIZERS["muon"] = lambda p: torch.optim.Muon([q for q in p if q.ndim == 2], 1e-2, weight_decay=0.1)


class Own(torch.optim.Optimizer):
    """Of a user: the sign of the gradient, with decay on the weights."""

    def __init__(self, params, lr: float, weight_decay: float) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure=None) -> None:  # type: ignore[override]
        """w ← (1 − ηλ)w − η sign(g)"""
        for group in self.param_groups:
            for p in group["params"]:
                p.mul_(1 - group["lr"] * group["weight_decay"]).sub_(group["lr"] * p.grad.sign())


OTHERS = {
    "adamax": lambda p: torch.optim.Adamax(p, 1e-3, weight_decay=1e-2),
    "adadelta": lambda p: torch.optim.Adadelta(p, 0.1, weight_decay=1e-2),
    "radam": lambda p: torch.optim.RAdam(p, 1e-3, weight_decay=1e-2),
    "rprop": lambda p: torch.optim.Rprop(p, 1e-3),
    "asgd": lambda p: torch.optim.ASGD(p, 0.05, weight_decay=1e-2),
    "adafactor": lambda p: torch.optim.Adafactor(p, 1e-2, weight_decay=0.1),
    "own": lambda p: Own(p, 1e-3, 0.1),
}
"""Optimizers without closed forms: the measured budget is all there is."""
GROUPS = {"first": ["0.weight"], "second": ["4.weight"]}


def network() -> nn.Sequential:
    """Two scale-invariant layers before BatchNorm, dropout, and a readout."""
    hidden = (nn.Linear(64, 32, bias=False), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.2))
    return nn.Sequential(*hidden, nn.Linear(32, 16, bias=False), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 10))


def batches(steps: int, size: int = 32):
    """Random batches of the digits, from the global generator of torch."""
    data = digits()
    x, y = torch.tensor(data.inputs), torch.tensor(data.labels)
    for _ in range(steps):
        chosen = torch.randint(len(x), (size,))
        yield x[chosen], y[chosen]


def steps(model: nn.Module, optimizer: torch.optim.Optimizer, count: int) -> None:
    """The loop of a user who knows nothing of this library."""
    for x, y in batches(count):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()


def run(kind: str, count: int = 60, *, watched: bool = True, every: int = 5, **options):
    """(model, optimizer, gas) of a short run from seed 0."""
    torch.manual_seed(0)
    model = network()
    optimizer = (OPTIMIZERS | OTHERS)[kind](model.parameters())
    gas = watch(model, optimizer, every=every, **{"groups": GROUPS, **options}) if watched else None
    steps(model, optimizer, count)
    return model, optimizer, gas


class OneTensor(nn.Module):
    """A group of d weights."""

    def __init__(self, weights: np.ndarray, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weights, dtype=dtype))


def drawn_gas(
    make,
    count: int,
    *,
    dim: int = 60,
    sigma: float = 1.0,
    slope: float = 0.0,
    radius: float = 1.0,
    seed: int = 0,
    **options,
) -> tuple[Gas, Tensor]:
    """(gas, weights): gradients (slope (μ − z w̄) + noise)/r, the noise N(0, σ²(I − w̄w̄ᵀ)) on the unit sphere."""
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(dim, generator=generator, dtype=torch.float64)
    mu = torch.zeros(dim, dtype=torch.float64)
    mu[0] = 1.0
    start = start - 3 * slope * start.norm() * mu
    model = OneTensor((start / start.norm() * radius).numpy())
    optimizer = make(model.parameters())
    gas = watch(model, optimizer, **{"groups": {"all": ["weight"]}, "every": 4, "samples": 4096, **options})
    w = model.weight.detach()
    model.weight.grad = torch.zeros_like(w)
    noise = sigma * torch.randn((count, dim), generator=generator, dtype=torch.float64)
    for n in noise:
        r = w.norm()
        unit = w / r
        force = n + slope * mu
        torch.mul(force - (force @ unit) * unit, 1 / r, out=model.weight.grad)
        optimizer.step()
    return gas, w
