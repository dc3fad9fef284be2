"""Scaling symmetries by degrees: how every tensor of a forward pass scales with the parameters, op by op.

Under wᵢ → e^{aᵢ s} wᵢ a tensor of degree d scales as e^{d s}, with d a linear form in the exponents aᵢ. Products add
degrees, powers multiply them, the terms of a sum must agree, a normalisation sets the degree to 0, and a gelu or a
softmax requires degree 0. The exponents that satisfy all of these constraints are the symmetries. The ops are those
that PyTorch dispatches (``aten``), so the class of a module does not matter: an RMSNorm that is written out counts as
one.

Constants up to ``SMALL`` that are added to a tensor are taken for the eps of a normalisation. An unknown op requires
degree 0 of all its inputs, and is noted in ``unknown``: this may hide a symmetry, but cannot invent one.

Weakness: a tensor has one degree, so rows that scale alone are not found. Neither are symmetries that hold by chance,
as for x + norm(x) before another norm. Of the parameters without effect only shifts of channels directly before
BatchNorm are found.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

SMALL = 1e-3
"""Largest constant in a sum or a lower bound that counts as eps."""


def _ops(names: str) -> frozenset[str]:
    return frozenset(names.split())


CREATE = _ops("""
    arange bernoulli bernoulli_ empty empty_like empty_permuted empty_strided eye fill_ full full_like lift_fresh
    linspace new_empty new_empty_strided new_full new_ones new_zeros normal_ ones ones_like rand rand_like randint
    randint_like randn randn_like randperm scalar_tensor uniform_ zero_ zeros zeros_like
""")
"""Ops that make tensors which do not depend on the values of others."""
SAME = _ops("""
    _adaptive_avg_pool2d _adaptive_avg_pool3d _to_copy _unsafe_index _unsafe_view _upsample_bicubic2d_aa
    _upsample_bilinear2d_aa abs adaptive_max_pool2d amax amin as_strided avg_pool1d avg_pool2d avg_pool3d clone col2im
    contiguous copy cummax cumsum detach diag_embed embedding expand expand_copy flip gather im2col index index_select
    leaky_relu linalg_vector_norm masked_select max max_pool2d_with_indices max_pool3d_with_indices mean median min
    nan_to_num native_dropout neg nll_loss2d_forward nll_loss_forward norm pixel_shuffle pixel_unshuffle
    reflection_pad1d reflection_pad2d relu repeat repeat_interleave replication_pad2d requires_grad roll
    slice_backward sort squeeze std sum swapaxes t take topk trace transpose tril triu unfold unsqueeze
    upsample_bicubic2d upsample_bilinear2d upsample_linear1d upsample_nearest1d upsample_nearest2d
""")
POWERS = {"reciprocal": -1, "rsqrt": -0.5, "sqrt": 0.5, "square": 2, "var": 2}
JOIN = _ops("""
    add cat clamp clamp_min constant_pad_nd hypot index_add index_copy index_fill index_put lerp masked_fill
    masked_scatter maximum minimum rsub scatter scatter_add select_scatter slice_scatter stack sub where
""")
"""Ops whose inputs must have one degree, which is also that of the result."""
PRODUCTS = {
    "mul": ("self", "other"), "mm": ("self", "mat2"), "bmm": ("self", "mat2"), "dot": ("self", "tensor"),
    "mv": ("self", "vec"), "addmm": ("mat1", "mat2"), "baddbmm": ("batch1", "batch2"), "addmv": ("mat", "vec"),
    "convolution": ("input", "weight"), "_convolution": ("input", "weight"), "linear": ("input", "weight"),
}  # fmt: skip
ADDED = {"addmm": "self", "baddbmm": "self", "addmv": "self", "convolution": "bias", "_convolution": "bias",
         "linear": "bias"}  # fmt: skip
"""The argument that these products add to the result."""
FLAT = _ops("""
    _local_scalar_dense _log_softmax _safe_softmax _softmax ceil celu clamp_max cos elu erf exp expm1 floor fmod gelu
    hardshrink hardsigmoid hardswish hardtanh isfinite isinf isnan log log10 log1p log2 log_sigmoid_forward
    log_softmax logaddexp logsumexp mish pow remainder round selu sigmoid silu sin softmax softplus softshrink tan
    tanh threshold
""")
"""Ops that require degree 0 of all inputs."""
ORDER = _ops("""
    argmax argmin argsort is_same_size sign
