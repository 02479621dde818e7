"""The inner part of late interaction, with a backward pass that never holds all similarities."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

SIMILARITIES_AT_ONCE = 1 << 22
"""Token-to-token similarities that are in memory together: 16 MiB of float32."""


def best_similarities(queries: Tensor, documents: Tensor, mask: Tensor) -> Tensor:
    """The largest similarity of each query token with the tokens of each document.

        best[b, t, m] = max_l <q[b, t], d[b, m, l]>

    Only the places of the maxima are kept for the backward pass, so memory grows with T * M, not
    with T * M * L, and the backward pass costs one row of D a maximum.

    Args:
        queries: Query tokens, [B, T, D].
        documents: Tokens of M documents each, [B, M, L, D].
        mask: Which document tokens there are, at least one a document, [B, M, L].

    Returns:
        [B, T, M].
    """
    found: Tensor = _Best.apply(queries, documents, mask)  # type: ignore[no-untyped-call]
    return found


class _Best(torch.autograd.Function):
    """The maxima, and where they stand."""

    @staticmethod
    def forward(ctx: Any, queries: Tensor, documents: Tensor, mask: Tensor) -> Tensor:
        tokens, texts = queries.shape[1], documents.shape[1]
        best = queries.new_empty(len(queries), tokens, texts)
        places = torch.empty(best.shape, dtype=torch.int32, device=best.device)
        for some, those in _blocks(tokens, documents.shape):
            chosen = documents[:, those]  # [B, m, L, D]
            flat = chosen.flatten(1, 2).transpose(1, 2)  # [B, D, m * L]
            similarity = queries[:, some] @ flat  # [B, t, m * L]
            similarity = similarity.view(*similarity.shape[:2], *chosen.shape[1:3])
            similarity.masked_fill_(~mask[:, None, those], -torch.inf)
            best[:, some, those], found = similarity.max(dim=3)
            places[:, some, those] = found.int()
        ctx.save_for_backward(queries, documents, places)
        return best

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, above: Tensor) -> tuple[Tensor, Tensor, None]:
        queries, documents, places = ctx.saved_tensors
        of_queries, of_documents = torch.zeros_like(queries), torch.zeros_like(documents)
        for text in range(documents.shape[1]):
            rows = places[:, :, text].long().unsqueeze(-1).expand_as(queries)  # [B, T, D]
            weight = above[:, :, text].unsqueeze(-1)  # [B, T, 1]
            of_queries += weight * documents[:, text].gather(1, rows)
            of_documents[:, text].scatter_add_(1, rows, weight * queries)
        return of_queries, of_documents, None


def _blocks(tokens: int, documents: torch.Size) -> Iterator[tuple[slice, slice]]:
    """Parts of T query tokens and of M documents whose similarities fit in memory."""
    batch, texts, length = documents[:3]
    step = max(1, SIMILARITIES_AT_ONCE // (batch * length * min(tokens, length)))
    rows = max(1, SIMILARITIES_AT_ONCE // (batch * length * min(step, texts)))
    for start in range(0, tokens, rows):
        for first in range(0, texts, step):
            yield slice(start, start + rows), slice(first, first + step)
