"""What is written beside the backbone: heads, settings and the ids of the development queries."""

import json
from dataclasses import asdict
from pathlib import Path

import torch

from training_mini.backbone import MAX_TOKENS, write_tensors
from training_mini.development import HybridWeights
from training_mini.pairs import Pair
from training_mini.sparse_head import SparseHead


def write_heads(
    folder: Path, *, head: SparseHead, projection: torch.Tensor, weights: HybridWeights
) -> None:
    """Write `heads.safetensors` and `tercet.json` in the form that the library reads."""
    heads = {
        "sparse_linear.weight": head.weight[None, :].contiguous(),  # [1, 384]
        "sparse_linear.bias": head.bias.reshape(1),
        "colbert_linear.weight": projection.contiguous(),  # [128, 384]
    }
    write_tensors(heads, folder / "heads.safetensors")
    settings = {
        "format": 1,
        "name": "tercet/mini",
        "license": "mit",
        "pooling": "mean",
        "max_tokens": MAX_TOKENS,
        "sparse": {"drop_special": True},
        "multi_vector": {"dim": len(projection), "reduction": "mean", "keep_special": True},
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
