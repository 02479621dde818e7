"""BGE-M3's layout, as FlagEmbedding opens it: a backbone and two pickled linear layers."""

import json
from pathlib import Path

import torch

from tercet.encoding.saving import write_json
from tercet.encoding.weights import Weights
from tercet.models.bge_m3 import MULTI_VECTOR_FILE, SPARSE_FILE
from tercet.models.spec import ModelSpec
from tercet.training.layouts.parts import TOKENIZER_SETTINGS, write_backbone, write_modules

TYPES = "sentence_transformers.models"


def write(spec: ModelSpec, weights: Weights, folder: Path, *, tokenizer: Path) -> None:
    """Write a model with all three views.

    Args:
        spec: What it is.
        weights: Its tensors.
        folder: Where to.
        tokenizer: The folder of its tokenizer's files.
    """
    write_backbone(spec, weights.backbone, folder, tokenizer=tokenizer)
    _name_the_end(folder)
    for file, role in ((SPARSE_FILE, "sparse."), (MULTI_VECTOR_FILE, "multi_vector.0.")):
        state = {
            name.removeprefix(role): tensor.float().contiguous().clone()
            for name, tensor in weights.heads.items()
            if name.startswith(role)
        }
        torch.save(state, folder / file)  # the library reads no other form
    kinds = {"": "Transformer", "1_Pooling": "Pooling", "2_Normalize": "Normalize"}
    write_modules(folder, [(path, f"{TYPES}.{kind}") for path, kind in kinds.items()])
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": spec.max_tokens})
    pooling = {"word_embedding_dimension": spec.hidden, "pooling_mode_cls_token": True}
    pooling |= {"pooling_mode_mean_tokens": False, "pooling_mode_max_tokens": False}
    write_json(folder / "1_Pooling/config.json", pooling)
    (folder / "2_Normalize").mkdir()


def _name_the_end(folder: Path) -> None:
    """Call the separator the end where there is no end: the library drops the weights of that."""
    for name in (TOKENIZER_SETTINGS, "special_tokens_map.json"):
        if (folder / name).is_file():
            told = json.loads((folder / name).read_text(encoding="utf-8"))
            if told.get("sep_token") and not told.get("eos_token"):
                write_json(folder / name, {**told, "eos_token": told["sep_token"]})
