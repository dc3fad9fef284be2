"""Tiny models in the shapes of transformers and timm, from configurations alone: nothing is downloaded."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
import transformers
from torch import Tensor, nn


class _Anything(type):
    """A class with every attribute: ``InterpolationMode.BILINEAR``, ``transforms.Compose``."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Anything(name, (), {})


class _Stub(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """timm imports torchvision for its transforms of images; none of them is used here, and its wheel needs another
    torch."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if name.partition(".")[0] == "torchvision":
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def exec_module(self, module: ModuleType) -> None:
        nothing = _Anything("Nothing", (), {})
        module.__getattr__ = lambda name: _absent(name) if name.startswith("__") else nothing  # type: ignore[method-assign]


def _absent(name: str) -> Any:
    raise AttributeError(name)


def timm() -> Any:
    """The package timm, with an empty torchvision in place while it is imported."""
    finder = _Stub()
    sys.meta_path.insert(0, finder)
    try:
        import timm as package
    finally:
        sys.meta_path.remove(finder)
        for name in [n for n in sys.modules if n.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
    return package


@dataclass(frozen=True)
class Shape:
    """How to make a model, and batches and a loss for it."""

    make: Callable[[], nn.Module]
    tokens: bool = False
    side: int = 32

    def batches(self, count: int = 2, size: int = 4) -> list[Any]:
        """Random tokens, or images with labels."""
        generator = torch.Generator().manual_seed(0)
        if self.tokens:
            return [torch.randint(40, (size, 9), generator=generator) for _ in range(count)]
        return [
            (
                torch.randn(size, 3, self.side, self.side, generator=generator),
                torch.randint(10, (size,), generator=generator),
            )
            for _ in range(count)
        ]

    @staticmethod
    def outputs(model: nn.Module, batch: Any) -> Tensor:
        """What the model makes of a batch: logits."""
        out = model(batch[:, :-1], use_cache=False) if isinstance(batch, Tensor) else model(batch[0])
        return out if isinstance(out, Tensor) else out.logits

    @staticmethod
    def loss(model: nn.Module, batch: Any) -> Tensor:
        """Cross entropy of the next token or of the label."""
        logits = Shape.outputs(model, batch)
        if isinstance(batch, Tensor):
            return F.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
        return F.cross_entropy(logits, batch[1])


def _gpt2(tied: bool) -> nn.Module:
    config = transformers.GPT2Config(
        vocab_size=40, n_positions=16, n_embd=16, n_layer=2, n_head=2, tie_word_embeddings=tied
    )
    return transformers.GPT2LMHeadModel(config)


def _llama() -> nn.Module:
    config = transformers.LlamaConfig(
        vocab_size=40, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=16, tie_word_embeddings=False,
    )  # fmt: skip
    return transformers.LlamaForCausalLM(config)


def _qwen3() -> nn.Module:
    config = transformers.Qwen3Config(
        vocab_size=40, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4, head_dim=4,
        num_key_value_heads=2, max_position_embeddings=16, tie_word_embeddings=False,
    )  # fmt: skip
    return transformers.Qwen3ForCausalLM(config)


def _vit_transformers() -> nn.Module:
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, image_size=32, patch_size=8,
        num_labels=10,
    )  # fmt: skip
    return transformers.ViTForImageClassification(config)


def _made(path: str, **options: Any) -> Callable[[], nn.Module]:
    """A model of timm by its class, ``models.convnext.ConvNeXt``."""

    def make() -> nn.Module:
        found: Any = timm()
        for name in path.split("."):
            found = getattr(found, name)
        return found(**options)

    return make


def _nfnet() -> nn.Module:
    models = timm().models
    config = models.nfnet.NfCfg(
        depths=(1, 2), channels=(32, 32), stem_chs=16, stem_type="3x3", group_size=8, bottle_ratio=0.5, act_layer="relu"
    )
    return models.nfnet.NormFreeNet(config, num_classes=10)


_CONVNEXT = {"num_classes": 10, "depths": (1, 1, 2, 1), "dims": (8, 8, 16, 16)}
_VIT = {"img_size": 32, "patch_size": 8, "embed_dim": 16, "depth": 2, "num_heads": 2, "num_classes": 10}
_MIXER = {"img_size": 32, "patch_size": 8, "num_blocks": 2, "embed_dim": 16, "num_classes": 10}

SHAPES: dict[str, Shape] = {
    "GPT-2": Shape(lambda: _gpt2(tied=True), tokens=True),
    "GPT-2, untied": Shape(lambda: _gpt2(tied=False), tokens=True),
    "Llama": Shape(_llama, tokens=True),
    "Qwen3": Shape(_qwen3, tokens=True),
    "ViT of transformers": Shape(_vit_transformers),
    "ViT": Shape(_made("models.vision_transformer.VisionTransformer", **_VIT)),
    "ViT, LayerScale": Shape(_made("models.vision_transformer.VisionTransformer", init_values=1e-5, **_VIT)),
    "ConvNeXt": Shape(_made("models.convnext.ConvNeXt", ls_init_value=1e-6, **_CONVNEXT)),
    "Mixer": Shape(_made("models.mlp_mixer.MlpMixer", **_MIXER)),
    "NF-ResNet": Shape(_nfnet),
}


def names() -> Sequence[str]:
    """All shapes."""
    return tuple(SHAPES)
