"""Linear layers of a head: what stands between token states and a view."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from tercet.encoding.linear import prepack
from tercet.errors import UnknownLayoutError
from tercet.models.spec import LinearLayer


class Projection(nn.Module):
    """Linear layers, one after another: x -> activation(W x + b) + residual."""

    def __init__(self, layers: Sequence[LinearLayer]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_Layer(layer) for layer in layers)

    def forward(self, x: Tensor) -> Tensor:
        """Project the last axis."""
        for layer in self.layers:
            x = layer(x)
        return x


class _Layer(nn.Module):
    def __init__(self, spec: LinearLayer) -> None:
        super().__init__()
        self.linear = nn.Linear(spec.inputs, spec.outputs, bias=spec.bias, device="meta")
        self.activation = _activation(spec.activation)
        self.residual: nn.Module | None = None
        if spec.residual == "linear":
            self.residual = nn.Linear(spec.inputs, spec.outputs, bias=False, device="meta")
        elif spec.residual == "identity":
            self.residual = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.activation(self.linear(x))
        return y if self.residual is None else y + self.residual(x)


def load_projection(
    layers: Sequence[LinearLayer],
    tensors: Mapping[str, Tensor],
    *,
    role: str,
    device: torch.device,
    dtype: torch.dtype,
    packed: bool = True,
) -> Projection:
    """Build the layers of a head from the tensors of a checkpoint.

    Args:
        layers: What they are.
        tensors: Weights of all heads, as `dense.0.weight`.
        role: What stands before the number of a layer there, as "dense".
        device: Where they run.
        dtype: Their arithmetic.
        packed: Whether they may be laid out for the CPU, in operators that cannot be exported.
    """
    projection = Projection(layers)
    named = {}
    for n, layer in enumerate(projection.layers):
        for name, _ in layer.named_parameters():
            key = f"{role}.{n}.{_stored(name)}"
            named[f"layers.{n}.{name}"] = tensors[key].to(device=device, dtype=dtype)
    projection.load_state_dict(named, assign=True)
    projection.eval()
    if packed and device.type == "cpu":
        prepack(projection, dtype=dtype)
    return projection


def stored_tensors(projection: Projection, *, role: str) -> dict[str, Tensor]:
    """The tensors of a head as a checkpoint names them: what `load_projection` reads.

    Args:
        projection: The layers.
        role: What stands before the number of a layer, as "dense".
    """
    return {
        f"{role}.{n}.{_stored(name)}": parameter.detach()
        for n, layer in enumerate(projection.layers)
        for name, parameter in layer.named_parameters()
    }


def unit(vectors: Tensor) -> Tensor:
    """The vectors in float32, at unit length."""
    return functional.normalize(vectors.float(), dim=-1)


def _stored(name: str) -> str:
    """How a checkpoint's heads name a parameter: `weight`, `bias`, or `residual`."""
    return "residual" if name == "residual.weight" else name.removeprefix("linear.")


def _activation(name: str) -> nn.Module:
    """The module of torch under a dotted name; never code from a checkpoint."""
    if not name:
        return nn.Identity()
    found = getattr(nn, name.rpartition(".")[2], None)
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise UnknownLayoutError(f"a head needs the activation {name!r}, which torch.nn has not")
    module: nn.Module = found()
    return module
