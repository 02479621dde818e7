"""Writer of checkpoints in Tercet's own layout, the one of `tercet/mini`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Unpack

import numpy as np

from tercet.testing.checkpoints.backbones import Shape, Sizes, bert_config, bert_tensors
from tercet.testing.checkpoints.tensors import Tensors, linear, write_json, write_safetensors
from tercet.testing.checkpoints.tokenization import write_bert_tokenizer

GROUP = 32
"""int8 weights of a row that share one scale."""


def write_tercet(
    folder: Path,
    *,
    seed: int = 0,
    positions: int = 512,
    max_tokens: int | None = None,
    dim: int = 16,
    pooling: Literal["cls", "mean"] = "mean",
    keep_special: bool = True,
    quantise: bool = True,
    views: tuple[str, ...] = ("dense", "sparse", "multi_vector"),
    settings: Mapping[str, Any] | None = None,
    **sizes: Unpack[Sizes],
) -> Path:
    """Write a BERT with a sparse and a token-vector head.

    Args:
        folder: Where to; made if missing.
        seed: Of the random weights; the same seed writes the same numbers everywhere.
        positions: Rows of the position table.
        max_tokens: The longest text of one pass; None takes the positions.
        dim: Length of a token vector.
        pooling: How token states become the dense vector.
        keep_special: Whether special tokens have a token vector.
        quantise: Whether matrices are int8 in groups of 32 with a float16 scale each, or float16.
        views: The views that the model makes; "dense" is always among them.
        settings: Keys of `tercet.json` to add or to replace.
        **sizes: Of the backbone's blocks.

    Returns:
        The folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    size = write_bert_tokenizer(folder, max_length=positions)
    shape = Shape(size, positions, **sizes)
    rng = np.random.default_rng(seed)
    write_json(folder / "config.json", bert_config(shape))
    backbone = bert_tensors(rng, shape, pooler=False)
    stored = quantised(backbone) if quantise else _halved(backbone)
    write_safetensors(folder / "model.safetensors", stored)
    tensors = linear(rng, "sparse_linear", inputs=shape.hidden, outputs=1)
    tensors |= linear(rng, "colbert_linear", inputs=shape.hidden, outputs=dim, bias=False)
    write_safetensors(folder / "heads.safetensors", _halved(tensors))
    content: dict[str, Any] = {
        "format": 1,
        "name": "tercet/mini",
        "license": "mit",
        "pooling": pooling,
        "max_tokens": max_tokens or positions,
        "hybrid_weights": {"dense": 1.0, "sparse": 0.25, "multi_vector": 0.5},
    }
    if "sparse" in views:
        content["sparse"] = {"drop_special": True}
    if "multi_vector" in views:
        head = {"dim": dim, "reduction": "mean", "keep_special": keep_special}
        content["multi_vector"] = head
    write_json(folder / "tercet.json", content | dict(settings or {}))
    return folder


def quantised(tensors: Tensors) -> Tensors:
    """Matrices as int8 in groups of 32 beside their float16 scales, other tensors in float16."""
    stored: Tensors = {}
    for name, tensor in tensors.items():
        if tensor.ndim != 2 or tensor.shape[1] % GROUP:
            stored[name] = tensor.astype(np.float16)
            continue
        groups = tensor.reshape(len(tensor), -1, GROUP)  # [R, C] -> [R, C / 32, 32]
        scale = (np.abs(groups).max(axis=2) / 127).astype(np.float16)  # -> [R, C / 32]
        steps = np.rint(groups / np.maximum(scale.astype(np.float32), 1e-12)[..., np.newaxis])
        stored[name] = np.clip(steps, -127, 127).astype(np.int8).reshape(tensor.shape)
        stored[f"{name}.scale"] = scale
    return stored


def _halved(tensors: Tensors) -> Tensors:
    return {name: tensor.astype(np.float16) for name, tensor in tensors.items()}
