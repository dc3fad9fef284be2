"""Measurements on the weights and gradients of many networks at once, which change nothing."""

from weightgas.probes.energy import disjoint_batches, energies
from weightgas.probes.laplacian import (
    Curvature,
    curvature,
    hessian_products,
    laplacians,
    noise_curvature,
    turned,
    whole,
)
from weightgas.probes.noise import Moments, moments
from weightgas.probes.norms import group_products, group_squares

__all__ = [
    "Curvature",
    "Moments",
    "curvature",
    "disjoint_batches",
    "energies",
    "group_products",
    "group_squares",
    "hessian_products",
    "laplacians",
    "moments",
    "noise_curvature",
    "turned",
    "whole",
]
