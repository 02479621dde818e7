"""Tercet's own layout, and the small model that comes in it.

A backbone under `config.json` and `model.safetensors`, the heads' linear layers in
`heads.safetensors`, and `tercet.json`, which says how they are used.
"""

from dataclasses import replace
from typing import Any

from tercet.embeddings import Representation
from tercet.errors import CheckpointError, UnknownLayoutError
from tercet.models.backbones import shorter, with_backbone
from tercet.models.files import CheckpointFiles, listed
from tercet.models.linear import linear_layer
from tercet.models.saved import spec_from_json
from tercet.models.spec import DenseHead, LateInteraction, LinearLayer, ModelSpec, SparseHead

FORMAT = 1
SETTINGS = "tercet.json"
HEADS = "heads.safetensors"

TERCET_MINI = ModelSpec(
    name="tercet-mini",
    source="tercet/mini",
    license="mit",
    layout="tercet",
    architecture="bert",
    max_tokens=512,
    hidden=384,
    dense=DenseHead(pooling=("mean",)),
    sparse=SparseHead(LinearLayer(384, 1, HEADS, "sparse_linear.")),
    multi_vector=LateInteraction(
        dim=128,
        layers=(LinearLayer(384, 128, HEADS, "colbert_linear.", bias=False),),
        reduction="mean",
    ),
    hybrid_weights={
        Representation.DENSE: 1.0,
        Representation.SPARSE: 0.3,
        Representation.MULTI_VECTOR: 1.0,
    },
)


def read(files: CheckpointFiles) -> ModelSpec | None:
    """The model of a folder in Tercet's own layout; None where it is not in that layout.

    Raises:
        CheckpointError: `tercet.json` is damaged, or is not there beside the heads it tells of.
    """
    if SETTINGS not in files.names:
        if HEADS not in files.names:
            return None
        raise CheckpointError(
            f"{SETTINGS} is not in {files.place}, though {HEADS} is, which only it tells how to "
            f"use; found {listed(sorted(files.names))}: the checkpoint is incomplete, download or "
            "save it again"
        )
    settings = files.json(SETTINGS)
    if settings.get("format") != FORMAT:
        raise UnknownLayoutError(
            f"{SETTINGS} of {files.place} has format {settings.get('format')!r}, this version "
            f"reads {FORMAT}: install a newer tercet"
        )
    try:
        if "model" in settings:  # what `Encoder.save_pretrained` wrote, whole
            return spec_from_json(settings["model"])
        return _spec(files, settings)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{SETTINGS} of {files.place} is damaged: {error!r}") from error


def _spec(files: CheckpointFiles, settings: dict[str, Any]) -> ModelSpec:
    source = str(settings.get("name", ""))
    family = ModelSpec(
        name=source.replace("/", "-") or "tercet",
        source=source,
        license=str(settings.get("license", "")).lower(),
        layout="tercet",
        dense=DenseHead(pooling=(settings["pooling"],)),
    )
    spec = with_backbone(family, files)
    weights = settings.get("hybrid_weights") or {}
    return replace(
        spec,
        max_tokens=shorter(spec.max_tokens, settings.get("max_tokens")),
        sparse=_sparse(files, settings.get("sparse")),
        multi_vector=_multi_vector(files, settings.get("multi_vector")),
        hybrid_weights={Representation(view): float(w) for view, w in weights.items()},
    )


def _sparse(files: CheckpointFiles, settings: dict[str, Any] | None) -> SparseHead | None:
    if settings is None:
        return None
    layer = linear_layer(files, HEADS, "sparse_linear.")
    return SparseHead(layer, drop_special=bool(settings.get("drop_special", True)))


def _multi_vector(
    files: CheckpointFiles, settings: dict[str, Any] | None
) -> LateInteraction | None:
    if settings is None:
        return None
    layer = linear_layer(files, HEADS, "colbert_linear.")
    if layer.outputs != settings.get("dim", layer.outputs):
        raise ValueError(f"token vectors of {layer.outputs} dimensions, not {settings['dim']}")
    return LateInteraction(
        dim=layer.outputs,
        layers=(layer,),
        reduction=settings.get("reduction", "mean"),
        keep_first=bool(settings.get("keep_special", True)),
        keep_special=bool(settings.get("keep_special", True)),
    )
