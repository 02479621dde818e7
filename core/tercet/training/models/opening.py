"""Opens a checkpoint for training, and gives a bare backbone the heads that it lacks."""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from tercet.embeddings import Representation
from tercet.encoding.backbone import build
from tercet.encoding.checkpoint import Checkpoint
from tercet.encoding.heads.projection import Projection, load_projection
from tercet.models.spec import (
    DenseHead,
    LateInteraction,
    LinearLayer,
    ModelSpec,
    Pooling,
    SparseHead,
)
from tercet.training.models.model import TrainingModel

LOG = logging.getLogger(__name__)

CPU = torch.device("cpu")

M3_WEIGHTS = {
    Representation.DENSE: 1.0,
    Representation.SPARSE: 0.3,
    Representation.MULTI_VECTOR: 1.0,
}
"""Weights of the views in a sum (arXiv 2402.03216v4), for models that name none."""


@dataclass(frozen=True, slots=True)
class Heads:
    """What is added to a checkpoint that lacks it; heads that it has are kept.

    Attributes:
        pooling: How token states become the dense vector of a bare backbone; None for its mean.
        sparse: Whether a head of lexical weights is added.
        multi_vector: Length of the token vectors of a head that is added; None for no head.
    """

    pooling: Pooling | None = None
    sparse: bool = False
    multi_vector: int | None = None


def open_model(source: str | Path, *, heads: Heads | None = None, seed: int = 0) -> TrainingModel:
    """Load a checkpoint of any layout that the encoder opens, for training in float32.

    Args:
        source: `tercet/mini`, a folder, or a hub id.
        heads: What is added where it lacks; None adds nothing.
        seed: Of the random numbers in added heads.

    Raises:
        CheckpointError: The checkpoint cannot be found, recognised or used.
    """
    checkpoint = Checkpoint.open(source)
    weights = checkpoint.read()
    spec, tensors = with_heads(checkpoint.spec, weights.heads, heads or Heads(), seed=seed)
    return TrainingModel(
        spec,
        checkpoint.folder,
        backbone=build(spec, weights.backbone, dtype=torch.float32, attention=None),
        dense=_projection(() if spec.dense is None else spec.dense.layers, tensors, "dense"),
        sparse=None if spec.sparse is None else _linear(spec.sparse.layer, tensors),
        multi_vector=None
        if spec.multi_vector is None
        else _projection(spec.multi_vector.layers, tensors, "multi_vector"),
    )


def with_heads(
    spec: ModelSpec, tensors: Mapping[str, Tensor], heads: Heads, *, seed: int
) -> tuple[ModelSpec, dict[str, Tensor]]:
    """The description and the tensors of the heads, with those that were missing.

    Args:
        spec: Of the checkpoint.
        tensors: Of its own heads.
        heads: What is added where it lacks.
        seed: Of the random numbers.
    """
    generator = torch.Generator().manual_seed(seed)
    found, added = dict(tensors), []
    if spec.layout == "transformer" and heads.pooling is not None:
        spec = replace(spec, dense=DenseHead((heads.pooling,)))
    if heads.sparse and spec.sparse is None:
        layer = LinearLayer(spec.hidden, 1)
        spec = replace(spec, sparse=SparseHead(layer))
        found |= _drawn("sparse.", layer, generator)
        added.append("lexical weights")
    if heads.multi_vector and spec.multi_vector is None:
        layer = LinearLayer(spec.hidden, heads.multi_vector)
        # As BGE-M3's: no vector for the first token, the mean over query tokens.
        late = LateInteraction(layer.outputs, (layer,), keep_first=False, reduction="mean")
        spec = replace(spec, multi_vector=late)
        found |= _drawn("multi_vector.0.", layer, generator)
        added.append(f"token vectors of {layer.outputs} dimensions")
    if added:
        LOG.info("new heads, drawn at random with seed %d: %s", seed, ", ".join(added))
        weights = {view: M3_WEIGHTS[view] for view in spec.representations}
        spec = replace(spec, hybrid_weights=dict(spec.hybrid_weights) or weights)
    return spec, found


def _drawn(role: str, layer: LinearLayer, generator: torch.Generator) -> dict[str, Tensor]:
    """The tensors of a new layer, drawn as torch's own linear layers are."""
    bound = 1 / math.sqrt(layer.inputs)
    shapes = {"weight": (layer.outputs, layer.inputs), "bias": (layer.outputs,)}
    return {
        role + part: torch.empty(shape).uniform_(-bound, bound, generator=generator)
        for part, shape in shapes.items()
    }


def _projection(
    layers: tuple[LinearLayer, ...], tensors: Mapping[str, Tensor], role: str
) -> Projection | None:
    """The layers of a head; None where the pooled state itself is the view."""
    if not layers and role == "dense":
        return None
    return load_projection(
        layers, tensors, role=role, device=CPU, dtype=torch.float32, packed=False
    )


def _linear(layer: LinearLayer, tensors: Mapping[str, Tensor]) -> nn.Linear:
    linear = nn.Linear(layer.inputs, layer.outputs, bias=layer.bias)
    linear.load_state_dict(
        {
            part: tensors[f"sparse.{part}"].float()
            for part in ("weight", "bias")
            if f"sparse.{part}" in tensors
        }
    )
    return linear
