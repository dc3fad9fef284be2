"""Losses and noises as a user writes them, that several tests share: each is compiled once."""

from __future__ import annotations

import math

import numpy as np

from weightgas.losses import CustomLoss, CustomNoise


def tilt(w):
    """L = 1 + w̄₀, the paper's."""
    return 1.0 + w[0] / math.sqrt(np.dot(w, w))


def tilt_gradient(w, out):
    """Its gradient, μ/r − z w/r²."""
    square = np.dot(w, w)
    radius = math.sqrt(square)
    for i in range(w.size):
        out[i] = -w[0] * w[i] / (radius * square)
    out[0] += 1.0 / radius


def growing(w, normals, out):
    """Twice as strong where w̄₁ is 1 as where it is −1, and mixed between neighbours; linear in the normals."""
    strength = 1.0 + w[1] / 3.0
    for i in range(w.size):
        out[i] = strength * (normals[i] + 0.3 * normals[i - 1])


def cubic(w, normals, out):
    """Heavy tails, not linear in the normals."""
    for i in range(w.size):
        out[i] = 0.5 * normals[i] ** 3


TILT = CustomLoss(tilt, tilt_gradient)
DIFFERENCES = CustomLoss(tilt)
GROWING = CustomNoise(growing)
CUBIC = CustomNoise(cubic)
