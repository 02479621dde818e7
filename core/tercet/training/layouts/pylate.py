"""PyLate's layout: a transformer, Dense modules, and markers beside them."""

from pathlib import Path

from tercet.encoding.saving import write_json
from tercet.encoding.weights import Weights
from tercet.models.late_interaction import DOCUMENT_TOKENS, QUERY_TOKENS
from tercet.models.modules import SETTINGS
from tercet.models.spec import LateInteraction, ModelSpec
from tercet.training.layouts.parts import write_backbone, write_linear, write_modules

TRANSFORMER = "sentence_transformers.models.Transformer"
DENSE = "pylate.models.Dense.Dense"


def write(spec: ModelSpec, weights: Weights, folder: Path, *, tokenizer: Path) -> None:
    """Write a late interaction model.

    Args:
        spec: What it is.
        weights: Its tensors.
        folder: Where to.
        tokenizer: The folder of its tokenizer's files.
    """
    head = spec.multi_vector or LateInteraction(0)
    write_backbone(spec, weights.backbone, folder, tokenizer=tokenizer)
    modules = [("", TRANSFORMER)]
    for n, layer in enumerate(head.layers):
        modules.append((f"{n + 1}_Dense", DENSE))
        write_linear(folder / modules[-1][0], layer, weights.heads, role=f"multi_vector.{n}.")
    write_modules(folder, modules)
    document_tokens = spec.document.tokens or DOCUMENT_TOKENS
    write_json(
        folder / "sentence_bert_config.json",
        {
            "max_seq_length": document_tokens - 1,
            "do_lower_case": spec.tokenizer.lowercase != "no",
        },
    )
    expansion = head.expansion
    write_json(
        folder / SETTINGS,
        {
            "model_type": "ColBERT",
            "prompts": {"query": "", "document": ""},
            "default_prompt_name": None,
            "similarity_fn_name": "MaxSim",
            "query_prefix": spec.query.marker or "",
            "document_prefix": spec.document.marker or "",
            "query_length": expansion.length if expansion else spec.query.tokens or QUERY_TOKENS,
            "document_length": document_tokens,
            "attend_to_expansion_tokens": bool(expansion and expansion.attended),
            "skiplist_words": list(head.skiplist.words if head.skiplist else ()),
            "do_query_expansion": expansion is not None,
        },
    )
