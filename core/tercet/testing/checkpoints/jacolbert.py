"""Writer of checkpoints in the layout of answerdotai/JaColBERTv2.5."""

from pathlib import Path
from typing import Unpack

from tercet.testing.checkpoints.backbones import Shape, Sizes
from tercet.testing.checkpoints.stanford import write_stanford
from tercet.testing.checkpoints.tokenization import write_japanese_bert_tokenizer


def write_jacolbert(
    folder: Path,
    *,
    seed: int = 0,
    positions: int = 512,
    vocabulary: int | None = None,
    dim: int = 16,
    query_tokens: int = 32,
    document_tokens: int = 300,
    **sizes: Unpack[Sizes],
) -> Path:
    """Write a JaColBERTv2.5: Japanese BERT with MeCab, markers that go in by id alone.

    Args:
        folder: Where to; made if missing.
        seed: Of the random weights; the same seed writes the same numbers everywhere.
        positions: Rows of the position table.
        vocabulary: Entries of the vocabulary; None takes what the tiny tokenizer needs.
        dim: Length of a token vector.
        query_tokens: Length of a query, as the metadata says.
        document_tokens: Length of a document, as the metadata says.
        **sizes: Of the backbone's blocks.

    Returns:
        The folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    size = write_japanese_bert_tokenizer(folder, max_length=positions, size=vocabulary)
    shape = Shape(size, positions, **sizes)
    metadata = {
        "query_token_id": "[unused0]",
        "doc_token_id": "[unused1]",
        "query_token": "[質問s]",
        "doc_token": "[文書]",
        "query_maxlen": query_tokens,
        "attend_to_mask_tokens": False,
        "doc_maxlen": document_tokens,
        "mask_punctuation": True,
        "similarity": "cosine",
        "dim": dim,
        "nbits": 2,
        "nway": 32,
        "bsize": 16,
        "lr": 3e-5,
        "maxsteps": 50000,
        "warmup": 2500,
        "use_ib_negatives": False,
        "kldiv_loss": True,
        "kldiv_weight": 1.0,
        "marginmse_loss": False,
        "normalise_training_scores": True,
        "normalization_method": "minmax",
        "schedule_free": True,
        "cap_padding": 0,
        "checkpoint": "bclavie/JaColBERT",
    }
    write_stanford(folder, shape, metadata, seed=seed, dim=dim, weights_file="model.safetensors")
    return folder
