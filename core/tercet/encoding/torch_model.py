"""The back end that computes with torch."""

from functools import partial

import torch

from tercet.encoding.backbone import load_backbone
from tercet.encoding.checkpoint import Checkpoint
from tercet.encoding.heads.dense import DenseView
from tercet.encoding.heads.multi_vector import MultiVectorView
from tercet.encoding.heads.projection import load_projection
from tercet.encoding.heads.sparse import SparseView
from tercet.encoding.model import Model, Replica
from tercet.encoding.options import Quantize
from tercet.encoding.precision import choose_devices, choose_dtype
from tercet.encoding.transfers import outbox_of
from tercet.encoding.weights import Weights
from tercet.models.spec import ModelSpec

CUDA_SCALE = 16
"""How many times a CPU's pack fills a GPU: 16,384 rows of 1,024 numbers."""

HIDDEN_OF_SCALE = 1024
"""Size of the states that this was chosen for; smaller ones come in larger packs."""


def load(
    checkpoint: Checkpoint, *, device: str | None, dtype: str, quantize: Quantize | None
) -> Model[torch.Tensor, torch.Tensor]:
    """Build the model from the tensors of a checkpoint.

    Args:
        checkpoint: What and where it is.
        device: Where it runs, or several such places; None for the best there is.
        dtype: Its arithmetic, or "auto"; lengths and lexical weights are computed in float32 all
            the same.
        quantize: What the backbone's weights are rounded to; heads stay as they are.

    Raises:
        CheckpointError: The checkpoint cannot be used.
        ValueError: The machine lacks the device or the arithmetic.
    """
    places = choose_devices(device)
    arithmetic = choose_dtype(dtype, device=places[0])
    spec, weights = checkpoint.spec, checkpoint.read()
    replicas = [
        _replica(spec, weights, device=place, dtype=arithmetic, quantize=quantize)
        for place in places
    ]
    named = ",".join(map(str, places))
    where = f"device={named!r}, dtype={str(arithmetic).removeprefix('torch.')!r}"
    if quantize is not None:
        where += f", quantize={str(quantize)!r}"
    is_cuda = places[0].type == "cuda"
    scale = CUDA_SCALE * max(1, HIDDEN_OF_SCALE // spec.hidden) if is_cuda else 1
    return Model(replicas, where=where, scale=scale, runs_ahead=places[0].type != "cpu")


def _replica(
    spec: ModelSpec,
    weights: Weights,
    *,
    device: torch.device,
    dtype: torch.dtype,
    quantize: Quantize | None,
) -> Replica[torch.Tensor, torch.Tensor]:
    """The model on one device."""
    dense, sparse, multi_vector = None, None, None
    heads = weights.heads
    if spec.dense is not None:
        layers = load_projection(spec.dense.layers, heads, role="dense", device=device, dtype=dtype)
        dense = DenseView(spec.dense, layers)
    if spec.sparse is not None:
        bias = heads["sparse.bias"].to(device) if spec.sparse.layer.bias else None
        sparse = SparseView(heads["sparse.weight"].to(device), bias)
    if spec.multi_vector is not None:
        layers = load_projection(
            spec.multi_vector.layers, heads, role="multi_vector", device=device, dtype=dtype
        )
        multi_vector = MultiVectorView(layers, dim=spec.multi_vector.dim)
    backbone = load_backbone(spec, weights.backbone, device=device, dtype=dtype, quantize=quantize)
    return Replica(
        backbone=backbone,
        dense=dense,
        sparse=sparse,
        multi_vector=multi_vector,
        outbox=partial(outbox_of, device),
    )
