"""The back end that computes with torch."""

import torch

from tercet.encoding.backbone import load_backbone
from tercet.encoding.checkpoint import Checkpoint
from tercet.encoding.heads.dense import DenseView
from tercet.encoding.heads.multi_vector import MultiVectorView
from tercet.encoding.heads.projection import load_projection
from tercet.encoding.heads.sparse import SparseView
from tercet.encoding.model import Model
from tercet.encoding.options import Quantize
from tercet.encoding.precision import choose_device, choose_dtype


def load(
    checkpoint: Checkpoint, *, device: str | None, dtype: str, quantize: Quantize | None
) -> Model[torch.Tensor]:
    """Build the model from the tensors of a checkpoint.

    Args:
        checkpoint: What and where it is.
        device: Where it runs; None for the best there is.
        dtype: Its arithmetic, or "auto"; lengths and lexical weights are computed in float32 all
            the same.
        quantize: What the backbone's weights are rounded to; heads stay as they are.

    Raises:
        CheckpointError: The checkpoint cannot be used.
        ValueError: The machine lacks the device or the arithmetic.
    """
    place = choose_device(device)
    arithmetic = choose_dtype(dtype, device=place)
    spec, weights = checkpoint.spec, checkpoint.read()
    dense, sparse, multi_vector = None, None, None
    heads = weights.heads
    if spec.dense is not None:
        layers = load_projection(
            spec.dense.layers, heads, role="dense", device=place, dtype=arithmetic
        )
        dense = DenseView(spec.dense, layers)
    if spec.sparse is not None:
        bias = heads["sparse.bias"].to(place) if spec.sparse.layer.bias else None
        sparse = SparseView(heads["sparse.weight"].to(place), bias)
    if spec.multi_vector is not None:
        layers = load_projection(
            spec.multi_vector.layers, heads, role="multi_vector", device=place, dtype=arithmetic
        )
        multi_vector = MultiVectorView(layers, dim=spec.multi_vector.dim)
    backbone = load_backbone(
        spec, weights.backbone, device=place, dtype=arithmetic, quantize=quantize
    )
    where = f"device={str(place)!r}, dtype={str(arithmetic).removeprefix('torch.')!r}"
    if quantize is not None:
        where += f", quantize={str(quantize)!r}"
    return Model(backbone, where=where, dense=dense, sparse=sparse, multi_vector=multi_vector)
