"""Writer of checkpoints in the multi-vector layout of sentence-transformers 6."""

import string
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Unpack

import numpy as np

from tercet.testing.checkpoints.backbones import Shape, Sizes
from tercet.testing.checkpoints.modules import IDENTITY, Backbone, module, write_backbone
from tercet.testing.checkpoints.tensors import linear, write_json, write_safetensors

BERT_MARKERS = ("[unused0]", "[unused1]")
ADDED_MARKERS = ("[Q] ", "[D] ")


def write_multi_vector(
    folder: Path,
    *,
    seed: int = 0,
    backbone: Backbone = "bert",
    positions: int = 512,
    local_attention: int = 128,
    vocabulary: int | None = None,
    dim: int = 16,
    bias: bool = False,
    expansion: Literal["fixed", "min"] | None = "fixed",
    expansion_tokens: int = 32,
    attend_to_expansion: bool = False,
    query_tokens: int | None = None,
    document_tokens: int | None = 180,
    skiplist_words: Sequence[str] = tuple(string.punctuation),
    skiplist_tasks: Sequence[str] = ("document",),
    prompts: Mapping[str, str] | None = None,
    **sizes: Unpack[Sizes],
) -> Path:
    """Write a `MultiVectorEncoder` as sentence-transformers 6.2 saves it.

    Args:
        folder: Where to; made if missing.
        seed: Of the random weights; the same seed writes the same numbers everywhere.
        backbone: BERT with markers of its own vocabulary, or another with PyLate's.
        positions: The longest text of the backbone.
        local_attention: Window of ModernBERT's local layers.
        vocabulary: Entries of the vocabulary before added markers; None takes what is needed.
        dim: Length of a token vector.
        bias: Whether the dense module has one.
        expansion: "fixed" pads and cuts every query to the expansion's length, "min" pads shorter
            ones, None leaves queries as they are.
        expansion_tokens: Length of an expanded query.
        attend_to_expansion: Whether the other tokens see the added ones.
        query_tokens: Length of a query that is not expanded; None asks the tokenizer.
        document_tokens: Length of a document; None asks the tokenizer.
        skiplist_words: Tokens without a vector.
        skiplist_tasks: The sides to which that applies.
        prompts: What is put before a query and a document; None takes the markers.
        **sizes: Of the backbone's blocks.

    Returns:
        The folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    shape = Shape(0, positions, **sizes)
    bert = backbone == "bert"
    write_backbone(
        folder,
        shape,
        rng,
        backbone=backbone,
        local_attention=local_attention,
        vocabulary=vocabulary,
        markers=() if bert else ADDED_MARKERS,
        special=BERT_MARKERS if bert else (),
    )
    transformer: dict[str, Any] = {
        "transformer_task": "feature-extraction",
        "modality_config": {
            "text": {"method": "forward", "method_output_name": "last_hidden_state"}
        },
        "module_output_name": "token_embeddings",
    }
    if query_tokens is not None:
        transformer["query_length"] = query_tokens
    if document_tokens is not None:
        transformer["document_length"] = document_tokens
    if expansion is not None:
        rule = {"strategy": expansion, "attend": attend_to_expansion, "token": None}
        transformer["query_expansion"] = {**rule, "length": expansion_tokens}
    write_json(folder / "sentence_bert_config.json", transformer)
    tokens = {"module_input_name": "token_embeddings", "module_output_name": "token_embeddings"}
    dense = {"in_features": shape.hidden, "out_features": dim, "bias": bias}
    write_json(folder / "1_Dense/config.json", {**dense, "activation_function": IDENTITY, **tokens})
    write_safetensors(
        folder / "1_Dense/model.safetensors",
        linear(rng, "linear", inputs=shape.hidden, outputs=dim, bias=bias),
    )
    mask: dict[str, Any] = {"skiplist_words": list(skiplist_words)}
    mask |= {"skiplist_tasks": list(skiplist_tasks), "keep_only_token_ids": None}
    write_json(folder / "2_MultiVectorMask/config.json", mask)
    write_json(folder / "3_Normalize/config.json", tokens)
    write_json(folder / "modules.json", _MODULES)
    if prompts is None:
        query, document = (f"{m} " for m in BERT_MARKERS) if bert else ADDED_MARKERS
        prompts = {"query": query, "document": document}
    write_json(
        folder / "config_sentence_transformers.json",
        {
            "__version__": {"sentence_transformers": "6.2.0", "transformers": "5.23.0"},
            "default_prompt_name": None,
            "model_type": "MultiVectorEncoder",
            "prompts": dict(prompts),
            "similarity_fn_name": "maxsim",
        },
    )
    return folder


_MODULES = [
    module(0, "", "sentence_transformers.base.modules.transformer.Transformer"),
    module(1, "1_Dense", "sentence_transformers.base.modules.dense.Dense"),
    module(
        2,
        "2_MultiVectorMask",
        "sentence_transformers.multi_vector_encoder.modules.multi_vector_mask.MultiVectorMask",
    ),
    module(3, "3_Normalize", "sentence_transformers.base.modules.normalize.Normalize"),
]
