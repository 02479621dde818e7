"""Encodes a batch in sub-batches of like lengths, keeping activations only where there is room.

With a budget, a sub-batch keeps its embeddings alone; in the backward pass it is encoded again,
with the same dropout, and its gradients flow from there. The loss sees the whole batch, and memory
holds the activations of one sub-batch.

Source: Gao et al. 2021, "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup";
BGE-M3's split-batch is the same with checkpoints inside the layers.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.utils.checkpoint import checkpoint

from tercet.encoding.packing import MOST_PADDING
from tercet.training.models.model import LexicalWeights, TokenVectors, TrainingModel, Views
from tercet.training.models.texts import TokenBatch

LEAST_TOKENS = 512
"""A pass of fewer costs more than the padding that it saves."""


def encode(model: TrainingModel, batch: TokenBatch, *, tokens: int | None = None) -> Views:
    """All views of a batch, in its order.

    Args:
        model: Encodes.
        batch: The texts, N.
        tokens: Padded tokens of a sub-batch, of which only embeddings are kept; None keeps the
            activations of all.
    """
    groups = sub_batches(batch.lengths.tolist(), tokens=tokens)
    parts = []
    for group in groups:
        texts = batch.take(torch.tensor(group, device=batch.ids.device))
        parts.append(model(texts) if tokens is None else _again(model, texts))
    order = [n for group in groups for n in group]
    places = sorted(range(len(order)), key=order.__getitem__)
    return _joined(parts, places, length=batch.ids.shape[1])


def sub_batches(lengths: Sequence[int], *, tokens: int | None) -> list[list[int]]:
    """Group texts of like lengths.

    Args:
        lengths: Of N texts.
        tokens: Most tokens of a group, padding included; a longer text stands alone.

    Returns:
        Positions in `lengths` of each group's texts, longest first.
    """
    groups: list[list[int]] = []
    longest = 0
    for n in sorted(range(len(lengths)), key=lambda n: (-lengths[n], n)):
        size = longest * len(groups[-1]) if groups else 0
        full = tokens is not None and size + longest > tokens
        shorter = lengths[n] < (1 - MOST_PADDING) * longest and size >= LEAST_TOKENS
        if not groups or full or shorter:
            groups.append([])
            longest = lengths[n]
        groups[-1].append(n)
    return groups


def _again(model: TrainingModel, texts: TokenBatch) -> Views:
    """The views of a sub-batch, which is encoded again when gradients are asked for."""

    def run(*tensors: Tensor) -> Views:
        views: Views = model(TokenBatch(*tensors))
        return views

    # Tensors, not the record: they tell the devices whose random state is kept for dropout.
    found: Views = checkpoint(run, *texts.tensors, use_reentrant=False)
    return found


def _joined(parts: Sequence[Views], places: Sequence[int], *, length: int) -> Views:
    """The views of all sub-batches as one batch.

    Args:
        parts: The sub-batches.
        places: Where each text of the batch stands among them, N of them.
        length: L of the batch.
    """

    def together(tensors: Iterable[Tensor]) -> Tensor:
        rows = [row for tensor in tensors for row in tensor.unbind()]
        return torch.stack([rows[place] for place in places])  # one copy, and no more

    def padded(tensors: Iterable[Tensor]) -> Tensor:
        return together(_longer(tensor, length) for tensor in tensors)

    dense = [part.dense for part in parts if part.dense is not None]
    sparse = [part.sparse for part in parts if part.sparse is not None]
    late = [part.multi_vector for part in parts if part.multi_vector is not None]
    return Views(
        dense=together(dense) if dense else None,
        sparse=LexicalWeights(padded(p.weights for p in sparse), padded(p.ids for p in sparse))
        if sparse
        else None,
        multi_vector=TokenVectors(padded(p.vectors for p in late), padded(p.mask for p in late))
        if late
        else None,
    )


def _longer(tensor: Tensor, length: int) -> Tensor:
    """Zeros behind the second axis, [N, l, ...] -> [N, L, ...]."""
    missing = length - tensor.shape[1]
    return pad(tensor, [0, 0] * (tensor.ndim - 2) + [0, missing]) if missing else tensor
