"""Writes a model as a plain folder, which this library and sentence-transformers open."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from tercet.encoding.fingerprint import TOKENIZER
from tercet.models.saved import spec_to_json
from tercet.models.spec import DenseHead, LinearLayer, ModelSpec
from tercet.models.tercet_mini import FORMAT, HEADS, SETTINGS

if TYPE_CHECKING:
    from tercet.encoding.checkpoint import Checkpoint
    from tercet.encoding.weights import Weights

WEIGHTS = "model.safetensors"

POOLINGS = {
    "cls": "cls_token",
    "mean": "mean_tokens",
    "max": "max_tokens",
    "mean_sqrt": "mean_sqrt_len_tokens",
    "weighted_mean": "weightedmean_tokens",
    "last": "lasttoken",
}
"""sentence-transformers' names of our poolings."""


def save(checkpoint: "Checkpoint", folder: Path) -> None:
    """Write a checkpoint as a folder of its own.

    Args:
        checkpoint: The model.
        folder: Where to; made if missing.

    Raises:
        FileExistsError: The folder has files already.
    """
    home = checkpoint.folder / checkpoint.spec.tokenizer.folder
    write(checkpoint.spec, checkpoint.read(), folder, tokenizer=home)


def write(spec: ModelSpec, weights: "Weights", folder: Path, *, tokenizer: Path) -> None:
    """Write a model as a folder of its own.

    Args:
        spec: What it is.
        weights: Its tensors.
        folder: Where to; made if missing.
        tokenizer: The folder of its tokenizer's files.

    Raises:
        FileExistsError: The folder has files already.
    """
    begin(folder)
    heads = {_stored(name): tensor.contiguous().clone() for name, tensor in weights.heads.items()}
    backbone = _alike(weights.backbone)
    save_file(backbone, folder / WEIGHTS, metadata={"format": "pt"})
    if heads:
        save_file(heads, folder / HEADS, metadata={"format": "pt"})
    copy_tokenizer(tokenizer, folder)
    dtype = str(next(iter(backbone.values())).dtype).removeprefix("torch.")
    settings = {**spec.config, "model_type": spec.architecture, "dtype": dtype}
    settings.pop("torch_dtype", None)  # the older name of the same
    write_json(folder / "config.json", settings)
    write_json(folder / SETTINGS, {"format": FORMAT, "model": spec_to_json(at_home(spec))})
    if spec.dense is not None:
        _write_modules(folder, spec, spec.dense, heads)


def begin(folder: Path) -> None:
    """Make a folder for a model.

    Raises:
        FileExistsError: It has files already.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty; a model is saved to a folder of its own")


def copy_tokenizer(home: Path, folder: Path) -> None:
    """Copy the files of a tokenizer from its folder to another."""
    for name in sorted(TOKENIZER):
        if (home / name).is_file():
            shutil.copyfile(home / name, folder / name)


def _alike(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The floating-point tensors in the one type that they have, or in float32."""
    weights = {name: tensor for name, tensor in tensors.items() if tensor.is_floating_point()}
    dtypes = {tensor.dtype for tensor in weights.values()}
    dtype = dtypes.pop() if len(dtypes) == 1 else torch.float32
    return {name: tensor.to(dtype).contiguous().clone() for name, tensor in weights.items()}


def at_home(
    spec: ModelSpec, *, weights: tuple[str, ...] = (WEIGHTS,), heads: str = HEADS
) -> ModelSpec:
    """The description with the files and tensor names of a saved folder.

    Args:
        spec: The model.
        weights: Files of its backbone there.
        heads: File of its heads there.
    """
    homes = {role: role for role, _ in spec.head_layers}

    def moved(role: str, layer: LinearLayer) -> LinearLayer:
        return replace(layer, file=heads, prefix=homes[role])

    dense, sparse, late = spec.dense, spec.sparse, spec.multi_vector
    if dense is not None:
        layers = tuple(moved(f"dense.{n}.", layer) for n, layer in enumerate(dense.layers))
        dense = replace(dense, layers=layers)
    if sparse is not None:
        sparse = replace(sparse, layer=moved("sparse.", sparse.layer))
    if late is not None:
        layers = tuple(moved(f"multi_vector.{n}.", layer) for n, layer in enumerate(late.layers))
        late = replace(late, layers=layers)
    return replace(
        spec,
        layout="tercet",
        weights=weights,
        prefix="",
        dense=dense,
        sparse=sparse,
        multi_vector=late,
        tokenizer=replace(spec.tokenizer, folder=""),
    )


def _stored(name: str) -> str:
    """A head's tensor in the saved file: a residual is a layer of its own."""
    return f"{name}.weight" if name.endswith(".residual") else name


def _write_modules(folder: Path, spec: ModelSpec, dense: DenseHead, heads: dict[str, Any]) -> None:
    """What sentence-transformers needs to make the dense view."""
    poolings = {f"pooling_mode_{name}": key in dense.pooling for key, name in POOLINGS.items()}
    write_json(
        folder / "1_Pooling/config.json",
        {
            "word_embedding_dimension": spec.hidden,
            **poolings,
            "include_prompt": dense.include_prompt,
        },
    )
    kinds = [("", "Transformer"), ("1_Pooling", "Pooling")]
    for n, layer in enumerate(dense.layers):
        path = f"{n + 2}_Dense"
        _write_dense(folder / path, layer, heads, role=f"dense.{n}.")
        kinds.append((path, "Dense"))
    if dense.normalise:
        kinds.append((f"{len(kinds)}_Normalize", "Normalize"))
        (folder / kinds[-1][0]).mkdir()
    modules = [
        {"idx": n, "name": str(n), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for n, (path, kind) in enumerate(kinds)
    ]
    write_json(folder / "modules.json", modules)
    write_json(
        folder / "sentence_bert_config.json",
        {"max_seq_length": spec.max_tokens, "do_lower_case": spec.tokenizer.lowercase != "no"},
    )
    prompts = {"query": spec.query.prompt, "document": spec.document.prompt}
    write_json(
        folder / "config_sentence_transformers.json",
        {
            "prompts": prompts,
            "default_prompt_name": None,
            "similarity_fn_name": "cosine" if dense.normalise else "dot",
        },
    )


def _write_dense(folder: Path, layer: LinearLayer, heads: dict[str, Any], *, role: str) -> None:
    """A Dense module beside the heads: sentence-transformers looks for it in its own folder."""
    activation = layer.activation or "torch.nn.modules.linear.Identity"
    config = {"in_features": layer.inputs, "out_features": layer.outputs, "bias": layer.bias}
    write_json(folder / "config.json", {**config, "activation_function": activation})
    parts = {
        f"linear.{part}": heads[role + part] for part in ("weight", "bias") if role + part in heads
    }
    save_file(parts, folder / WEIGHTS, metadata={"format": "pt"})


def write_json(path: Path, told: object) -> None:
    """Write a JSON file, its folder too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