""")
"""Ops that positive factors do not change."""
NORMS = _ops("""
    _batch_norm_no_update _batch_norm_with_update _batch_norm_with_update_functional _fused_rms_norm
    _native_batch_norm_legit _native_batch_norm_legit_functional _native_batch_norm_legit_no_training batch_norm
    cudnn_batch_norm group_norm instance_norm layer_norm miopen_batch_norm native_batch_norm native_group_norm
    native_layer_norm rms_norm
""")
COMPARE = frozenset(("gt", "lt", "ge", "le", "eq", "ne"))

Form = np.ndarray | None
"""A degree as coefficients (parameters,); None if it is arbitrary: for zeros, infinities, and unwritten storage."""


@dataclass(frozen=True)
class _Shift:
    """A shift of the channels of an output, which a BatchNorm of these channels cancels: the number of the parameter,
    that of its constraint, and the dimension of the channels."""

    parameter: int
    constraint: int
    stride: int
    size: int


class Degrees(TorchDispatchMode):
    """Follows all that is computed from ``parameters`` inside ``with degrees:``, with one degree for each storage.

    Attributes
    ----------
    unknown
        Names of the unknown ops.
    channel
        Smallest number of values of a channel in a BatchNorm; infinite without BatchNorm.
    """

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        super().__init__()
        self.unknown: set[str] = set()
        self.channel = math.inf
        self._constraints: list[np.ndarray] = []
        self._zero = np.zeros(len(parameters))
        self._storages: dict[int, Any] = {}  # kept, so that none is freed and its id reused
        self._forms: dict[int, Form] = {}
        self._reach: dict[int, int] = {}  # which parameters a storage depends on, a bit for each
        self._uses: Counter[int] = Counter()
        self._shifts: dict[int, _Shift] = {}
        self._undone: list[int] = []
        self._parameters = [self._key(p) for p in parameters]
        if len(set(self._parameters)) < len(parameters):
            self.unknown.add("parameters that share a storage")
        for i, p in enumerate(parameters):
            unit = self._zero.copy()
            unit[i] = 1
            self._forms[self._key(p)], self._reach[self._key(p)] = unit, 1 << i

    def finish(self, outputs: Any) -> tuple[np.ndarray, list[int]]:
        """The constraints (n, parameters) under which ``outputs`` do not change, and the parameters they depend on."""
        reach = 0
        for tensor in _floats(tree_leaves(outputs)):
            self._uses[self._key(tensor)] += 1
            self._equal(self._form(tensor), self._zero)
            reach |= self._reach.get(self._key(tensor), 0)
        for key in self._undone:
            shift = self._shifts[key]
            if self._uses[key] == 1:  # nothing but the BatchNorm
                self._constraints[shift.constraint] = self._zero
                if self._uses[self._parameters[shift.parameter]] == 1:
                    reach &= ~(1 << shift.parameter)
        rows = np.array([row for row in self._constraints if row.any()]).reshape(-1, len(self._zero))
        return np.unique(rows, axis=0), [i for i in range(len(self._zero)) if reach >> i & 1]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        names = [argument.name for argument in func._schema.arguments]
        given = dict(zip(names, args, strict=False)) | (kwargs or {})
        inputs, outputs = _floats(tree_leaves(list(given.values()))), _floats(tree_leaves(out))
        name, read = func.overloadpacket.__name__, {self._key(x) for x in inputs}
        inside = name.endswith("_") and not name.endswith("__")
        if name in CREATE:
            for x in outputs:
                self._write(x, self._created(name, given), 0)
        elif inside or not outputs or any(self._key(x) not in read for x in outputs):  # a view shares its degree
            self._uses.update(read)
            reach = 0
            for key in read:
                reach |= self._reach.get(key, 0)
            form = self._rule(name.rstrip("_") if inside else name, given, inputs, outputs)
            for x in outputs:
                self._write(x, form, reach)
        return out

    def _rule(self, name: str, given: dict[str, Any], inputs: list[Tensor], outputs: list[Tensor]) -> Form:
        """Add the constraints of an op, and return the degree of its result."""
        first = given["weight"] if name == "embedding" else given.get("src", given.get("input", given.get("self")))
        if name in SAME and outputs:
            return self._form(first)
        power = POWERS.get(name, given.get("exponent") if name == "pow" else None)
        if isinstance(power, int | float):
            return _times(self._form(first), power)
        if name in JOIN:
            return self._joined(name, given, inputs)
        if name in PRODUCTS:
            form = self._product(*(self._form(given[key]) for key in PRODUCTS[name]))
            return self._shifted(form, given.get(ADDED.get(name, "")), outputs[0], 1 if "conv" in name else -1)
        if name == "addcmul":
            return self._equal(
                self._form(first), self._product(*(self._form(given[k]) for k in ("tensor1", "tensor2")))
            )
        if name == "div" and given.get("rounding_mode") is None:
            return self._product(self._form(first), _times(self._form(given["other"]), -1))
        if name == "_weight_norm_interface":
            return self._form(given["g"])
        if name in NORMS:
            return self._normalised(name, given, first)
        if "scaled_dot_product" in name:
            self._equal(self._product(self._form(given["query"]), self._form(given["key"])), self._zero)
            return self._form(given["value"])
        if name == "_prelu_kernel":
            self._equal(self._form(given["weight"]), self._zero)
            return self._form(first)
        if name in COMPARE:
            self._equal(self._form(first), self._form(given["other"]))
        elif name not in ORDER:
            for form in (self._form(x) for x in inputs):
                if form is not None and form.any() and name not in FLAT | SAME:
                    self.unknown.add(name)
                self._equal(form, self._zero)
        return self._zero

    def _normalised(self, name: str, given: dict[str, Any], first: Any) -> Form:
        """Degree of the gain; BatchNorm with running averages is treated like any function of its input."""
        training = given.get("training", given.get("train", True))
        if "batch_norm" in name:
            if not training or "_no_" in name:
                self._equal(self._form(first), self._zero)
            else:
                self.channel = min(self.channel, first.numel() // first.shape[1])
                shift = self._shifts.get(self._key(first))
                if shift is not None and (shift.size, shift.stride) == (first.shape[1], first.stride(1)):
                    self._undone.append(self._key(first))
        gain = given.get("weight")
        form = self._zero if gain is None else self._form(gain)
        if given.get("bias") is not None:
            self._equal(form, self._form(given["bias"]))
        return form

    def _joined(self, name: str, given: dict[str, Any], inputs: list[Tensor]) -> Form:
        """The common degree of all inputs; a small constant counts as eps."""
        form: Form = None
        for x in inputs:
            form = self._equal(form, self._form(x))
        for key in ("min", "max", "other", "value", "self"):
            number = given.get(key)
            if isinstance(number, int | float) and (key == "max" or abs(number) > SMALL) and math.isfinite(number):
                form = self._equal(form, self._zero)
        return form

    def _shifted(self, form: Form, part: Any, out: Tensor, dim: int) -> Form:
        """The degree of a product with ``part`` added to it; a shift of the channels is noted."""
        if not isinstance(part, Tensor):
            return form
        number = len(self._constraints)
        form = self._equal(form, self._form(part))
        if self._key(part) in self._parameters and part.ndim == 1 and len(self._constraints) > number:
            at = self._parameters.index(self._key(part))
            self._shifts[self._key(out)] = _Shift(at, number, out.stride(dim), out.shape[dim])
        return form

    def _product(self, a: Form, b: Form) -> Form:
        return None if a is None or b is None else a + b

    def _equal(self, a: Form, b: Form) -> Form:
        """Require that two degrees agree, and return the common one."""
        if a is None or b is None:
            return b if a is None else a
        if a is not b and (a != b).any():
            self._constraints.append(a - b)
        return a

    def _form(self, value: Any) -> Form:
        """The degree of a value: 0 if it depends on no parameter, None (arbitrary) for the numbers 0 and ∞."""
        if isinstance(value, Tensor):
            return self._forms.get(self._key(value), self._zero)
        return None if isinstance(value, int | float) and (value == 0 or math.isinf(value)) else self._zero

    def _created(self, name: str, given: dict[str, Any]) -> Form:
        value = given.get("fill_value", given.get("value"))
        return (
            None
            if "zero" in name or "empty" in name or (value is not None and self._form(value) is None)
            else self._zero
        )

    def _write(self, out: Tensor, form: Form, reach: int) -> None:
        """Set the degree of a storage; if only a part of it is written, the degree must be that of the other parts."""
        key, storage = self._key(out), out.untyped_storage()
        if key in self._forms and out.numel() * out.element_size() < storage.nbytes():
            form, reach = self._equal(self._forms[key], form), reach | self._reach[key]
        self._forms[key], self._reach[key] = form, reach

    def _key(self, tensor: Tensor) -> int:
        storage = tensor.untyped_storage()
        self._storages.setdefault(storage._cdata, storage)
        return storage._cdata


def _times(form: Form, factor: float) -> Form:
    return None if form is None else form * factor


def _floats(values: Sequence[Any]) -> list[Tensor]:
    return [x for x in values if isinstance(x, Tensor) and (x.is_floating_point() or x.is_complex())]
