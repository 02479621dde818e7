"""Weights as int8, and products of integers: a quarter of the memory, and faster on most CPUs.

Each row of activations (each token) has a scale and an offset of its own, so no text changes
another's vectors; each output of a layer, and each entry of an embedding table, has a scale too.
The offset uses the whole range: a token's states reach farther to one side than to the other.
"""

import platform
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional

from tercet.encoding.linear import Activation, LayerOfPanels, replace_linears
from tercet.kernels.byte_linear import BytePanels, can_multiply_bytes

LEVELS = 127
"""Largest magnitude of an int8 value that is used: the range is symmetric."""

LEVELS_OF_SMALL_SUMS = 63
"""The same for weights on CPUs that add pairs of products in 16 bits: 2 * 255 * 63 < 2^15."""

STEPS = 255
"""From the smallest to the largest value of a byte: what a row of activations is spread over."""

MIDDLE = 128
"""What a byte is above the integer that it stands for: torch 2.6 multiplies no signed ones."""

ROWS_AT_ONCE = 256
"""Weights are rounded so many rows at a time."""

VALUES_AT_ONCE = 2**20
"""Activations that are rounded, multiplied and scaled back while they are in the cache."""

SMALLEST_SCALE = 1e-30
"""In place of the scale of a row whose values are all alike."""


class Int8Linear(nn.Module):
    """y = act((q W^T * output scale) * row scale + row offset * sums of W + b), q and W int8."""

    def __init__(self, linear: nn.Linear, *, activation: Activation = "none") -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self._activation = activation
        self._exact = weight_levels()
        weight, scale = _rounded_weights(linear.weight.detach(), self._exact or LEVELS)
        self._scale = scale[:, 0].contiguous()  # [N]
        self._sums = weight.sum(dim=1, dtype=torch.float32) * self._scale  # [N]
        self._weight = _packed(weight) if self._exact else weight
        self._zeros = torch.zeros(self.out_features, dtype=torch.int32)
        bias = torch.zeros(self.out_features) if linear.bias is None else linear.bias.detach()
        self._bias = bias.float().clone()

    def forward(self, x: Tensor) -> Tensor:
        """Project the last axis."""
        rows = x.reshape(-1, self.in_features)
        step = VALUES_AT_ONCE // max(self.in_features, self.out_features)
        step = max(1, step if self._exact else len(rows))
        if 0 < len(rows) <= step:
            y = self._project(rows)
        else:
            y = rows.new_empty(len(rows), self.out_features)
            for start in range(0, len(rows), step):
                y[start : start + step] = self._project(rows[start : start + step])
        return y.view(*x.shape[:-1], self.out_features)

    def _project(self, x: Tensor) -> Tensor:
        """Some rows, [rows, K] -> [rows, N]."""
        q, scale, offset = spread(x.float())
        z = self._product(q).mul_(scale).addr_(offset[:, 0], self._sums).add_(self._bias)
        return (functional.gelu(z) if self._activation == "gelu" else z).to(x.dtype)

    def _product(self, q: Tensor) -> Tensor:
        """The sums of products, scaled, [rows, K] @ [K, N] -> [rows, N]."""
        if self._exact:
            return _multiply(q, self._weight, self._scale, self._zeros)
        integers = q.float().sub_(MIDDLE)
        return functional.linear(integers, self._weight.float()).mul_(self._scale)


class CompiledInt8Linear(LayerOfPanels):
    """The same by a kernel of ours, which spreads, multiplies and scales back in one go."""

    def __init__(self, linear: nn.Linear, *, activation: Activation = "none") -> None:
        weight, scale = _rounded_weights(linear.weight.detach(), LEVELS)
        bias = torch.zeros(linear.out_features) if linear.bias is None else linear.bias.detach()
        numbers = weight.numpy(), scale[:, 0].contiguous().numpy(), bias.float().numpy()
        super().__init__(linear, BytePanels(*numbers, gelu=activation == "gelu"))


class Int8Embedding(nn.Module):
    """An embedding table of int8 rows, each with its scale."""

    def __init__(self, table: nn.Embedding) -> None:
        super().__init__()
        self._dtype = table.weight.dtype
        self._rows, self._scales = _rounded_weights(table.weight.detach(), LEVELS)

    def forward(self, ids: Tensor) -> Tensor:
        """The rows under some ids."""
        return (self._rows[ids] * self._scales[ids]).to(self._dtype)


