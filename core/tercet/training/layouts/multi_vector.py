"""The multi-vector layout of sentence-transformers 6: Transformer, Dense, mask, Normalize."""

import json
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer

from tercet.encoding.saving import write_json
from tercet.encoding.weights import Weights
from tercet.models.modules import SETTINGS
from tercet.models.spec import LateInteraction, ModelSpec, TextSide
from tercet.training.layouts.parts import (
    TOKENIZER_SETTINGS,
    write_backbone,
    write_linear,
    write_modules,
)

MODULES = "sentence_transformers.base.modules"
MASK = "sentence_transformers.multi_vector_encoder.modules.multi_vector_mask.MultiVectorMask"
TOKENS = {"module_input_name": "token_embeddings", "module_output_name": "token_embeddings"}


def write(spec: ModelSpec, weights: Weights, folder: Path, *, tokenizer: Path) -> None:
    """Write a late interaction model; its markers become prompts.

    Args:
        spec: What it is.
        weights: Its tensors.
        folder: Where to.
        tokenizer: The folder of its tokenizer's files.
    """
    head = spec.multi_vector or LateInteraction(0)
    write_backbone(spec, weights.backbone, folder, tokenizer=tokenizer)
    _register(folder, [side.marker for side in (spec.query, spec.document) if side.marker])
    write_json(folder / "sentence_bert_config.json", _transformer(spec, head))
    modules = [("", f"{MODULES}.transformer.Transformer")]
    for n, layer in enumerate(head.layers):
        modules.append((f"{n + 1}_Dense", f"{MODULES}.dense.Dense"))
        home = folder / modules[-1][0]
        write_linear(home, layer, weights.heads, role=f"multi_vector.{n}.")
        _add(home / "config.json", TOKENS)
    modules.append((f"{len(modules)}_MultiVectorMask", MASK))
    write_json(folder / modules[-1][0] / "config.json", _mask(head))
    modules.append((f"{len(modules)}_Normalize", f"{MODULES}.normalize.Normalize"))
    write_json(folder / modules[-1][0] / "config.json", TOKENS)
    write_modules(folder, modules)
    write_json(
        folder / SETTINGS,
        {
            "default_prompt_name": None,
            "model_type": "MultiVectorEncoder",
            "prompts": {"query": _prompt(spec.query), "document": _prompt(spec.document)},
            "similarity_fn_name": "meanmaxsim" if head.reduction == "mean" else "maxsim",
        },
    )


def _transformer(spec: ModelSpec, head: LateInteraction) -> dict[str, Any]:
    told: dict[str, Any] = {
        "transformer_task": "feature-extraction",
        "modality_config": {
            "text": {"method": "forward", "method_output_name": "last_hidden_state"}
        },
        "module_output_name": "token_embeddings",
        "do_lower_case": spec.tokenizer.lowercase != "no",
        "document_length": spec.document.tokens or spec.max_tokens,
    }
    expansion = head.expansion
    if expansion is None:
        return {**told, "query_length": spec.query.tokens or spec.max_tokens}
    strategy = "fixed" if expansion.rule == "fixed" else "min"
    told["query_expansion"] = {
        "strategy": strategy,
        "attend": expansion.attended,
        "token": expansion.token,
        "length": expansion.length,
    }
    if strategy == "min":
        told["query_length"] = spec.query.tokens or spec.max_tokens
    return told


def _mask(head: LateInteraction) -> dict[str, Any]:
    skiplist = head.skiplist
    tasks = {"query": skiplist and skiplist.queries, "document": skiplist and skiplist.documents}
    return {
        "skiplist_words": list(skiplist.words if skiplist else ()),
        "skiplist_tasks": [task for task, skips in tasks.items() if skips] or ["document"],
        "keep_only_token_ids": None,
    }


def _prompt(side: TextSide) -> str:
    """What stands before a text: the prompt behind the marker, which is followed by a space."""
    if not side.marker:
        return side.prompt
    return f"{side.marker.rstrip()} {side.prompt}"


def _register(folder: Path, markers: list[str]) -> None:
    """Have the tokenizer take markers in a text for one token each, as they are in a prompt."""
    path = folder / "tokenizer.json"
    if not markers or not path.is_file():
        return
    tokenizer = Tokenizer.from_file(str(path))
    known = {t.content for t in tokenizer.get_added_tokens_decoder().values()}
    added = [AddedToken(m, special=True, normalized=False) for m in markers if m not in known]
    tokenizer.add_special_tokens(added)
    tokenizer.save(str(path))
    decoder = {
        str(number): {
            "content": token.content,
            "lstrip": token.lstrip,
            "normalized": token.normalized,
            "rstrip": token.rstrip,
            "single_word": token.single_word,
            "special": token.special,
        }
        for number, token in sorted(tokenizer.get_added_tokens_decoder().items())
    }
    _add(folder / TOKENIZER_SETTINGS, {"added_tokens_decoder": decoder})


def _add(path: Path, more: dict[str, Any]) -> None:
    """Add keys to a JSON object."""
    write_json(path, {**json.loads(path.read_text(encoding="utf-8")), **more})
