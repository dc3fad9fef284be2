"""Steps of many networks at once against ``torch.optim`` on the same recorded gradients, and against a plain Lion."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from weightgas.optimizers import SGD, AdamL2, AdamW, Lion, Muon, Optimizer

STACK, DIM, STEPS = 5, 40, 200
LRS, WDS = (0.3, 0.1, 0.03, 0.01, 0.003), (0.1, 0.003, 0.03, 0.0, 0.01)
CASES = {
    "sgd": (SGD(), torch.optim.SGD, {}),
    "momentum": (SGD(momentum=0.9), torch.optim.SGD, {"momentum": 0.9}),
    "nesterov": (SGD(momentum=0.8, nesterov=True), torch.optim.SGD, {"momentum": 0.8, "nesterov": True}),
    "dampened": (SGD(momentum=0.8, dampening=0.3), torch.optim.SGD, {"momentum": 0.8, "dampening": 0.3}),
    "adamw": (AdamW(), torch.optim.AdamW, {}),
    "adamw, betas and eps": (
        AdamW(betas=(0.8, 0.95), eps=1e-3),
        torch.optim.AdamW,
        {"betas": (0.8, 0.95), "eps": 1e-3},
    ),
    "adam": (AdamL2(betas=(0.9, 0.99)), torch.optim.Adam, {"betas": (0.9, 0.99)}),
}


def recorded(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """A start (stack, dim), and gradients (steps, stack, dim) that are correlated in time and differ in size."""
    generator = torch.Generator().manual_seed(1)
    start, noise = (
        torch.randn(shape, generator=generator, dtype=torch.float64) for shape in ((STACK, DIM), (STEPS, STACK, DIM))
    )
    noise[1:] += 0.5 * noise[:-1]
    return start.to(dtype), (noise * torch.logspace(-3, 0, DIM, dtype=torch.float64)).to(dtype)


def run(optimizer: Optimizer, start: Tensor, gradients: Tensor) -> Tensor:
    """Weights after every step, (steps, stack, dim)."""
    lr, wd = (torch.tensor(values, dtype=start.dtype)[:, None] for values in (LRS, WDS))
    weights, buffers, found = start, optimizer.buffers(start), []
    for count, gradient in enumerate(gradients, 1):
        weights, buffers = optimizer.step(weights, gradient, buffers, lr, wd, count)
        found.append(weights)
    return torch.stack(found)


def run_of_torch(make, keywords, start: Tensor, gradients: Tensor) -> Tensor:
    """The same by one optimizer of torch, with a parameter group for each network."""
    rows = [torch.nn.Parameter(row.clone()) for row in start]
    groups = [{"params": [row], "lr": lr, "weight_decay": wd} for row, lr, wd in zip(rows, LRS, WDS, strict=True)]
    optimizer, found = make(groups, lr=0.1, **keywords), []
    for gradient in gradients:
        for row, g in zip(rows, gradient, strict=True):
            row.grad = g.clone()
        optimizer.step()
        found.append(torch.stack([row.detach().clone() for row in rows]))
    return torch.stack(found)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize("name", CASES)
def test_is_the_step_of_torch(name: str, dtype: torch.dtype, tolerance: float) -> None:
    optimizer, make, keywords = CASES[name]
    start, gradients = recorded(dtype)
    kept = start.clone()
    ours, torchs = run(optimizer, start, gradients), run_of_torch(make, keywords, start, gradients)
    size = torchs.norm(dim=-1)
    assert ours.dtype == dtype and ((ours - torchs).norm(dim=-1) / size).max() < tolerance
    assert torch.equal(start, kept)  # nothing is changed in place
    # Planted fault: another setting.
    other = replace(optimizer, betas=(0.7, 0.9)) if hasattr(optimizer, "betas") else SGD(momentum=0.5)
    assert ((run(other, start, gradients) - torchs).norm(dim=-1) / size).max() > 1e-2


def test_a_network_does_not_depend_on_the_others() -> None:
    start, gradients = recorded(torch.float64)
    for optimizer, _, _ in CASES.values():
        whole, weights = run(optimizer, start, gradients)[-1], start[2:3]
        buffers = optimizer.buffers(weights)
        for count, gradient in enumerate(gradients[:, 2:3], 1):
            weights, buffers = optimizer.step(weights, gradient, buffers, LRS[2], WDS[2], count)
        torch.testing.assert_close(weights[0], whole[2], rtol=1e-13, atol=0)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_decoupled_decay_of_sgd(momentum: float) -> None:
    """w <- (1 - eta lambda) w - eta b with b of the gradients alone, and Lion as its authors have it."""
    start, gradients = recorded(torch.float64)
    lr, wd = (torch.tensor(values, dtype=torch.float64)[:, None] for values in (LRS, WDS))
    found = run(SGD(momentum=momentum, decoupled=True), start, gradients)
    weights, buffer = start, torch.zeros_like(start)
    for gradient, after in zip(gradients, found, strict=True):
        buffer = momentum * buffer + gradient
        weights = (1 - lr * wd) * weights - lr * buffer
        torch.testing.assert_close(after, weights, rtol=1e-11, atol=1e-12)


def test_lion() -> None:
    start, gradients = recorded(torch.float64)
    lr, wd = (torch.tensor(values, dtype=torch.float64)[:, None] for values in (LRS, WDS))
    found, weights, memory = run(Lion(betas=(0.9, 0.95)), start, gradients), start, torch.zeros_like(start)
    for gradient, after in zip(gradients, found, strict=True):
        weights = (1 - lr * wd) * weights - lr * torch.sign(0.9 * memory + 0.1 * gradient)
        memory = 0.95 * memory + 0.05 * gradient
        torch.testing.assert_close(after, weights, rtol=1e-11, atol=1e-12)


def test_without_a_step() -> None:
    with pytest.raises(TypeError, match="optimizer: expected one that can step, got Muon"):
        Muon().buffers(torch.zeros(2, 3))
    with pytest.raises(TypeError, match="expected one that can step"):
        Muon().step(torch.zeros(2, 3), torch.zeros(2, 3), {}, 0.1, 0.1, 1)
