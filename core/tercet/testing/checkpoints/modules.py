"""What the folders of sentence-transformers and PyLate have in common: backbone and modules."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from tercet.testing.checkpoints.backbones import (
    Shape,
    bert_config,
    bert_tensors,
    modernbert_config,
    modernbert_tensors,
    xlm_roberta_config,
)
from tercet.testing.checkpoints.tensors import write_json, write_safetensors
from tercet.testing.checkpoints.tokenization import (
    write_bert_tokenizer,
    write_byte_level_tokenizer,
    write_xlm_roberta_tokenizer,
)

Backbone: TypeAlias = Literal["bert", "modernbert", "xlm-roberta"]
"""The backbones that these folders are written with."""

IDENTITY = "torch.nn.modules.linear.Identity"
"""Name of the activation function that does nothing."""


def module(number: int, path: str, kind: str) -> dict[str, Any]:
    """One row of `modules.json`."""
    return {"idx": number, "name": str(number), "path": path, "type": kind}


def write_backbone(
    folder: Path,
    shape: Shape,
    rng: np.random.Generator,
    *,
    backbone: Backbone,
    local_attention: int = 128,
    vocabulary: int | None = None,
    markers: Sequence[str] = (),
    special: Sequence[str] = (),
) -> None:
    """Write tokenizer, configuration and weights of a plain backbone.

    Args:
        folder: Where to.
        shape: Its size; the vocabulary in it is replaced by that of the tokenizer.
        rng: Where the numbers come from.
        backbone: Which of the three.
        local_attention: Window of ModernBERT's local layers.
        vocabulary: Entries of the vocabulary before the markers; None takes what is needed.
        markers: Tokens added after the vocabulary.
        special: Tokens of BERT's vocabulary that texts may contain as they are.
    """
    config: dict[str, Any]
    if backbone == "bert":
        size = write_bert_tokenizer(
            folder, max_length=shape.positions, size=vocabulary, markers=markers, special=special
        )
        shape = replace(shape, vocabulary=size)
        config, tensors = bert_config(shape), bert_tensors(rng, shape)
    elif backbone == "xlm-roberta":
        room = None if vocabulary is None else vocabulary + len(markers)
        size = write_xlm_roberta_tokenizer(
            folder, max_length=shape.positions - 2, size=room, markers=markers
        )
        shape = replace(shape, vocabulary=size)
        config, tensors = xlm_roberta_config(shape), bert_tensors(rng, shape, types=1)
    else:
        size = write_byte_level_tokenizer(
            folder, max_length=shape.positions, size=vocabulary, markers=markers
        )
        shape = replace(shape, vocabulary=size)
        end = size - len(markers)
        config = modernbert_config(shape, local_attention=local_attention, special=end)
        tensors = modernbert_tensors(rng, shape)
    write_json(folder / "config.json", config)
    write_safetensors(folder / "model.safetensors", tensors)
