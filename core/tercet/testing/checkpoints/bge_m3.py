"""Writer of checkpoints in the layout of BAAI/bge-m3."""

from pathlib import Path
from typing import Unpack

import numpy as np

from tercet.testing.checkpoints.backbones import Shape, Sizes, bert_tensors, xlm_roberta_config
from tercet.testing.checkpoints.tensors import (
    linear,
    write_json,
    write_pickled,
    write_weights,
)
from tercet.testing.checkpoints.tokenization import write_xlm_roberta_tokenizer


def write_bge_m3(
    folder: Path,
    *,
    seed: int = 0,
    positions: int = 8194,
    vocabulary: int | None = None,
    multi_vector_dim: int | None = None,
    weights_file: str = "pytorch_model.bin",
    **sizes: Unpack[Sizes],
) -> Path:
    """Write a BGE-M3: XLM-RoBERTa, the two heads in float16, and the dense modules.

    Args:
        folder: Where to; made if missing.
        seed: Of the random weights; the same seed writes the same numbers everywhere.
        positions: Rows of the position table; two of them hold no token.
        vocabulary: Entries of the vocabulary; None takes what the tiny tokenizer needs.
        multi_vector_dim: Length of a token vector; None takes that of a token state.
        weights_file: `pytorch_model.bin`, as published, or `model.safetensors`.
        **sizes: Of the backbone's blocks.

    Returns:
        The folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    size = write_xlm_roberta_tokenizer(folder, max_length=positions - 2, size=vocabulary)
    shape = Shape(size, positions, **sizes)
    rng = np.random.default_rng(seed)
    write_json(folder / "config.json", xlm_roberta_config(shape))
    write_weights(folder, bert_tensors(rng, shape, types=1), weights_file=weights_file)
    for name, outputs in (
        ("colbert_linear", multi_vector_dim or shape.hidden),
        ("sparse_linear", 1),
    ):
        head = linear(rng, name, inputs=shape.hidden, outputs=outputs)
        halved = {key.split(".")[-1]: tensor.astype(np.float16) for key, tensor in head.items()}
        write_pickled(folder / f"{name}.pt", halved)
    write_json(folder / "modules.json", _MODULES)
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": positions - 2})
    pooling = {"word_embedding_dimension": shape.hidden, "pooling_mode_cls_token": True}
    pooling |= {"pooling_mode_mean_tokens": False, "pooling_mode_max_tokens": False}
    write_json(folder / "1_Pooling/config.json", pooling)
    return folder


_MODULES = [
    {"idx": n, "name": str(n), "path": path, "type": f"sentence_transformers.models.{module}"}
    for n, (path, module) in enumerate(
        [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    )
]
