"""Guesses of the inputs of a model from its configuration and layers, to follow one forward pass.

Nothing is computed with them: the pass is made by a copy of the model without values, on the device ``meta``, where a
wrong guess fails within a millisecond.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

SIDES = (32, 28, 64, 224, 16, 8, 96, 256)
"""Image sizes that are tried for a model that does not state its own."""
BATCH, LENGTH = 2, 8

Call = tuple[tuple[Any, ...], dict[str, Any]]


def calls(model: nn.Module) -> Iterator[Call]:
    """(args, kwargs) to try, the most likely first: by the conventions of Hugging Face, of timm, by the first layer."""
    config = getattr(model, "config", None)
    if hasattr(model, "main_input_name"):
        yield from _of_transformers(model, config)
    for state in (getattr(model, name, None) for name in ("pretrained_cfg", "default_cfg")):
        size = state.get("input_size") if isinstance(state, dict) else None
        own = getattr(getattr(model, "patch_embed", None), "img_size", None)
        if size is not None:
            yield from (((_real(*shape),), {}) for shape in ((size[0], *own) if own else size, size))
    yield from (((x,), {}) for x in _by_first_layer(model))


def _of_transformers(model: Any, config: Any) -> Iterator[Call]:
    more = {"use_cache": False} if hasattr(config, "use_cache") else {}
    tokens = torch.zeros(BATCH, LENGTH, dtype=torch.long)
    if model.main_input_name == "pixel_values":
        side = getattr(config, "image_size", None) or SIDES[3]
        size = side if isinstance(side, list | tuple) else (side, side)
        yield ((), {"pixel_values": _real(getattr(config, "num_channels", 3), *size)})
    elif getattr(config, "is_encoder_decoder", False):
        yield ((), {"input_ids": tokens, "decoder_input_ids": tokens, **more})
    else:
        yield ((), {"input_ids": tokens, **more})


def _by_first_layer(model: nn.Module) -> Iterator[Tensor]:
    for layer in model.modules():
        if isinstance(layer, nn.Embedding):
            yield from (torch.zeros(BATCH, length, dtype=torch.long) for length in (LENGTH, LENGTH // 2, 2))
        elif isinstance(layer, nn.Linear):
            yield from (_real(layer.in_features), _real(LENGTH, layer.in_features))
            yield from (_real(1, side, side) for side in SIDES if side**2 == layer.in_features)
            yield from (_real(3, side, side) for side in SIDES if 3 * side**2 == layer.in_features)
        elif isinstance(layer, nn.modules.conv._ConvNd):
            dims = len(layer.kernel_size)
            yield from (_real(layer.in_channels, *(side,) * dims) for side in SIDES)
        elif isinstance(layer, nn.modules.batchnorm._BatchNorm | nn.LayerNorm):
            shape = getattr(layer, "normalized_shape", (getattr(layer, "num_features", 1),))
            yield _real(*shape)
        else:
            continue
        return


def _real(*shape: int) -> Tensor:
    return torch.zeros(BATCH, *shape)
