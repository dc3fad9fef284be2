"""Print what noise costs in standard networks: affine normalisation, a head that is trained or not, decay on all.

    python docs/pictures/standard.py

64-8-10 on the digits in plain torch, 32 networks in stacks of eight (two learning rates, two decays, two starts), with
and without momentum 0.9: U − L(m) of all parameters, and the fall of the loss after the learning rate is divided by 20,
in units of pV = ½λ‖w‖² of the scale-invariant weights. Some five minutes of one core.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from weightgas import probes
from weightgas.datasets import digits

HIDDEN, BATCH, STEPS, CUT, AFTER = 8, 128, 6000, 20, 1500
RATES, DECAYS = [0.05, 0.2, 0.05, 0.2] * 2, [0.003, 0.003, 0.01, 0.01] * 2
KINDS = {"head trained": (0, 1, 2, 3, 4), "head frozen": (0, 1, 2)}
_DATA = digits()
X, Y = torch.tensor(_DATA.inputs).float().reshape(len(_DATA.labels), -1), torch.tensor(_DATA.labels).long()
FIXED = torch.tensor(probes.disjoint_batches(len(Y), BATCH))


def losses(parameters: Sequence[Tensor], x: Tensor, y: Tensor) -> Tensor:
    """Losses (C,) of C networks of weights (C, 64, h), gain and shift (C, h), head (C, h, 10) and its bias (C, 10)."""
    weights, gain, shift, head, bias = parameters
    hidden = torch.einsum("cbi,cih->cbh", x, weights)
    hidden = (hidden - hidden.mean(1, keepdim=True)) / torch.sqrt(hidden.var(1, unbiased=False, keepdim=True) + 1e-5)
    hidden = torch.relu(hidden * gain[:, None] + shift[:, None])
    logits = torch.einsum("cbh,chk->cbk", hidden, head) + bias[:, None]
    return -torch.log_softmax(logits, -1).gather(2, y[..., None])[..., 0].mean(1)


def energy(parameters: Sequence[Tensor]) -> Tensor:
    """Losses (C,) over all disjoint batches."""
    count = len(parameters[0])
    with torch.no_grad():
        each = [losses(parameters, X[b].expand(count, -1, -1), Y[b].expand(count, -1)) for b in FIXED]
    return torch.stack(each).double().mean(0)


class Run:
    """Eight networks under SGD."""

    def __init__(self, trained: Sequence[int], momentum: float) -> None:
        generator = torch.Generator().manual_seed(3)
        count = len(RATES)
        self.weights = [
            torch.randn(count, 64, HIDDEN, generator=generator) / 8, torch.ones(count, HIDDEN),
            torch.zeros(count, HIDDEN), torch.randn(count, HIDDEN, 10, generator=generator) / np.sqrt(HIDDEN),
            torch.zeros(count, 10),
        ]  # fmt: skip
        if 3 not in trained:
            self.weights[3] = self.weights[3] * 3
        self.buffers = [torch.zeros_like(x) for x in self.weights]
        self.trained, self.momentum = trained, momentum
        self.lr, self.wd = torch.tensor(RATES) * (1 - momentum if momentum else 1), torch.tensor(DECAYS)
        self.means: list[Tensor] = []
        self.square = torch.zeros(count, dtype=torch.float64)

    def steps(self, count: int, generator: torch.Generator, every: int = 0, cut: float = 1.0) -> Tensor | None:
        """Make steps; with ``every`` the energies (samples, C), the mean parameters and ⟨‖w‖²⟩ of them."""
        total = [torch.zeros_like(x, dtype=torch.float64) for x in self.weights]
        self.square, seen = torch.zeros_like(self.square), []
        for step in range(count):
            index = torch.randint(len(Y), (len(self.lr), BATCH), generator=generator)
            leaves = [x.detach().requires_grad_(k in self.trained) for k, x in enumerate(self.weights)]
            loss = losses(leaves, X[index], Y[index]).sum()
            for g, k in zip(torch.autograd.grad(loss, [leaves[k] for k in self.trained]), self.trained, strict=True):
                shape = [-1] + [1] * (g.ndim - 1)
                self.buffers[k] = self.momentum * self.buffers[k] + g + self.wd.view(shape) * self.weights[k]
                self.weights[k] = self.weights[k] - (self.lr / cut).view(shape) * self.buffers[k]
            if every:
                for mean, x in zip(total, self.weights, strict=True):
                    mean += x
                self.square += (self.weights[0].double() ** 2).flatten(1).sum(1)
                if step % every == every - 1:
                    seen.append(energy(self.weights))
        self.means, self.square = [mean / count for mean in total], self.square / count
        return torch.stack(seen) if seen else None


def main() -> None:
    """Train, average, cut, print."""
    torch.set_num_threads(1)
    ratios, falls = [], []
    for kind, trained in KINDS.items():
        for momentum in (0.0, 0.9):
            run, generator = Run(trained, momentum), torch.Generator().manual_seed(7)
            run.steps(STEPS, generator)
            energies = run.steps(STEPS, generator, 75)
            assert energies is not None
            heat, at_mean = 0.5 * run.wd.double() * run.square, energy([x.float() for x in run.means])
            start, after = (list(run.weights), list(run.buffers)), []
            for cut in (1, CUT):
                run.weights, run.buffers = (list(x) for x in start)
                after.append(run.steps(AFTER, torch.Generator().manual_seed(9), 50, cut))
            fall = (after[0] - after[1]) / heat
            ratio, early, late = (energies.mean(0) - at_mean) / heat, fall[3:10].mean(0), fall[15:].mean(0)
            for k in range(len(RATES)):
                share = float(heat[k] / energies[:, k].mean())
                print(
                    f"{kind}, momentum {momentum:g}, η {float(run.lr[k]):.3g}, λ {DECAYS[k]:g}: "
                    f"pV {float(heat[k]):.5f}, pV/U {share:.2f}, (U − L(m))/pV {float(ratio[k]):.2f}, "
                    f"fall/pV {float(early[k]):.2f}, later {float(late[k]):.2f}", flush=True,
                )  # fmt: skip
            ratios.append(ratio)
            falls.append(torch.stack([early, late]))
    both, seen = torch.cat(ratios), torch.cat(falls, dim=1)
    print(f"(U − L(m))/pV {float(both.min()):.2f} to {float(both.max()):.2f}, falls {float(seen[0].min()):.2f} to "
          f"{float(seen[0].max()):.2f}, later {float(seen[1].min()):.2f} to {float(seen[1].max()):.2f}")  # fmt: skip


if __name__ == "__main__":
    main()
