"""The tensors of a checkpoint: those of the backbone and those of the heads."""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from tercet.encoding.checkpoint_files import load_pickled
from tercet.errors import CheckpointError, MissingTensorError
from tercet.models.spec import LinearLayer, ModelSpec

GROUP = 32
"""Weights of a row that share one scale, in files of int8 weights."""

SCALE = ".scale"


@dataclass(frozen=True, slots=True)
class Weights:
    """The tensors of one checkpoint.

    Attributes:
        backbone: By name, the checkpoint's own prefix taken away.
        heads: Of the linear layers: `dense.0.weight`, `dense.0.bias`, `sparse.weight`,
            `sparse.bias`, `multi_vector.0.weight`, `multi_vector.0.bias`,
            `multi_vector.0.residual` (each [outputs, inputs] or [outputs]).
    """

    backbone: dict[str, torch.Tensor]
    heads: dict[str, torch.Tensor]


def read_weights(folder: Path, spec: ModelSpec) -> Weights:
    """Read the tensors that a model needs.

    Raises:
        MissingTensorError: One of a head is not there.
        CheckpointError: A file is damaged, or a tensor has another shape than it should.
    """
    files = {path: read_tensors(folder / path) for path in dict.fromkeys(spec.weights)}
    backbone = {
        name.removeprefix(spec.prefix): tensor
        for path in spec.weights
        for name, tensor in files[path].items()
        if name.startswith(spec.prefix)
    }
    heads: dict[str, torch.Tensor] = {}
    for role, layer in spec.head_layers:
        if layer.file not in files:
            files[layer.file] = read_tensors(folder / layer.file)
        heads |= _layer(role, layer, files[layer.file], folder / layer.file)
    return Weights(backbone, heads)


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """All tensors of one file, int8 groups turned back into float32.

    Raises:
        CheckpointError: The file is damaged.
    """
    if path.suffix != ".safetensors":
        return load_pickled(path)
    try:
        stored = load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}; copy it again") from error
    return {
        name: dequantised(name, tensor, stored.get(name + SCALE))
        for name, tensor in stored.items()
        if not (name.endswith(SCALE) and name.removesuffix(SCALE) in stored)
    }


def dequantised(name: str, tensor: torch.Tensor, scale: torch.Tensor | None) -> torch.Tensor:
    """A tensor as floating-point numbers.

    Args:
        name: For messages.
        tensor: int8 weights [R, C], or any tensor that is used as it is.
        scale: One number for each group of 32 weights, [R, C / 32]; None where there is none.

    Raises:
        CheckpointError: int8 weights and scales that do not belong together.
    """
    if tensor.dtype != torch.int8:
        return tensor
    if (
        scale is None
        or tensor.ndim != 2
        or scale.shape
        != (
            tensor.shape[0],
            tensor.shape[1] / GROUP,
        )
    ):
        found = "no scales" if scale is None else f"scales {list(scale.shape)}"
        raise CheckpointError(
            f"{name} is int8 {list(tensor.shape)} with {found}; a row needs one scale for each "
            f"{GROUP} weights"
        )
    groups = tensor.float().view(len(tensor), -1, GROUP)  # [R, C] -> [R, C / 32, 32]
    return (groups * scale.float().unsqueeze(-1)).view(tensor.shape)


def _layer(
    role: str, layer: LinearLayer, stored: dict[str, torch.Tensor], path: Path
) -> dict[str, torch.Tensor]:
    shapes: dict[str, tuple[int, ...]] = {"weight": (layer.outputs, layer.inputs)}
    if layer.bias:
        shapes["bias"] = (layer.outputs,)
    if layer.residual == "linear":
        shapes["residual"] = (layer.outputs, layer.inputs)
    tensors = {}
    for part, shape in shapes.items():
        name = _stored_name(layer, part, stored)
        if name not in stored:
            raise MissingTensorError(
                f"{path} lacks the tensor {name!r}; it has {', '.join(sorted(stored))}"
            )
        if tuple(stored[name].shape) != shape:
            raise CheckpointError(
                f"{name} in {path} has the shape {list(stored[name].shape)}, not {list(shape)}"
            )
        tensors[role + part] = stored[name]
    return tensors


def _stored_name(layer: LinearLayer, part: str, stored: dict[str, torch.Tensor]) -> str:
    """How a file names a part of a layer; only our own folders put a prefix before a residual."""
    if part != "residual":
        return layer.prefix + part
    own = f"{layer.prefix}residual.weight"
    return own if own in stored else "residual.weight"
