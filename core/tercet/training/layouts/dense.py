"""The layout of dense models of sentence-transformers."""

from dataclasses import replace
from pathlib import Path

from tercet.encoding import saving
from tercet.encoding.weights import Weights
from tercet.models.spec import ModelSpec
from tercet.models.tercet_mini import HEADS, SETTINGS


def write(spec: ModelSpec, weights: Weights, folder: Path, *, tokenizer: Path) -> None:
    """Write the dense view of a model: our own layout without what is ours in it.

    Args:
        spec: What it is.
        weights: Its tensors.
        folder: Where to.
        tokenizer: The folder of its tokenizer's files.
    """
    alone = replace(spec, sparse=None, multi_vector=None)
    heads = {name: t for name, t in weights.heads.items() if name.startswith("dense.")}
    saving.write(alone, Weights(weights.backbone, heads), folder, tokenizer=tokenizer)
    for name in (SETTINGS, HEADS):
        (folder / name).unlink(missing_ok=True)
