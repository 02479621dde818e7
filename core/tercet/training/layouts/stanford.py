"""Stanford's layout: backbone and projection in one file, and what the training was in another."""

from pathlib import Path
from typing import Any

from tercet.encoding.saving import write_json
from tercet.encoding.weights import Weights
from tercet.models.spec import LateInteraction, ModelSpec
from tercet.models.stanford import ARCHITECTURE, METADATA
from tercet.training.layouts.parts import write_backbone

PREFIXES = {"xlm-roberta": "roberta.", "roberta": "roberta."}
"""What stands before a backbone's tensors, where that is not the architecture's own name."""


def write(spec: ModelSpec, weights: Weights, folder: Path, *, tokenizer: Path) -> None:
    """Write a late interaction model.

    Args:
        spec: What it is.
        weights: Its tensors.
        folder: Where to.
        tokenizer: The folder of its tokenizer's files.
    """
    prefix = PREFIXES.get(spec.architecture, f"{spec.architecture}.")
    tensors = {prefix + name: tensor for name, tensor in weights.backbone.items()}
    tensors["linear.weight"] = weights.heads["multi_vector.0.weight"]
    write_backbone(spec, tensors, folder, tokenizer=tokenizer, architectures=[ARCHITECTURE])
    write_json(folder / METADATA, _metadata(spec, spec.multi_vector or LateInteraction(0)))


def _metadata(spec: ModelSpec, head: LateInteraction) -> dict[str, Any]:
    expansion = head.expansion
    return {
        "query_token_id": spec.query.marker,
        "doc_token_id": spec.document.marker,
        "query_token": spec.query.marker,
        "doc_token": spec.document.marker,
        "query_maxlen": spec.query.tokens or (expansion.length if expansion else None),
        "doc_maxlen": spec.document.tokens or spec.max_tokens,
        "attend_to_mask_tokens": bool(expansion and expansion.attended),
        "mask_punctuation": bool(head.skiplist and head.skiplist.words),
        "similarity": "cosine",
        "dim": head.dim,
    }
