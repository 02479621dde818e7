"""What the published layouts have in common: a backbone with its tokenizer, linear modules."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from tercet.encoding.saving import WEIGHTS, copy_tokenizer, write_json
from tercet.models.linear import IDENTITY
from tercet.models.spec import LinearLayer, ModelSpec

TOKENIZER_SETTINGS = "tokenizer_config.json"


def write_backbone(
    spec: ModelSpec,
    tensors: Mapping[str, Tensor],
    folder: Path,
    *,
    tokenizer: Path,
    architectures: Sequence[str] = (),
) -> None:
    """Write configuration, weights and tokenizer of a backbone.

    Args:
        spec: The model.
        tensors: What the weights file shall hold.
        folder: Where to.
        tokenizer: The folder of the tokenizer's files.
        architectures: Names of classes for the configuration.
    """
    write_tensors(folder / WEIGHTS, tensors)
    settings = {k: v for k, v in spec.config.items() if k not in ("torch_dtype", "dtype")}
    settings |= {"model_type": spec.architecture, "dtype": "float32"}
    if architectures:
        settings["architectures"] = list(architectures)
    write_json(folder / "config.json", settings)
    copy_tokenizer(tokenizer, folder)
    found = folder / TOKENIZER_SETTINGS
    limits = json.loads(found.read_text(encoding="utf-8")) if found.is_file() else {}
    write_json(found, {**limits, "model_max_length": spec.max_tokens})


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors as the libraries do, floating-point ones in float32."""
    path.parent.mkdir(parents=True, exist_ok=True)
    plain = {n: t.float().contiguous().clone() for n, t in tensors.items() if t.is_floating_point()}
    save_file(plain, path, metadata={"format": "pt"})


def write_linear(
    folder: Path, layer: LinearLayer, heads: Mapping[str, Tensor], *, role: str
) -> None:
    """Write a Dense module of sentence-transformers or PyLate.

    Args:
        folder: Where to.
        layer: What it is.
        heads: Tensors of all heads.
        role: What stands before the layer's own there, as "multi_vector.0.".
    """
    config: dict[str, Any] = {"in_features": layer.inputs, "out_features": layer.outputs}
    config |= {"bias": layer.bias, "activation_function": layer.activation or IDENTITY}
    config["use_residual"] = layer.residual != "none"
    write_json(folder / "config.json", config)
    tensors = {
        f"linear.{part}": heads[role + part] for part in ("weight", "bias") if role + part in heads
    }
    if layer.residual == "linear":
        tensors["residual.weight"] = heads[f"{role}residual"]
    write_tensors(folder / WEIGHTS, tensors)


def write_modules(folder: Path, modules: Sequence[tuple[str, str]]) -> None:
    """Write `modules.json`: the path and the class of each module, in order."""
    rows = [
        {"idx": n, "name": str(n), "path": path, "type": kind}
        for n, (path, kind) in enumerate(modules)
    ]
    write_json(folder / "modules.json", rows)
