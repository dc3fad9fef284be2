"""The scale-invariant perceptron as one would write it for one network, with torch's own modules and autograd."""

import numpy as np
import torch


def plain_loss(network, weights, inputs, labels):
    """Loss of one network: ``weights`` (dim,), ``inputs`` (B, features), ``labels`` (B,)."""
    hidden, start = inputs, 0
    for width in network.hidden:
        size = hidden.shape[1] * width
        norm = torch.nn.BatchNorm1d(width, affine=False, track_running_stats=False)
        linear = hidden @ weights[start : start + size].view(width, -1).T
        hidden, start = getattr(torch, network.activation)(norm(linear)), start + size
    head = np.random.default_rng(network.head_seed).standard_normal((network.classes, network.hidden[-1]))
    head = torch.tensor(head * (network.head_norm / np.sqrt((head**2).sum())), dtype=weights.dtype)
    return torch.nn.functional.cross_entropy(hidden @ head.T, labels)


def plain_gradient(network, weights, inputs, labels):
    """Its gradient (dim,) by autograd."""
    weights = weights.clone().requires_grad_()
    return torch.autograd.grad(plain_loss(network, weights, inputs, labels), weights)[0]
