"""Late interaction models of PyLate and of sentence-transformers 6."""

import string
from dataclasses import replace
from typing import Any

from tercet.errors import CheckpointError, UnknownLayoutError
from tercet.models.backbones import with_backbone
from tercet.models.files import CheckpointFiles, join
from tercet.models.linear import dense_module
from tercet.models.modules import (
    SETTINGS,
    Module,
    lowercases,
    modules_of,
    refuse_others,
    require_configs,
    transformer_settings,
)
from tercet.models.sentence_transformers import prefix_of, prompts_of
from tercet.models.spec import (
    Expansion,
    LateInteraction,
    ModelSpec,
    Skiplist,
    TextSide,
    TokenizerFiles,
)

KINDS = frozenset({"Transformer", "Dense", "MultiVectorMask", "Normalize"})
PYLATE_KEYS = frozenset({"query_prefix", "document_prefix", "do_query_expansion"})

QUERY_TOKENS = 32
DOCUMENT_TOKENS = 180
"""Lengths of PyLate where a model names none."""


def read(files: CheckpointFiles) -> ModelSpec | None:
    """A late interaction model; None where `modules.json` does not describe one."""
    modules = modules_of(files)
    kinds = {module.kind for module in modules}
    if "Pooling" in kinds or not kinds & {"Dense", "MultiVectorMask"}:
        return None
    refuse_others(files, modules, KINDS)
    require_configs(files, modules)
    settings = files.json(SETTINGS)
    saved_by_pylate = (
        settings.get("model_type") == "ColBERT"
        or any(module.package == "pylate" for module in modules)
        or bool(PYLATE_KEYS & set(settings))
    )
    if saved_by_pylate and SETTINGS not in files.names:
        raise CheckpointError(
            f"{SETTINGS} is not in {files.place}, and it says which markers and lengths the model "
            "was trained with: the checkpoint is incomplete, download it again"
        )
    if saved_by_pylate and "MultiVectorMask" not in kinds:
        return _pylate(files, modules, settings)
    return _sentence_transformers(files, modules, settings)


def _pylate(
    files: CheckpointFiles, modules: tuple[Module, ...], settings: dict[str, Any]
) -> ModelSpec:
    folder = modules[0].folder
    query_tokens = settings.get("query_length") or QUERY_TOKENS
    expansion = None
    if settings.get("do_query_expansion") is not False:
        attended = bool(settings.get("attend_to_expansion_tokens"))
        expansion = Expansion(length=query_tokens, attended=attended)
    words = settings.get("skiplist_words")
    family = ModelSpec(
        name="pylate",
        layout="pylate",
        query=TextSide(marker=settings.get("query_prefix", "[Q] ") or None, tokens=query_tokens),
        document=TextSide(
            marker=settings.get("document_prefix", "[D] ") or None,
            tokens=settings.get("document_length") or DOCUMENT_TOKENS,
        ),
        tokenizer=TokenizerFiles(
            lowercase="text" if lowercases(files, folder) else "no",
            strip=True,
        ),
    )
    head = LateInteraction(
        dim=0,
        expansion=expansion,
        skiplist=Skiplist(tuple(string.punctuation if words is None else words)),
    )
    return _with_head(files, modules, family, head)


def _sentence_transformers(
    files: CheckpointFiles, modules: tuple[Module, ...], settings: dict[str, Any]
) -> ModelSpec:
    transformer = transformer_settings(files, modules[0].folder)
    query, document = prompts_of(files)
    expansion = _expansion(transformer.get("query_expansion"))
    ceiling = transformer.get("query_length")
    if expansion is not None and expansion.rule == "fixed":
        ceiling = expansion.length
    family = ModelSpec(
        name="sentence-transformers-multi-vector",
        layout="sentence-transformers-multi-vector",
        query=replace(query, tokens=ceiling),
        document=replace(document, tokens=transformer.get("document_length")),
        tokenizer=TokenizerFiles(
            lowercase="normaliser" if lowercases(files, modules[0].folder) else "no"
        ),
    )
    head = LateInteraction(
        dim=0,
        reduction="mean" if settings.get("similarity_fn_name") == "meanmaxsim" else "sum",
        expansion=expansion,
        skiplist=_skiplist(files, modules),
    )
    return _with_head(files, modules, family, head)


def _with_head(
    files: CheckpointFiles,
    modules: tuple[Module, ...],
    family: ModelSpec,
    head: LateInteraction,
) -> ModelSpec:
    folder = modules[0].folder
    spec = with_backbone(family, files, folder=folder, prefix=prefix_of(files, folder))
    layers = tuple(
        dense_module(files, module.folder) for module in modules if module.kind == "Dense"
    )
    dim = layers[-1].outputs if layers else spec.hidden
    return replace(spec, multi_vector=replace(head, dim=dim, layers=layers))


def _expansion(settings: dict[str, Any] | None) -> Expansion | None:
    if settings is None:
        return None
    strategy = settings.get("strategy")
    if strategy not in {"fixed", "min"}:
        raise UnknownLayoutError(
            f"query_expansion has the strategy {strategy!r}; read are 'fixed' and 'min'"
        )
    return Expansion(
        length=int(settings.get("length") or QUERY_TOKENS),
        rule="fixed" if strategy == "fixed" else "at_least",
        attended=bool(settings.get("attend", False)),
        token=settings.get("token"),
    )


def _skiplist(files: CheckpointFiles, modules: tuple[Module, ...]) -> Skiplist | None:
    folders = [module.folder for module in modules if module.kind == "MultiVectorMask"]
    if not folders:
        return None
    settings = files.json(join(folders[0], "config.json"))
    if settings.get("keep_only_token_ids"):
        raise CheckpointError(
            f"the model in {files.place} keeps the vectors of image tokens only "
            "(keep_only_token_ids); texts would have none"
        )
    words = tuple(settings.get("skiplist_words") or ())
    tasks = settings.get("skiplist_tasks") or ["document"]
    if not words:
        return None
    return Skiplist(words, unknown=False, queries="query" in tasks, documents="document" in tasks)
