"""Linear layers whose weights lie in memory as the CPU reads them.

In float32 they are for a kernel of ours, and so are those of int8 (`int8.py`). In other
arithmetics, and where kernels are off, they are for oneDNN's, which are not a public interface of
torch: where these are missing or refuse, the layer stays what it was.
"""

from functools import lru_cache
from typing import Protocol

import torch
from torch import Tensor, nn

from tercet.kernels.layer import Layer, Matrix, Share
from tercet.kernels.linear import Panels, can_multiply
from tercet.scoring.threads import in_parallel

ROWS_HINT = 1024
"""Rows that oneDNN's layout is chosen for: those of a full pack."""

WORTH_A_THREAD = 10_000_000
"""Products of two numbers below which handing work to another thread costs more than it saves."""

ROWS_HIDDEN = 20
"""Fewer take no less time: what counts then is how fast the weights are read."""

FUSED = (
    ("widen", "activation"),
    ("dense", "intermediate_act_fn"),
    ("fc1", "activation_fn"),
    ("lin1", "activation"),
)
"""Where we and transformers keep a linear layer and the GELU behind it, in one parent."""

HALVES = {False: torch.float32, True: torch.bfloat16}
"""What kernels call the arithmetics of states."""

Activation = str
"""What is computed with the product: "none" or "gelu", as oneDNN calls them."""


class LinearKind(Protocol):
    """What makes another kind of layer of a linear one."""

    def __call__(self, linear: nn.Linear, *, activation: Activation) -> nn.Module:
        """The layer and the activation behind it, as one module."""
        ...


class LayerOfPanels(nn.Module):
    """A layer whose weights are laid out for our kernels."""

    def __init__(self, linear: nn.Linear, panels: Layer) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        # A layout of its own, so not a parameter.
        self._panels = panels
        self._known = {HALVES[half]: half for half in panels.halves}

    def forward(self, x: Tensor) -> Tensor:
        """Project the last axis."""
        rows = x if x.ndim == 2 else x.reshape(-1, x.shape[-1])
        if rows.stride(1) != 1:
            rows = rows.contiguous()
        y = torch.empty(len(rows), self.out_features, dtype=rows.dtype)
        read, written = self._matrix(rows), self._matrix(y)

        def some(share: Share) -> None:
            self._panels.project(read, written, share)

        in_parallel(some, self._panels.shares(read.rows, self._threads(read.rows)))
        return y if x.ndim == 2 else y.view(*x.shape[:-1], self.out_features)

    def _threads(self, rows: int) -> int:
        """How many compute so many rows."""
        threads = torch.get_num_threads()
        if threads == 1:
            return 1
        products = self.in_features * self.out_features * max(rows, ROWS_HIDDEN)
        return max(1, min(threads, products // WORTH_A_THREAD))

    def _matrix(self, states: Tensor) -> Matrix:
        """Where the rows of states are.

        Raises:
            ValueError: Our kernel cannot read them.
        """
        known = self._known
        if states.dtype not in known or not states.is_cpu or states.requires_grad:
            raise ValueError(
                f"the states are {states.dtype} on {states.device}, requires_grad="
                f"{states.requires_grad}: this layer was laid out to encode "
                f"{' or '.join(map(str, known))} on a CPU"
            )
        (rows, columns), half = states.shape, known[states.dtype]
        return Matrix(states.data_ptr(), rows, columns, states.stride(0), owner=states, half=half)


class CompiledLinear(LayerOfPanels):
    """y = act(x W^T + b) in float32, with W laid out for our kernel."""

    def __init__(self, linear: nn.Linear, *, activation: Activation = "none") -> None:
        bias = None if linear.bias is None else linear.bias.detach().numpy()
        weight = linear.weight.detach().numpy()
        super().__init__(linear, Panels(weight, bias, gelu=activation == "gelu"))


class PackedLinear(nn.Module):
    """y = act(x W^T + b), with W laid out for oneDNN."""

    def __init__(self, linear: nn.Linear, *, activation: Activation = "none") -> None:
        super().__init__()
        weight, bias = linear.weight.detach(), linear.bias
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self._activation = activation
        # A layout of its own that `state_dict` could not write, so not a parameter.
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight, ROWS_HINT)
        self._bias = None if bias is None else bias.detach().clone()

    def forward(self, x: Tensor) -> Tensor:
        """Project the last axis."""
        y: Tensor = torch.ops.mkldnn._linear_pointwise(
            x, self._weight, self._bias, self._activation, [], "none"
        )
        return y


@lru_cache
def can_pack(dtype: torch.dtype) -> bool:
    """Whether oneDNN's prepacked layers are there and right, tried on a small one."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    linear = nn.Linear(16, 16, dtype=dtype)
    x = torch.linspace(-1, 1, 64, dtype=dtype).view(4, 16)
    try:
        with torch.inference_mode():
            packed = PackedLinear(linear, activation="gelu")(x)
            plain = nn.functional.gelu(linear(x))
    except (AttributeError, RuntimeError):  # another release of torch, or another CPU
        return False
    return torch.allclose(packed, plain, atol=1e-2 if dtype.itemsize == 2 else 1e-5)


@torch.inference_mode()
def prepack(model: nn.Module, *, dtype: torch.dtype) -> None:
    """Lay out the linear layers of a model on the CPU, where that can be done."""
    if takes_any_rows(dtype):
        replace_linears(model, CompiledLinear)
    elif can_pack(dtype):
        replace_linears(model, PackedLinear)


def takes_any_rows(dtype: torch.dtype) -> bool:
    """Whether layers are our kernel's: it is the same for all numbers of rows."""
    return dtype == torch.float32 and can_multiply()


def replace_linears(model: nn.Module, kind: LinearKind) -> None:
    """Replace the linear layers of a model, one by one, so that memory stays flat.

    Args:
        model: Changed in place; the GELU behind a layer becomes part of its replacement.
        kind: Makes a replacement of a layer and the activation behind it.
    """
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.Linear:
                setattr(parent, name, kind(child, activation=_fuse(parent, name)))


def _fuse(parent: nn.Module, name: str) -> Activation:
    """Take the exact GELU behind a layer out of its parent, if there is one."""
    for linear, activation in FUSED:
        found = getattr(parent, activation, None)
        if name == linear and found is not None and _is_exact_gelu(found):
            setattr(parent, activation, nn.Identity())
            return "gelu"
    return "none"


def _is_exact_gelu(activation: object) -> bool:
    """Whether it is x Phi(x), not one of the approximations that share the name."""
    if isinstance(activation, nn.GELU):
        return activation.approximate == "none"
    return activation is nn.functional.gelu or (
        type(activation).__name__ == "GELUActivation"
        and getattr(activation, "act", None) is nn.functional.gelu
    )
