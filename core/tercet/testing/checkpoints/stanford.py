"""Writers of checkpoints in the layout of Stanford's ColBERT, on BERT and on XLM-RoBERTa."""

from pathlib import Path
from typing import Any, Unpack

import numpy as np

from tercet.testing.checkpoints.backbones import (
    Shape,
    Sizes,
    bert_config,
    bert_tensors,
    xlm_roberta_config,
)
from tercet.testing.checkpoints.jina_colbert import MARKERS
from tercet.testing.checkpoints.tensors import linear, prefixed, write_json, write_weights
from tercet.testing.checkpoints.tokenization import (
    write_bert_tokenizer,
    write_xlm_roberta_tokenizer,
)


def write_colbert_v2(
    folder: Path,
    *,
    seed: int = 0,
    positions: int = 512,
    vocabulary: int | None = None,
    dim: int = 16,
    query_tokens: int = 32,
    document_tokens: int = 180,
    similarity: str = "cosine",
    stale_modules: bool = False,
    weights_file: str = "model.safetensors",
    **sizes: Unpack[Sizes],
) -> Path:
    """Write a colbertv2.0: BERT uncased, and metadata that does not name the marker ids.

    Args:
        folder: Where to; made if missing.
        seed: Of the random weights; the same seed writes the same numbers everywhere.
        positions: Rows of the position table.
        vocabulary: Entries of the vocabulary; None takes what the tiny tokenizer needs.
        dim: Length of a token vector.
        query_tokens: Length of a query, as the metadata says.
        document_tokens: Length of a document, as the metadata says.
        similarity: "cosine", or "l2" as in at least one public checkpoint.
        stale_modules: Whether a `modules.json` that lists only a Transformer lies beside it, as
            in mixedbread-ai/mxbai-colbert-large-v1.
        weights_file: `model.safetensors` or `pytorch_model.bin`.
        **sizes: Of the backbone's blocks.

    Returns:
        The folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    size = write_bert_tokenizer(folder, max_length=positions, size=vocabulary)
    shape = Shape(size, positions, **sizes)
    metadata = {
        "query_token": "[Q]",
        "doc_token": "[D]",
        "query_maxlen": query_tokens,
        "attend_to_mask_tokens": False,
        "doc_maxlen": document_tokens,
        "mask_punctuation": True,
        "similarity": similarity,
        "dim": dim,
        "nbits": 1,
        "nway": 64,
    }
    write_stanford(folder, shape, metadata, seed=seed, dim=dim, weights_file=weights_file)
    if stale_modules:
        module = "sentence_transformers.models.Transformer"
        write_json(folder / "modules.json", [{"idx": 0, "name": "0", "path": "", "type": module}])
        write_json(folder / "sentence_bert_config.json", {"max_seq_length": positions})
    return folder


def write_colbert_xlm_roberta(
    folder: Path,
    *,
    seed: int = 0,
    positions: int = 514,
    vocabulary: int | None = None,
    dim: int = 16,
    query_tokens: int = 32,
    document_tokens: int = 180,
    attend_to_expansion: bool = False,
    **sizes: Unpack[Sizes],
) -> Path:
    """Write a multilingual ColBERT: XLM-RoBERTa with absolute positions, SentencePiece, markers.

    Args:
        folder: Where to; made if missing.
        seed: Of the random weights; the same seed writes the same numbers everywhere.
        positions: Rows of the position table; two of them hold no token.
        vocabulary: Entries of the vocabulary, markers included; None takes what is needed.
        dim: Length of a token vector.
        query_tokens: Length of a query, as the metadata says.
        document_tokens: Length of a document, as the metadata says.
        attend_to_expansion: Whether the other tokens see the mask tokens of a query.
        **sizes: Of the backbone's blocks.

    Returns:
        The folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    size = write_xlm_roberta_tokenizer(
        folder, max_length=positions - 2, markers=MARKERS, size=vocabulary
    )
    shape = Shape(size, positions, **sizes)
    metadata = {
        "query_token_id": MARKERS[0],
        "doc_token_id": MARKERS[1],
        "query_maxlen": query_tokens,
        "attend_to_mask_tokens": attend_to_expansion,
        "doc_maxlen": document_tokens,
        "mask_punctuation": True,
        "similarity": "cosine",
        "dim": dim,
    }
    rng = np.random.default_rng(seed)
    write_json(folder / "config.json", xlm_roberta_config(shape, architectures=["HF_ColBERT"]))
    tensors = prefixed(bert_tensors(rng, shape, types=1), "roberta.")
    tensors |= linear(rng, "linear", inputs=shape.hidden, outputs=dim, bias=False)
    write_weights(folder, tensors, weights_file="model.safetensors")
    write_json(folder / "artifact.metadata", metadata)
    return folder


def write_stanford(
    folder: Path,
    shape: Shape,
    metadata: dict[str, Any],
    *,
    seed: int,
    dim: int,
    weights_file: str,
) -> None:
    """Write configuration, weights and metadata of a ColBERT on BERT.

    Args:
        folder: Where to.
        shape: Size of the BERT.
        metadata: Content of `artifact.metadata`.
        seed: Of the random weights.
        dim: Length of a token vector.
        weights_file: `model.safetensors` or `pytorch_model.bin`.
    """
    rng = np.random.default_rng(seed)
    write_json(folder / "config.json", bert_config(shape, architectures=["HF_ColBERT"]))
    tensors = prefixed(bert_tensors(rng, shape), "bert.")
    tensors["bert.embeddings.position_ids"] = np.arange(shape.positions)[np.newaxis]
    tensors |= linear(rng, "linear", inputs=shape.hidden, outputs=dim, bias=False)
    write_weights(folder, tensors, weights_file=weights_file)
    write_json(folder / "artifact.metadata", metadata)
