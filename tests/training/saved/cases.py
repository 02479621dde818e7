"""Tiny models that were opened, changed as training changes them, and saved in each layout."""

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file


@dataclass(frozen=True)
class Case:
    """A model, the layout that it is saved in and the library that opens it there.

    Attributes:
        writer: Of `tercet.testing.checkpoints`.
        layout: Name of the layout.
        library: Name of the environment, as in tests/equivalence/make_golden.py.
        arguments: Of the writer.
        heads: Length of the token vectors that it gets with lexical weights; None for no heads.
    """

    writer: str
    layout: str
    library: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    heads: int | None = None


MODERN = {"backbone": "modernbert", "layers": 4, "local_attention": 16}
ST = "sentence-transformers"

CASES = {
    "m3": Case("write_bge_m3", "bge-m3", "flagembedding", {"positions": 514, "seed": 21}),
    "m3-bert": Case(
        "write_dense", "bge-m3", "flagembedding", {"pooling": "cls", "seed": 32}, heads=32
    ),
    "m3-dense": Case("write_bge_m3", ST, "st", {"positions": 514, "seed": 22}),
    "colbert": Case("write_colbert_v2", "stanford", "colbert", {"seed": 23}),
    "colbert-xlm-roberta": Case("write_colbert_xlm_roberta", "stanford", "colbert", {"seed": 24}),
    "pylate-colbert": Case("write_pylate", "stanford", "colbert", {"seed": 25}),
    "pylate": Case(
        "write_pylate",
        "pylate",
        "pylate",
        {**MODERN, "dims": [24, 16], "residual": True, "bias": True, "seed": 26},
    ),
    "colbert-pylate": Case("write_colbert_v2", "pylate", "pylate", {"seed": 27}),
    "multi-vector": Case(
        "write_multi_vector", f"{ST}-multi-vector", "st", {**MODERN, "expansion": "min", "seed": 28}
    ),
    "multi-vector-bert": Case("write_multi_vector", f"{ST}-multi-vector", "st", {"seed": 29}),
    "pylate-multi-vector": Case(
        "write_pylate", f"{ST}-multi-vector", "st", {**MODERN, "dims": [24, 16], "seed": 30}
    ),
    "dense": Case(
        "write_dense",
        ST,
        "st",
        {"dense_dim": 24, "prompts": {"query": "what is: ", "document": "text: "}, "seed": 31},
    ),
}


def write(name: str, folder: Path) -> Path:
    """Open a tiny checkpoint, change every weight, save it; the saved folder."""
    from tercet.testing import checkpoints
    from tercet.training.models.opening import Heads, open_model
    from tercet.training.models.saving import save_model

    case = CASES[name]
    getattr(checkpoints, case.writer)(folder / "opened", **case.arguments)
    added = None if case.heads is None else Heads(sparse=True, multi_vector=case.heads)
    model = open_model(folder / "opened", heads=added)
    rng = np.random.default_rng(case.arguments["seed"])
    with torch.no_grad():
        for parameter in model.parameters():
            step = 0.02 * rng.standard_normal(tuple(parameter.shape), dtype=np.float32)
            parameter.add_(torch.from_numpy(step))
    save_model(model, folder / "saved", layout=case.layout)
    return folder / "saved"


def digest(folder: Path) -> str:
    """A hash of all tensors and settings of a saved model; the tokenizer's own file is left out."""
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        tensors: dict[str, torch.Tensor] = {}
        if path.suffix == ".safetensors":
            tensors = load_file(path)
        elif path.suffix == ".pt":
            tensors = torch.load(path, weights_only=True)
        elif path.suffix in {".json", ".metadata"} and path.name != "tokenizer.json":
            told = json.loads(path.read_text(encoding="utf-8"))
            found.update(name.encode() + json.dumps(told, sort_keys=True).encode())
        for key, tensor in sorted(tensors.items()):
            found.update(f"{name} {key}".encode() + tensor.numpy().tobytes())
    return found.hexdigest()


if __name__ == "__main__":
    for case in CASES:
        write(case, Path(sys.argv[1]) / case)