@torch.inference_mode()
def quantise(model: nn.Module) -> None:
    """Replace the linear layers and embedding tables of a model on the CPU, one by one."""
    replace_linears(model, _layer)
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.Embedding:
                setattr(parent, name, Int8Embedding(child))
    for parameter in model.parameters():  # one that lies in a mapped file would keep all of it
        parameter.data = parameter.data.clone()


def is_compiled(model: nn.Module) -> bool:
    """Whether all its int8 layers are our kernel's: it is the same for all numbers of rows."""
    return not any(isinstance(module, Int8Linear) for module in model.modules())


def _layer(linear: nn.Linear, *, activation: Activation) -> nn.Module:
    """A layer by our kernel, or by torch's operators."""
    kind = CompiledInt8Linear if can_multiply_bytes(linear.in_features) else Int8Linear
    return kind(linear, activation=activation)


def spread(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rows as bytes over their whole range, so that x = (q - 128) * scale + offset, nearly.

    Args:
        x: [rows, K], in float32.

    Returns:
        uint8 [rows, K], and scales and offsets, float32 [rows, 1].
    """
    low, high = x.amin(dim=1, keepdim=True), x.amax(dim=1, keepdim=True)
    scale = (high - low).mul_(1 / STEPS).clamp_min_(SMALLEST_SCALE)
    factor = scale.reciprocal()
    # One operation a line: torch computes those of three operands value by value.
    q = (x * factor).sub_(low * factor).round_().clamp_(0, STEPS)
    return q.to(torch.uint8), scale, low + MIDDLE * scale


def rounded(x: Tensor, levels: int) -> tuple[Tensor, Tensor]:
    """Rows as integers between -levels and levels, and the scale that brings each back.

    Args:
        x: [rows, K], in float32.
        levels: Where the largest magnitude of a row goes.

    Returns:
        int8 [rows, K], and float32 [rows, 1].
    """
    scale = x.abs().amax(dim=1, keepdim=True).div_(levels).clamp_min_(SMALLEST_SCALE)
    return (x * scale.reciprocal()).round_().to(torch.int8), scale


def _rounded_weights(weight: Tensor, levels: int) -> tuple[Tensor, Tensor]:
    """The same for a whole matrix, a few rows at a time: what is in between stays small."""
    rows = torch.empty(weight.shape, dtype=torch.int8)
    scales = torch.empty(len(weight), 1)
    for start in range(0, len(weight), ROWS_AT_ONCE):
        part = slice(start, start + ROWS_AT_ONCE)
        rows[part], scales[part] = rounded(weight[part].float(), levels)
    return rows, scales


@lru_cache
def weight_levels() -> int:
    """Largest weight with which this CPU multiplies int8 exactly; 0 where it does not.

    Then the same integers are multiplied in float32: as small in memory, not as fast.
    """
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return 0
    if platform.machine().lower() not in ("x86_64", "amd64"):  # no fast kernel there
        return 0
    return next((n for n in (LEVELS, LEVELS_OF_SMALL_SUMS) if _multiplies_exactly(n)), 0)


def _multiplies_exactly(levels: int) -> bool:
    """Whether sums of the largest products of both signs come out right."""
    size = 64
    q = torch.full((size, size), STEPS, dtype=torch.uint8)
    weight = torch.full((size, size), levels, dtype=torch.int8)
    q[1::2] = 0
    weight[1::2] *= -1
    scale, zeros = torch.ones(size), torch.zeros(size, dtype=torch.int32)
    try:
        found = _multiply(q, _packed(weight), scale, zeros)
    except (AttributeError, RuntimeError):  # another release of torch, or another CPU
        return False
    return torch.equal(found.double(), (q.double() - MIDDLE) @ weight.double().t())


def _packed(weight: Tensor) -> Tensor:
    """Weights as the CPU's units for integers read them; the operators are not torch's public ones.

    Args:
        weight: int8, [N, K].
    """
    packed: Tensor = torch.ops.onednn.qlinear_prepack(weight, None)
    return packed


def _multiply(q: Tensor, weight: Tensor, scale: Tensor, zeros: Tensor) -> Tensor:
    """Sums of products of integers, exact, times the scales of outputs, in float32, [rows, N].

    Args:
        q: uint8, [rows, K].
        weight: Of `_packed`.
        scale: [N].
        zeros: The offsets of weights, which have none, int32 [N].
    """
    product: Tensor = torch.ops.onednn.qlinear_pointwise(
        q, 1.0, MIDDLE, weight, scale, zeros, None, 1.0, 0, torch.float32, "none", [], ""
    )
    return product
