"""Writer of checkpoints in the layout of PyLate."""

import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from tercet.testing.checkpoints.backbones import Shape, Sizes
from tercet.testing.checkpoints.modules import IDENTITY, Backbone, module, write_backbone
from tercet.testing.checkpoints.tensors import Tensors, linear, write_json, write_safetensors

MARKERS = ("[Q] ", "[D] ")
"""PyLate's markers: the space at the end belongs to the token."""


def write_pylate(
    folder: Path,
    *,
    seed: int = 0,
    backbone: Backbone = "bert",
    positions: int = 512,
    local_attention: int = 128,
    vocabulary: int | None = None,
    dims: Sequence[int] = (16,),
    bias: bool = False,
    residual: bool = False,
    transformer_folder: str = "",
    dense_type: str = "pylate.models.Dense.Dense",
    query_tokens: int = 32,
    document_tokens: int = 180,
    expand_queries: bool = True,
    attend_to_expansion: bool = False,
    skiplist_words: Sequence[str] = tuple(string.punctuation),
    lowercase_texts: bool = False,
    **sizes: Unpack[Sizes],
) -> Path:
    """Write a PyLate model: a transformer, one or more dense modules, marker tokens.

    Args:
        folder: Where to; made if missing.
        seed: Of the random weights; the same seed writes the same numbers everywhere.
        backbone: BERT, ModernBERT as in most recent models, or XLM-RoBERTa.
        positions: The longest text of the backbone.
        local_attention: Window of ModernBERT's local layers.
        vocabulary: Entries of the vocabulary before the markers; None takes what is needed.
        dims: Output of each dense module; the last is the length of a token vector.
        bias: Whether the dense modules have one.
        residual: Whether the dense modules add their input, projected where sizes differ.
        transformer_folder: Where the transformer stands: "" for the root, or "0_Transformer".
        dense_type: Type of the dense modules in `modules.json`; older copies of models say
            "pylate.models.Dense".
        query_tokens: Length of a query, marker included.
        document_tokens: Length of a document, marker included.
        expand_queries: Whether queries are filled up with mask tokens.
        attend_to_expansion: Whether the other tokens see those mask tokens.
        skiplist_words: Tokens that documents have no vector for.
        lowercase_texts: Whether texts are lower-cased before the tokenizer, whatever it does.
        **sizes: Of the backbone's blocks.

    Returns:
        The folder.
    """
    transformer = folder / transformer_folder
    transformer.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    shape = Shape(0, positions, **sizes)
    write_backbone(
        transformer,
        shape,
        rng,
        backbone=backbone,
        local_attention=local_attention,
        vocabulary=vocabulary,
        markers=MARKERS,
    )
    lengths = {"max_seq_length": document_tokens - 1, "do_lower_case": lowercase_texts}
    write_json(transformer / "sentence_bert_config.json", lengths)
    modules = [module(0, transformer_folder, "sentence_transformers.models.Transformer")]
    for n, (inputs, outputs) in enumerate(zip((shape.hidden, *dims), dims, strict=False), start=1):
        path = f"{n}_Dense"
        modules.append(module(n, path, dense_type))
        config: dict[str, Any] = {"in_features": inputs, "out_features": outputs, "bias": bias}
        config |= {"activation_function": IDENTITY, "use_residual": residual}
        write_json(folder / path / "config.json", config)
        tensors: Tensors = linear(rng, "linear", inputs=inputs, outputs=outputs, bias=bias)
        if residual and inputs != outputs:
            tensors |= linear(rng, "residual", inputs=inputs, outputs=outputs, bias=False)
        write_safetensors(folder / path / "model.safetensors", tensors)
    write_json(folder / "modules.json", modules)
    write_json(
        folder / "config_sentence_transformers.json",
        {
            "__version__": {"sentence_transformers": "5.3.0", "transformers": "5.3.0"},
            "model_type": "ColBERT",
            "prompts": {"query": "", "document": ""},
            "default_prompt_name": None,
            "similarity_fn_name": "MaxSim",
            "query_prefix": MARKERS[0],
            "document_prefix": MARKERS[1],
            "query_length": query_tokens,
            "document_length": document_tokens,
            "attend_to_expansion_tokens": attend_to_expansion,
            "skiplist_words": list(skiplist_words),
            "do_query_expansion": expand_queries,
        },
    )
    return folder
