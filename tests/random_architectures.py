"""Random networks from a small grammar, and the entire space of their scaling symmetries by symbolic degrees.

    network := dense step* head        step := dense | tied dense | norm | activation | x + step step*
    dense: linear layer or 3×3 convolution, bias or not; norm: batch, layer, group, RMS, affine or not;
    activation: relu, tanh, gelu; head: trained or frozen, bias or not

The degree of a quantity is a linear form in the exponents aᵢ of the parameters. A dense layer adds that of its weight;
a bias, a gain with its shift, and both sides of a sum must agree; a normalisation sets the degree to that of its gain;
a tanh, a gelu and the loss need degree 0. What only shifts a channel by a constant has no effect behind a BatchNorm.
"""

import numpy as np
import torch
import torch.nn.functional as F
from scipy.linalg import null_space
from torch import Tensor, nn

WIDTH, CLASSES = 6, 10
Uses = frozenset[int]


class RandomNetwork(nn.Module):
    """A program over ``layers``: a number calls that layer, a list is a residual branch, a word an activation."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.random = np.random.default_rng(seed)
        torch.manual_seed(seed)
        self.images = bool(self.random.random() < 0.4)
        self.layers = nn.ModuleList()
        self.dense: list[int] = []
        first = self.dense_layer(3)
        self.program = [first, *self.steps(int(self.random.integers(1, 7)), depth=0)]
        self.head = nn.Linear(WIDTH, CLASSES, bias=self.coin())
        self.head.requires_grad_(self.coin())

    def coin(self, chance: float = 0.5) -> bool:
        return bool(self.random.random() < chance)

    def add(self, layer: nn.Module) -> int:
        self.layers.append(layer)
        return len(self.layers) - 1

    def dense_layer(self, width: int = WIDTH) -> int:
        if self.images:
            return self.add(nn.Conv2d(width, WIDTH, 3, padding=1, bias=self.coin()))
        return self.add(nn.Linear(width, WIDTH, bias=self.coin()))

    def norm_layer(self) -> int:
        affine = self.coin()
        kind = self.random.integers(4)
        if kind == 0:
            return self.add((nn.BatchNorm2d if self.images else nn.BatchNorm1d)(WIDTH, affine=affine))
        if kind == 1:
            return self.add(nn.GroupNorm(2, WIDTH, affine=affine))
        shape = [WIDTH, 5, 5] if self.images else [WIDTH]
        return self.add((nn.LayerNorm if kind == 2 else nn.RMSNorm)(shape, elementwise_affine=affine, eps=1e-5))

    def steps(self, count: int, depth: int) -> list:
        return [self.step(depth) for _ in range(count)]

    def step(self, depth: int) -> int | str | list:
        draw = self.random.random()
        if draw < 0.35:
            if self.dense and self.coin(0.25):
                return int(self.random.choice(self.dense))
            self.dense.append(self.dense_layer())
            return self.dense[-1]
        if draw < 0.6:
            return self.norm_layer()
        if draw < 0.8 or depth == 2:
            return str(self.random.choice(["relu", "relu", "tanh", "gelu"]))
        return self.steps(int(self.random.integers(1, 4)), depth + 1)

    def run(self, program: list, x: Tensor) -> Tensor:
        for step in program:
            if isinstance(step, list):
                x = x + self.run(step, x)
            else:
                x = getattr(torch if step != "gelu" else F, step)(x) if isinstance(step, str) else self.layers[step](x)
        return x

    def forward(self, x: Tensor) -> Tensor:
        x = self.run(self.program, x)
        return self.head(x.mean((2, 3)) if self.images else x)


def batches(model: RandomNetwork, count: int = 3) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    shape = (8, 3, 5, 5) if model.images else (16, 3)
    return [
        (torch.randn(shape, generator=generator), torch.randint(CLASSES, shape[:1], generator=generator))
        for _ in range(count)
    ]


class Degrees:
    """The constraints on the exponents, collected along the program.

    ``pending`` are uses of a parameter that a BatchNorm would undo: a bias or shift (a constant of its channel), a gain
    (a factor of its channel). Each comes with its constraint; where something else reads it first, it has an effect.
    The truth is a lower bound: chance symmetries, x + norm(x) before another norm, are not in it.
    """

    def __init__(self, model: RandomNetwork) -> None:
        self.model = model
        trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        self.names = [name for name, _ in trained]
        self.index = {id(p): i for i, (_, p) in enumerate(trained)}
        self.zero = np.zeros(len(trained))
        self.constraints: list[np.ndarray] = []
        self.uses: list[tuple[int, np.ndarray]] = []
        self.effective: set[int] = set()
        degree, shifts, gains = self.run(model.program, self.zero, frozenset(), frozenset())
        degree, shifts, gains = self.layer(model.head, degree, shifts, gains)
        self.constraints.append(degree)
        self.effective |= shifts | gains

    def form(self, parameter: Tensor) -> np.ndarray:
        found = self.zero.copy()
        if id(parameter) in self.index:
            found[self.index[id(parameter)]] = 1
        return found

    def use(self, parameter: Tensor, constraint: np.ndarray) -> frozenset[int]:
        if id(parameter) not in self.index:
            self.constraints.append(constraint)
            return frozenset()
        self.uses.append((self.index[id(parameter)], constraint))
        return frozenset((len(self.uses) - 1,))

    def run(self, program: list, degree: np.ndarray, shifts: Uses, gains: Uses) -> tuple[np.ndarray, Uses, Uses]:
        for step in program:
            if isinstance(step, list):
                branch, more, others = self.run(step, degree, shifts, gains)
                self.constraints.append(branch - degree)
                self.effective |= gains | others
                shifts, gains = shifts | more, frozenset()
            elif isinstance(step, str):
                self.effective |= shifts
                if step != "relu" or shifts:  # the relu of a positive gain times x is that gain times the relu of x
                    self.effective |= gains
                    gains = frozenset()
                shifts = frozenset()
                if step != "relu":
                    self.constraints.append(degree)
            else:
                degree, shifts, gains = self.layer(self.model.layers[step], degree, shifts, gains)
        return degree, shifts, gains

    def layer(self, layer: nn.Module, degree: np.ndarray, shifts: Uses, gains: Uses) -> tuple[np.ndarray, Uses, Uses]:
        dense = isinstance(layer, nn.Linear | nn.Conv2d)
        if not isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            self.effective |= gains
            if not isinstance(layer, nn.Linear):  # zero padding: a constant is one no longer
                self.effective |= shifts
        kept = shifts if isinstance(layer, nn.Linear) else frozenset()
        gains = frozenset()
        if dense:
            degree = degree + self.form(layer.weight)
        elif layer.weight is None:
            degree = self.zero
        else:
            degree = self.form(layer.weight)
            gains = self.use(layer.weight, self.zero)
        if (bias := getattr(layer, "bias", None)) is not None:
            kept = kept | self.use(bias, self.form(bias) - degree)
        if self.model.images and isinstance(layer, nn.LayerNorm | nn.RMSNorm):  # there each pixel has its own
            self.effective |= gains | kept
            gains = kept = frozenset()
        return degree, kept, gains

    def inert(self) -> set[str]:
        """Parameters of which no use has an effect."""
        used = {i for i, _ in self.uses} - {self.uses[number][0] for number in self.effective}
        return {self.names[i] for i in used}

    def space(self) -> np.ndarray:
        """Orthonormal basis (n, k) of all exponents; parameters without effect have 0."""
        rows = [*self.constraints, *(self.uses[number][1] for number in self.effective)]
        rows += [np.eye(len(self.names))[self.names.index(name)] for name in self.inert()]
        rows = [row for row in rows if row.any()]
        return null_space(np.array(rows)) if rows else np.eye(len(self.names))
