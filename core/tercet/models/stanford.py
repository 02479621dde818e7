"""Stanford's ColBERT: a backbone under a prefix, `linear.weight`, and `artifact.metadata`.

jina-colbert-v2 and JaColBERT are of this layout too; what sets them apart is told by their tensors
and by their tokenizer, never by a name.
"""

import string
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from tercet.errors import CheckpointError, MissingTensorError
from tercet.models.backbones import with_backbone
from tercet.models.files import CheckpointFiles, TensorHeader, backbone_files, headers
from tercet.models.jacolbert import JACOLBERT_V25, is_japanese
from tercet.models.jina_colbert import is_rotary, rotary_spec
from tercet.models.linear import linear_layer
from tercet.models.spec import (
    Expansion,
    LateInteraction,
    ModelSpec,
    Skiplist,
    TextSide,
)

METADATA = "artifact.metadata"
ARCHITECTURE = "HF_ColBERT"
QUERY_TOKENS = 32
DOCUMENT_TOKENS = 220
"""Lengths of the library where a checkpoint's metadata names none."""

COLBERT_V2 = ModelSpec(
    name="colbert",
    source="colbert-ir/colbertv2.0",
    license="mit",
    layout="stanford",
    architecture="bert",
    hidden=768,
    multi_vector=LateInteraction(dim=128, expansion=Expansion(length=QUERY_TOKENS)),
    query=TextSide(marker="[unused0]", marker_may_lack=True, tokens=QUERY_TOKENS),
    document=TextSide(marker="[unused1]", marker_may_lack=True, tokens=DOCUMENT_TOKENS),
)
"""The library's own defaults, which hold where a checkpoint's metadata names nothing else."""

PLAIN = replace(COLBERT_V2, architecture="")
"""ColBERT on whatever architecture the configuration names."""

FAMILIES: tuple[
    tuple[Callable[[CheckpointFiles], bool], Callable[[CheckpointFiles], ModelSpec]], ...
] = (
    (is_rotary, rotary_spec),
    (is_japanese, lambda _: JACOLBERT_V25),
)
"""What a checkpoint's files tell, and the family that it means; any other is plain ColBERT."""


def read(files: CheckpointFiles) -> ModelSpec | None:
    """The late interaction model of a Stanford checkpoint; None where it is none."""
    named = ARCHITECTURE in (files.json("config.json").get("architectures") or ())
    if not named and METADATA not in files.names:
        return None
    weights = backbone_files(files)
    tensors = headers(files, weights)
    if "linear.weight" not in tensors:
        if not named:
            return None
        raise MissingTensorError(
            f"linear.weight is not among the {len(tensors)} tensors of {', '.join(weights)} in "
            f"{files.place}: a Stanford ColBERT needs its projection"
        )
    family = next((spec(files) for tells, spec in FAMILIES if tells(files)), PLAIN)
    unnamed = replace(family, source="", license="")  # other weights may have the same layout
    spec = with_backbone(unnamed, files, prefix=_prefix(tensors))
    home = next(name for name in weights if "linear.weight" in files.tensors(name))
    return _with_metadata(files, spec, home)


def _prefix(tensors: Mapping[str, TensorHeader]) -> str:
    """What stands before the backbone's names: whatever its token embeddings carry."""
    for name in tensors:
        start, found, _ = name.partition("embeddings.")
        if found and start:
            return start
    return ""


def _with_metadata(files: CheckpointFiles, spec: ModelSpec, home: str) -> ModelSpec:
    metadata = files.json(METADATA)
    similarity = metadata.get("similarity", "cosine")
    if similarity != "cosine":
        raise CheckpointError(
            f"{METADATA} of {files.place} asks for the similarity {similarity!r}; only cosine is "
            "supported, since token vectors are stored at unit length"
        )
    layer = linear_layer(files, home, "linear.")
    query = _side(spec.query, metadata, marker="query_token_id", tokens="query_maxlen")
    document = _side(spec.document, metadata, marker="doc_token_id", tokens="doc_maxlen")
    punctuation = bool(metadata.get("mask_punctuation", True))
    return replace(
        spec,
        query=query,
        document=document,
        tokenizer=replace(spec.tokenizer, pad_as_mask=True),
        multi_vector=LateInteraction(
            dim=layer.outputs,
            layers=(layer,),
            expansion=_expansion(spec.multi_vector, metadata, query.tokens),
            skiplist=Skiplist(
                tuple(string.punctuation) if punctuation else (), first_piece=True, pad=True
            ),
        ),
    )


def _side(
    published: TextSide, metadata: Mapping[str, Any], *, marker: str, tokens: str
) -> TextSide:
    return replace(
        published,
        marker=metadata.get(marker) or published.marker,
        tokens=metadata.get(tokens) or published.tokens,
    )


def _expansion(
    family: LateInteraction | None, metadata: Mapping[str, Any], query_tokens: int | None
) -> Expansion:
    published = (family and family.expansion) or Expansion(length=QUERY_TOKENS)
    length = published.length if published.rule == "dynamic" else query_tokens
    attended = metadata.get("attend_to_mask_tokens", published.attended)
    return replace(published, length=length or QUERY_TOKENS, attended=bool(attended))
