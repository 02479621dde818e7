"""Dense models of sentence-transformers, and plain transformers without any other file."""

from dataclasses import replace
from typing import Any

from tercet.errors import CheckpointError, UnknownLayoutError
from tercet.models.backbones import shorter, tokenizer_limit, with_backbone
from tercet.models.files import CheckpointFiles, backbone_files, headers, join
from tercet.models.linear import dense_module
from tercet.models.modules import (
    MODULES,
    SETTINGS,
    Module,
    lowercases,
    modules_of,
    refuse_others,
    refuse_remains,
    require_configs,
    transformer_settings,
)
from tercet.models.spec import DenseHead, ModelSpec, Pooling, TextSide, TokenizerFiles

LAYOUT = "sentence-transformers"
KINDS = frozenset({"Transformer", "Pooling", "Dense", "Normalize"})

POOLINGS: dict[str, Pooling] = {
    "cls": "cls",
    "cls_token": "cls",
    "lasttoken": "last",
    "max": "max",
    "max_tokens": "max",
    "mean": "mean",
    "mean_sqrt_len_tokens": "mean_sqrt",
    "mean_tokens": "mean",
    "weightedmean": "weighted_mean",
    "weightedmean_tokens": "weighted_mean",
}
"""The library's names of poolings, old and new."""

SIMILARITIES = (None, "cosine", "dot")
"""Similarities that an inner product can give; None is the library's default, cosine."""


def read(files: CheckpointFiles) -> ModelSpec | None:
    """A dense model with a Pooling module; None where `modules.json` lists none."""
    modules = modules_of(files)
    if not any(module.kind == "Pooling" for module in modules):
        return None
    refuse_others(files, modules, KINDS)
    require_configs(files, modules)
    folder = modules[0].folder
    settings = transformer_settings(files, folder)
    tokenizer = TokenizerFiles(lowercase="normaliser" if lowercases(files, folder) else "no")
    query, document = prompts_of(files)
    family = ModelSpec(
        name=LAYOUT, layout=LAYOUT, query=query, document=document, tokenizer=tokenizer
    )
    spec = with_backbone(family, files, folder=folder, prefix=prefix_of(files, folder))
    limit = settings.get("max_seq_length") or tokenizer_limit(files, folder)
    return replace(spec, max_tokens=shorter(spec.max_tokens, limit), dense=_dense(files, modules))


def read_plain(files: CheckpointFiles) -> ModelSpec | None:
    """A bare transformer: the mean of its token states, as sentence-transformers takes it.

    Raises:
        CheckpointError: It was more than that: its `modules.json` is gone.
        UnknownLayoutError: `modules.json` lists something else.
    """
    refuse_remains(files)
    kinds = [module.kind for module in modules_of(files)]
    if kinds and kinds != ["Transformer"]:
        raise UnknownLayoutError(
            f"{MODULES} of {files.place} lists {kinds}, which make no view that we read: a "
            "learned sparse model over the vocabulary (SPLADE) and a model of images are such"
        )
    if "config.json" not in files.names:
        return None
    family = ModelSpec(name="transformer", layout="transformer", dense=DenseHead(("mean",)))
    spec = with_backbone(family, files, prefix=prefix_of(files, ""))
    return replace(spec, max_tokens=shorter(spec.max_tokens, tokenizer_limit(files)))


def prompts_of(files: CheckpointFiles) -> tuple[TextSide, TextSide]:
    """How queries and documents start, as the library's two encode methods choose."""
    settings = files.json(SETTINGS)
    prompts: dict[str, str] = settings.get("prompts") or {}
    default = prompts.get(settings.get("default_prompt_name") or "", "")
    query = prompts.get("query", default)
    document = next(
        (prompts[name] for name in ("document", "passage", "corpus") if name in prompts), default
    )
    return TextSide(prompt=query), TextSide(prompt=document)


def prefix_of(files: CheckpointFiles, folder: str) -> str:
    """What stands before the backbone's tensor names: `bert.` where a whole model was saved."""
    names = headers(files, backbone_files(files, folder))
    model_type = files.json(join(folder, "config.json")).get("model_type", "")
    for prefix in (f"{model_type}.", "bert.", "roberta.", "model."):
        if any(name.startswith(f"{prefix}embeddings.") for name in names):
            return prefix
    return ""


def _dense(files: CheckpointFiles, modules: tuple[Module, ...]) -> DenseHead:
    kinds = [module.kind for module in modules]
    pooling = files.json(join(modules[kinds.index("Pooling")].folder, "config.json"))
    similarity = files.json(SETTINGS).get("similarity_fn_name")
    if similarity not in SIMILARITIES:
        raise CheckpointError(
            f"{SETTINGS} of {files.place} asks for the similarity {similarity!r}; an index of "
            "inner products can give cosine and dot"
        )
    layers = [dense_module(files, module.folder) for module in modules if module.kind == "Dense"]
    return DenseHead(
        pooling=_pooling(files, pooling),
        layers=tuple(layers),
        normalise="Normalize" in kinds or similarity != "dot",
        include_prompt=bool(pooling.get("include_prompt", True)),
    )


def _pooling(files: CheckpointFiles, config: dict[str, Any]) -> tuple[Pooling, ...]:
    asked = config.get("pooling_mode")
    if asked is None:
        start = "pooling_mode_"
        asked = [key.removeprefix(start) for key, on in config.items() if start in key and on]
    names = [asked] if isinstance(asked, str) else list(asked) or ["mean"]
    unknown = sorted(set(names) - set(POOLINGS))
    if unknown:
        raise UnknownLayoutError(
            f"the pooling {unknown} of {files.place} ({MODULES}) is not one of {sorted(POOLINGS)}"
        )
    return tuple(POOLINGS[name] for name in names)
