"""Writer of checkpoints in the layout of jinaai/jina-colbert-v2 and its -96 and -64 siblings."""

from pathlib import Path
from typing import Any, Unpack

import numpy as np

from tercet.testing.checkpoints.backbones import Shape, Sizes, jina_tensors
from tercet.testing.checkpoints.tensors import linear, prefixed, write_json, write_safetensors
from tercet.testing.checkpoints.tokenization import write_xlm_roberta_tokenizer

VENDOR_CODE = "jinaai/xlm-roberta-flash-implementation"
MARKERS = ("[QueryMarker]", "[DocumentMarker]")


def write_jina_colbert(
    folder: Path,
    *,
    seed: int = 0,
    positions: int = 8194,
    vocabulary: int | None = None,
    dim: int = 16,
    model_type: str | None = None,
    query_tokens: int = 32,
    document_tokens: int = 300,
    **sizes: Unpack[Sizes],
) -> Path:
    """Write a jina-colbert-v2: the vendor's rotary XLM-RoBERTa and a linear layer.

    Args:
        folder: Where to; made if missing.
        seed: Of the random weights; the same seed writes the same numbers everywhere.
        positions: As the configuration says; two of them hold no token.
        vocabulary: Entries of the vocabulary, markers included; None takes what is needed.
        dim: Length of a token vector: 128, 96 or 64 in the published repositories.
        model_type: None as published; "xlm-roberta" as in copies that were saved again, which
            transformers takes for a plain XLM-RoBERTa.
        query_tokens: Length of a query, as the metadata says.
        document_tokens: Length of a document, as the metadata says.
        **sizes: Of the backbone's blocks.

    Returns:
        The folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    size = write_xlm_roberta_tokenizer(
        folder, max_length=positions - 2, markers=MARKERS, size=vocabulary
    )
    shape = Shape(size, positions, **sizes)
    rng = np.random.default_rng(seed)
    config = _config(shape)
    if model_type is not None:
        config["model_type"] = model_type
    write_json(folder / "config.json", config)
    tensors = prefixed(jina_tensors(rng, shape), "roberta.")
    tensors |= linear(rng, "linear", inputs=shape.hidden, outputs=dim, bias=False)
    write_safetensors(folder / "model.safetensors", tensors)
    write_json(
        folder / "artifact.metadata",
        {
            "query_token_id": MARKERS[0],
            "doc_token_id": MARKERS[1],
            "query_token": MARKERS[0],
            "doc_token": MARKERS[1],
            "query_maxlen": query_tokens,
            "attend_to_mask_tokens": True,
            "doc_maxlen": document_tokens,
            "mask_punctuation": True,
            "similarity": "cosine",
            "nbits": 2,
            "nway": 7,
        },
    )
    return folder


def _config(shape: Shape) -> dict[str, Any]:
    """`config.json` as published: remote code of another repository, no model type."""
    classes = {
        "AutoConfig": "configuration_xlm_roberta.XLMRobertaFlashConfig",
        "AutoModel": "modeling_lora.XLMRobertaLoRA",
        "AutoModelForMaskedLM": "modeling_xlm_roberta.XLMRobertaForMaskedLM",
    }
    return {
        "architectures": ["HF_ColBERT"],
        "attention_probs_dropout_prob": 0.1,
        "auto_map": {name: f"{VENDOR_CODE}--{target}" for name, target in classes.items()},
        "bos_token_id": 0,
        "classifier_dropout": None,
        "emb_pooler": None,
        "eos_token_id": 2,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "hidden_size": shape.hidden,
        "initializer_range": 0.02,
        "intermediate_size": shape.intermediate,
        "layer_norm_eps": 1e-5,
        "lora_adaptations": None,
        "lora_alpha": 1,
        "lora_rank": 4,
        "matryoshka_dimensions": None,
        "max_position_embeddings": shape.positions,
        "num_attention_heads": shape.heads,
        "num_hidden_layers": shape.layers,
        "output_past": True,
        "pad_token_id": 1,
        "position_embedding_type": "rotary",
        "rotary_emb_base": 10000.0,
        "torch_dtype": "float32",
        "transformers_version": "4.43.2",
        "truncate_dim": None,
        "type_vocab_size": 1,
        "use_flash_attn": True,
        "vocab_size": shape.vocabulary,
    }
