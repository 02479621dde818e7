"""Writer of plain dense models in the layout of sentence-transformers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Unpack

import numpy as np

from tercet.testing.checkpoints.backbones import Shape, Sizes
from tercet.testing.checkpoints.modules import Backbone, module, write_backbone
from tercet.testing.checkpoints.tensors import linear, write_json, write_safetensors

TANH = "torch.nn.modules.activation.Tanh"


def write_dense(
    folder: Path,
    *,
    seed: int = 0,
    backbone: Backbone = "bert",
    positions: int = 512,
    local_attention: int = 128,
    vocabulary: int | None = None,
    max_tokens: int | None = None,
    pooling: Literal["mean", "cls"] = "mean",
    include_prompt: bool = True,
    normalize: bool = True,
    dense_dim: int | None = None,
    activation: str = TANH,
    similarity: Literal["cosine", "dot"] = "cosine",
    prompts: Mapping[str, str] | None = None,
    default_prompt_name: str | None = None,
    **sizes: Unpack[Sizes],
) -> Path:
    """Write a sentence-transformers model that makes one vector a text.

    Args:
        folder: Where to; made if missing.
        seed: Of the random weights; the same seed writes the same numbers everywhere.
        backbone: BERT, ModernBERT or XLM-RoBERTa.
        positions: The longest text of the backbone.
        local_attention: Window of ModernBERT's local layers.
        vocabulary: Entries of the vocabulary; None takes what the tiny tokenizer needs.
        max_tokens: `max_seq_length` of the transformer module; None takes the positions.
        pooling: "mean" over the tokens, or the state of the first one.
        include_prompt: Whether the tokens of a prompt are pooled too.
        normalize: Whether a Normalize module ends the model.
        dense_dim: Output of a Dense module after pooling; None leaves that module out.
        activation: The Dense module's activation function.
        similarity: How the model compares its vectors.
        prompts: What is put before a text, by the name of the prompt.
        default_prompt_name: The prompt of every text for which none is asked.
        **sizes: Of the backbone's blocks.

    Returns:
        The folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    shape = Shape(0, positions, **sizes)
    write_backbone(
        folder,
        shape,
        rng,
        backbone=backbone,
        local_attention=local_attention,
        vocabulary=vocabulary,
    )
    lengths = {"max_seq_length": max_tokens or positions, "do_lower_case": False}
    write_json(folder / "sentence_bert_config.json", lengths)
    rows = [module(0, "", "sentence_transformers.models.Transformer")]
    rows.append(module(1, "1_Pooling", "sentence_transformers.models.Pooling"))
    write_json(
        folder / "1_Pooling/config.json",
        _pooling(shape.hidden, pooling, include_prompt=include_prompt),
    )
    if dense_dim is not None:
        rows.append(module(2, "2_Dense", "sentence_transformers.models.Dense"))
        config = {"in_features": shape.hidden, "out_features": dense_dim, "bias": True}
        write_json(folder / "2_Dense/config.json", {**config, "activation_function": activation})
        layer = linear(rng, "linear", inputs=shape.hidden, outputs=dense_dim)
        write_safetensors(folder / "2_Dense/model.safetensors", layer)
    if normalize:
        at = len(rows)
        rows.append(module(at, f"{at}_Normalize", "sentence_transformers.models.Normalize"))
        (folder / f"{at}_Normalize").mkdir(exist_ok=True)
    write_json(folder / "modules.json", rows)
    write_json(
        folder / "config_sentence_transformers.json",
        {
            "__version__": {"sentence_transformers": "3.4.0", "transformers": "4.48.0"},
            "prompts": dict(prompts or {}),
            "default_prompt_name": default_prompt_name,
            "similarity_fn_name": similarity,
        },
    )
    return folder


def _pooling(hidden: int, pooling: str, *, include_prompt: bool) -> dict[str, Any]:
    """`config.json` of the Pooling module in its long form, which most repositories have."""
    modes = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens")
    chosen = {f"pooling_mode_{mode}": mode.startswith(pooling) for mode in modes}
    chosen["pooling_mode_mean_sqrt_len_tokens"] = False
    return {"word_embedding_dimension": hidden, **chosen, "include_prompt": include_prompt}
