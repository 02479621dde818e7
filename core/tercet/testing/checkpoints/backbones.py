"""Configurations and random weights of the backbones that published checkpoints build on."""

from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np

from tercet.testing.checkpoints.tensors import Tensors, embedding, layer_norm, linear

TYPE_SCALE = 0.1
"""Of the token-type table: what all tokens share would make all outputs alike."""

POSITION_SCALE = 0.3
"""Of the position table: words count for more than places."""

ATTENTION_GAIN = 2.0
"""Of queries and keys: attention that is nearly even would make all outputs alike."""


class Sizes(TypedDict, total=False):
    """What a writer can be asked for of a backbone's blocks; by default two small ones.

    Attributes:
        layers: Transformer blocks.
        hidden: Length of a token state.
        heads: Attention heads of a block.
        intermediate: Width of the feed-forward part.
    """

    layers: int
    hidden: int
    heads: int
    intermediate: int


@dataclass(frozen=True, slots=True)
class Shape:
    """The size of a backbone.

    Attributes:
        vocabulary: V, rows of the embedding table.
        positions: P, rows of the position table, or the longest text where positions are rotary.
        layers: Transformer blocks.
        hidden: H, length of a token state.
        heads: Attention heads of a block.
        intermediate: F, width of the feed-forward part.
    """

    vocabulary: int
    positions: int
    layers: int = 2
    hidden: int = 32
    heads: int = 4
    intermediate: int = 64


def bert_config(shape: Shape, **changes: Any) -> dict[str, Any]:
    """`config.json` of a BERT, with changes."""
    return {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "attention_probs_dropout_prob": 0.1,
        "classifier_dropout": None,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "hidden_size": shape.hidden,
        "initializer_range": 0.02,
        "intermediate_size": shape.intermediate,
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": shape.positions,
        "num_attention_heads": shape.heads,
        "num_hidden_layers": shape.layers,
        "pad_token_id": 0,
        "position_embedding_type": "absolute",
        "torch_dtype": "float32",
        "type_vocab_size": 2,
        "use_cache": True,
        "vocab_size": shape.vocabulary,
        **changes,
    }


def xlm_roberta_config(shape: Shape, **changes: Any) -> dict[str, Any]:
    """`config.json` of an XLM-RoBERTa, with changes."""
    config = bert_config(shape, architectures=["XLMRobertaModel"], model_type="xlm-roberta")
    config |= {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}
    return config | {"layer_norm_eps": 1e-5, "type_vocab_size": 1} | changes


def modernbert_config(
    shape: Shape,
    *,
    local_attention: int,
    special: int,
    **changes: Any,
) -> dict[str, Any]:
    """`config.json` of a ModernBERT, with changes.

    Args:
        shape: Its size.
        local_attention: Window of the layers that do not see the whole text.
        special: Id behind the last special token: `[PAD]`, `[UNK]`, `[CLS]`, `[SEP]`, `[MASK]`.
        changes: Keys to add or to replace.
    """
    pad, _, cls, sep, _ = range(special - 5, special)
    return {
        "architectures": ["ModernBertModel"],
        "model_type": "modernbert",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": cls,
        "cls_token_id": cls,
        "embedding_dropout": 0.0,
        "eos_token_id": sep,
        "global_attn_every_n_layers": 3,
        "global_rope_theta": 160000.0,
        "hidden_activation": "gelu",
        "hidden_size": shape.hidden,
        "intermediate_size": shape.intermediate,
        "layer_norm_eps": 1e-5,
        "local_attention": local_attention,
        "local_rope_theta": 10000.0,
        "max_position_embeddings": shape.positions,
        "mlp_bias": False,
        "mlp_dropout": 0.0,
        "norm_bias": False,
        "norm_eps": 1e-5,
        "num_attention_heads": shape.heads,
        "num_hidden_layers": shape.layers,
        "pad_token_id": pad,
        "sep_token_id": sep,
        "torch_dtype": "float32",
        "vocab_size": shape.vocabulary,
        **changes,
    }


