"""What is written: the rounded weights, heads, settings and the ids of the development queries."""

import json
from dataclasses import asdict
from pathlib import Path

import torch

from training_mini.backbone import FROZEN_LAYERS, quantise, write_tensors
from training_mini.development import HybridWeights
from training_mini.pairs import Pair
from training_mini.student import DIM, Student

MAX_TOKENS = 512


def write_model(
    folder: Path, backbone: dict[str, torch.Tensor], student: Student, weights: HybridWeights
) -> None:
    """Write `model.safetensors`, `heads.safetensors` and `tercet.json` as the library reads them.

    Args:
        folder: Has the configuration and the tokenizer.
        backbone: The published weights, rounded to int8 and back.
        student: The layers that stand in for the upper ones, and the heads.
        weights: Of the plan `hybrid`.
    """
    trained = {
        f"encoder.layer.{FROZEN_LAYERS + int(layer)}.{rest}": value
        for layer, rest, value in (
            (*name.split(".", 1), value.detach())
            for name, value in student.layers.state_dict().items()
        )
    }
    write_tensors(quantise(backbone | trained), folder / "model.safetensors")
    heads = {
        "sparse_linear.weight": student.sparse.weight.detach().contiguous(),  # [1, 384]
        "sparse_linear.bias": student.sparse.bias.detach(),
        "colbert_linear.weight": student.tokens.weight.detach().contiguous(),  # [128, 384]
    }
    write_tensors(heads, folder / "heads.safetensors")
    settings = {
        "format": 1,
        "name": "tercet/mini",
        "license": "mit",
        "pooling": "mean",
        "max_tokens": MAX_TOKENS,
        "sparse": {"drop_special": True},
        "multi_vector": {"dim": DIM, "reduction": "mean", "keep_special": True},
        "hybrid_weights": asdict(weights),
    }
    text = json.dumps(settings, indent=2) + "\n"
    (folder / "tercet.json").write_text(text, encoding="utf-8")


def check_dev_queries(path: Path, dev: list[Pair]) -> None:
    """Refuse a split that differs from the committed one; write it where there is none yet."""
    text = "".join(f"{pair.query_id}\n" for pair in dev)
    if not path.exists():
        path.write_text(text, encoding="utf-8")
    elif path.read_text(encoding="utf-8") != text:
        raise ValueError(f"the development queries of this data are not those of {path}")
