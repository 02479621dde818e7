"""Random tensors for tiny checkpoints, and the files that hold them.

The letters in the shapes: H hidden, F intermediate, V vocabulary, P positions, E dimensions.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

Tensors: TypeAlias = dict[str, NDArray[Any]]
"""Tensors of a checkpoint by name."""

NORM_SPREAD = 0.1
"""How far the gains of layer norms lie from 1, and biases from 0."""


def normal(rng: np.random.Generator, *shape: int, scale: float) -> NDArray[np.float32]:
    """Draw one tensor from a normal distribution around 0."""
    drawn = rng.standard_normal(shape, dtype=np.float32)
    drawn *= np.float32(scale)
    return drawn


def linear(
    rng: np.random.Generator,
    name: str,
    *,
    inputs: int,
    outputs: int,
    bias: bool = True,
    gain: float = 1.0,
) -> Tensors:
    """Draw a linear layer that multiplies the spread of its input by gain: [outputs, inputs]."""
    tensors: Tensors = {f"{name}.weight": normal(rng, outputs, inputs, scale=gain * inputs**-0.5)}
    if bias:
        tensors[f"{name}.bias"] = normal(rng, outputs, scale=NORM_SPREAD)
    return tensors


def layer_norm(rng: np.random.Generator, name: str, *, size: int, bias: bool = True) -> Tensors:
    """Draw a layer norm with gains around 1: weight [size]."""
    tensors: Tensors = {f"{name}.weight": 1 + normal(rng, size, scale=NORM_SPREAD)}
    if bias:
        tensors[f"{name}.bias"] = normal(rng, size, scale=NORM_SPREAD)
    return tensors


def embedding(
    rng: np.random.Generator, name: str, *, rows: int, size: int, scale: float = 1.0
) -> Tensors:
    """Draw an embedding table: weight [rows, size]."""
    return {f"{name}.weight": normal(rng, rows, size, scale=scale)}


def prefixed(tensors: Tensors, prefix: str) -> Tensors:
    """The same tensors, each name behind a prefix."""
    return {prefix + name: tensor for name, tensor in tensors.items()}


def write_safetensors(path: Path, tensors: Tensors) -> None:
    """Write tensors as the libraries do, with the format that transformers asks for."""
    save_file(tensors, path, metadata={"format": "pt"})


def write_pickled(path: Path, tensors: Tensors) -> None:
    """Write tensors as a pickled torch state dict; the only place that needs torch."""
    import torch  # noqa: PLC0415  # lazily: all other layouts are written without it

    state = {name: torch.from_numpy(np.ascontiguousarray(t)) for name, t in tensors.items()}
    torch.save(state, path)


def write_weights(folder: Path, tensors: Tensors, *, weights_file: str) -> None:
    """Write the weights of a model under the name that its repository uses.

    Args:
        folder: Where to.
        tensors: The weights.
        weights_file: `model.safetensors`, or a name in `.bin` or `.pt` for a pickled state dict.
    """
    if weights_file.endswith(".safetensors"):
        write_safetensors(folder / weights_file, tensors)
    else:
        write_pickled(folder / weights_file, tensors)


def write_json(path: Path, content: Mapping[str, Any] | list[Any]) -> None:
    """Write JSON as the libraries do: indented, UTF-8."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
