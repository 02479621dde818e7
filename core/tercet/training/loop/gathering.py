"""Embeddings of all devices as one batch, with gradients back to the device that made them."""

import os
from typing import Any

import torch
from torch import Tensor, distributed
from torch.nn.functional import pad

from tercet.encoding.precision import choose_device
from tercet.errors import require
from tercet.training.loop.batching import Share
from tercet.training.models.model import LexicalWeights, TokenVectors, Views


def share() -> Share:
    """Which part of every batch this process reads; joins the others if there are some."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return Share()
    if not distributed.is_initialized():
        require("accelerate", extra="train").PartialState(cpu=not torch.accelerator.is_available())
    return Share(distributed.get_world_size(), distributed.get_rank())


def own_device() -> torch.device:
    """Where this process trains: on its CUDA device where there is one."""
    share()  # who joins others is given a device of its own
    return choose_device(None)


def wait() -> None:
    """Until all devices are here."""
    if share().devices > 1:
        distributed.barrier()


def gather_views(views: Views) -> Views:
    """The views of the texts of all devices, device after device.

    A gradient that any device computes reaches the device that made the embedding. Every device
    must bring as many texts as the others; lengths may differ.
    """
    sparse, late = views.sparse, views.multi_vector
    return Views(
        dense=None if views.dense is None else gather(views.dense),
        sparse=None
        if sparse is None
        else LexicalWeights(gather(sparse.weights), gather(sparse.ids)),
        multi_vector=None
        if late is None
        else TokenVectors(gather(late.vectors), gather(late.mask.byte()).bool()),
    )


def gather(tensor: Tensor) -> Tensor:
    """The tensors of all devices, one below the other, the second axis as long as the longest.

    Args:
        tensor: [N, L, ...] or [N, E].

    Returns:
        [N * devices, ...].
    """
    if share().devices == 1:
        return tensor
    longest = torch.tensor(tensor.shape[1], device=tensor.device)
    distributed.all_reduce(longest, distributed.ReduceOp.MAX)
    behind = [0, 0] * (tensor.ndim - 2) + [0, int(longest) - tensor.shape[1]]
    found: Tensor = _Gather.apply(pad(tensor, behind).contiguous())  # type: ignore[no-untyped-call]
    return found


class _Gather(torch.autograd.Function):
    """All-gather, whose backward pass sums what every device asks of a row."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        ctx.rows = len(tensor)
        parts = [torch.empty_like(tensor) for _ in range(share().devices)]
        distributed.all_gather(parts, tensor)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, above: Tensor) -> Tensor:
        total = above.contiguous()
        distributed.all_reduce(total)
        start = share().rank * ctx.rows
        return total[start : start + ctx.rows]