def bert_tensors(
    rng: np.random.Generator, shape: Shape, *, types: int = 2, pooler: bool = True
) -> Tensors:
    """Draw the weights of a BERT or, with one token type, of an XLM-RoBERTa.

    Args:
        rng: Where the numbers come from.
        shape: Its size.
        types: Rows of the token-type table.
        pooler: Whether the pooler, which no retriever uses, is there as in most repositories.
    """
    hidden, wide = shape.hidden, shape.intermediate
    tensors = embedding(rng, "embeddings.word_embeddings", rows=shape.vocabulary, size=hidden)
    for table, rows, scale in (
        ("position", shape.positions, POSITION_SCALE),
        ("token_type", types, TYPE_SCALE),
    ):
        name = f"embeddings.{table}_embeddings"
        tensors |= embedding(rng, name, rows=rows, size=hidden, scale=scale)
    tensors |= layer_norm(rng, "embeddings.LayerNorm", size=hidden)
    for n in range(shape.layers):
        at = f"encoder.layer.{n}"
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            gain = ATTENTION_GAIN if part in {"self.query", "self.key"} else 1.0
            tensors |= linear(
                rng, f"{at}.attention.{part}", inputs=hidden, outputs=hidden, gain=gain
            )
        tensors |= layer_norm(rng, f"{at}.attention.output.LayerNorm", size=hidden)
        tensors |= linear(rng, f"{at}.intermediate.dense", inputs=hidden, outputs=wide)
        tensors |= linear(rng, f"{at}.output.dense", inputs=wide, outputs=hidden)
        tensors |= layer_norm(rng, f"{at}.output.LayerNorm", size=hidden)
    if pooler:
        tensors |= linear(rng, "pooler.dense", inputs=hidden, outputs=hidden)
    return tensors


def modernbert_tensors(rng: np.random.Generator, shape: Shape) -> Tensors:
    """Draw the weights of a ModernBERT: no biases, no norm before the first attention."""
    hidden, wide = shape.hidden, shape.intermediate
    tensors = embedding(rng, "embeddings.tok_embeddings", rows=shape.vocabulary, size=hidden)
    tensors |= layer_norm(rng, "embeddings.norm", size=hidden, bias=False)
    for n in range(shape.layers):
        at = f"layers.{n}"
        if n > 0:
            tensors |= layer_norm(rng, f"{at}.attn_norm", size=hidden, bias=False)
        tensors |= linear(rng, f"{at}.attn.Wqkv", inputs=hidden, outputs=3 * hidden, bias=False)
        tensors |= linear(rng, f"{at}.attn.Wo", inputs=hidden, outputs=hidden, bias=False)
        tensors |= layer_norm(rng, f"{at}.mlp_norm", size=hidden, bias=False)
        tensors |= linear(rng, f"{at}.mlp.Wi", inputs=hidden, outputs=2 * wide, bias=False)
        tensors |= linear(rng, f"{at}.mlp.Wo", inputs=wide, outputs=hidden, bias=False)
    return tensors | layer_norm(rng, "final_norm", size=hidden, bias=False)


def jina_tensors(rng: np.random.Generator, shape: Shape) -> Tensors:
    """Draw the weights of the vendor's rotary XLM-RoBERTa, under the vendor's names."""
    hidden, wide = shape.hidden, shape.intermediate
    tensors = embedding(rng, "embeddings.word_embeddings", rows=shape.vocabulary, size=hidden)
    tensors |= embedding(
        rng, "embeddings.token_type_embeddings", rows=1, size=hidden, scale=TYPE_SCALE
    )
    tensors |= layer_norm(rng, "emb_ln", size=hidden)
    for n in range(shape.layers):
        at = f"encoder.layers.{n}"
        tensors |= linear(rng, f"{at}.mixer.Wqkv", inputs=hidden, outputs=3 * hidden)
        tensors |= linear(rng, f"{at}.mixer.out_proj", inputs=hidden, outputs=hidden)
        tensors |= layer_norm(rng, f"{at}.norm1", size=hidden)
        tensors |= linear(rng, f"{at}.mlp.fc1", inputs=hidden, outputs=wide)
        tensors |= linear(rng, f"{at}.mlp.fc2", inputs=wide, outputs=hidden)
        tensors |= layer_norm(rng, f"{at}.norm2", size=hidden)
    return tensors
