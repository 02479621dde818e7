"""The dense view: token states become one vector a text."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from tercet.encoding.heads.projection import Projection
from tercet.encoding.packing import Pass
from tercet.encoding.tokenised import TokenisedText
from tercet.models.spec import DenseHead, Pooling

Reduce = Callable[[Tensor, Tensor, int], Tensor]
"""(states [rows, H], pass of each row [rows], number of passes P) -> [P, H]."""


class DenseView:
    """Pools the states of a pass, projects them, and joins the passes of a text."""

    def __init__(self, head: DenseHead, projection: Projection) -> None:
        self._head, self._projection = head, projection

    def vectors(
        self, states: Tensor, passes: Sequence[Pass], texts: Sequence[TokenisedText]
    ) -> NDArray[np.float32]:
        """One vector a pass, [P, E].

        Args:
            states: Of all rows, pass after pass, [rows, H].
            passes: What was read.
            texts: Where from.
        """
        pooled = [self._pool(pooling, states, passes, texts) for pooling in self._head.pooling]
        joined = torch.cat(pooled, dim=1)  # [P, H * poolings]
        vectors = self._projection(joined.to(states.dtype)) if self._head.layers else joined
        return self._scaled(vectors.float()).numpy(force=True)

    def join(
        self, vectors: NDArray[np.float32], passes: Sequence[Pass], *, texts: int
    ) -> NDArray[np.float32]:
        """One vector a text: the mean of its passes' vectors, weighted by their own tokens, [N, E].

        A text of one pass keeps that pass's vector to the last bit.
        """
        owners = np.asarray([item.text for item in passes])
        of_text = np.bincount(owners, minlength=texts)
        own = np.asarray([item.owned.sum() for item in passes], dtype=np.float32)
        several = of_text[owners] > 1
        weights = np.where(several, own, np.float32(1))
        joined = np.zeros((texts, vectors.shape[1]), dtype=np.float32)
        np.add.at(joined, owners, vectors * weights[:, None])
        many = of_text > 1
        if many.any():
            sums = np.bincount(owners, weights=weights, minlength=texts)[many, None]
            mean = torch.from_numpy(joined[many] / sums.astype(np.float32))
            joined[many] = self._scaled(mean).numpy()
        return joined

    def _scaled(self, vectors: Tensor) -> Tensor:
        return functional.normalize(vectors, dim=-1) if self._head.normalise else vectors

    def _pool(
        self,
        pooling: Pooling,
        states: Tensor,
        passes: Sequence[Pass],
        texts: Sequence[TokenisedText],
    ) -> Tensor:
        """One state a pass, [P, H], in float32."""
        starts = np.cumsum([0, *map(len, passes)])[:-1]
        chosen = [_rows(pooling, item, self._prompt(texts[item.text])) for item in passes]
        rows = np.concatenate([start + own for start, own in zip(starts, chosen, strict=True)])
        owners = np.repeat(np.arange(len(passes)), [len(own) for own in chosen])
        picked = states[torch.from_numpy(rows).to(states.device)].float()
        if len(rows) == len(passes):  # one row each: nothing to reduce, no rounding
            return picked
        return REDUCTIONS[pooling](picked, torch.from_numpy(owners).to(states.device), len(passes))

    def _prompt(self, text: TokenisedText) -> int:
        return 0 if self._head.include_prompt else text.prompt


def _rows(pooling: Pooling, item: Pass, prompt: int) -> NDArray[np.int64]:
    """Rows of a pass that a pooling reads."""
    if pooling == "cls":
        return item.pooled
    if pooling == "last":
        return np.asarray([item.visible - 1])
    rows = np.flatnonzero(item.rows[: item.visible] >= prompt)
    return rows if len(rows) else np.arange(item.visible)


def _sums(states: Tensor, owners: Tensor, passes: int) -> tuple[Tensor, Tensor]:
    sums = states.new_zeros(passes, states.shape[1]).index_add_(0, owners, states)
    counts = torch.bincount(owners, minlength=passes)[:, None]
    return sums, counts


def _mean(states: Tensor, owners: Tensor, passes: int) -> Tensor:
    sums, counts = _sums(states, owners, passes)
    return sums / counts


def _mean_sqrt(states: Tensor, owners: Tensor, passes: int) -> Tensor:
    sums, counts = _sums(states, owners, passes)
    return sums / counts.sqrt()


def _max(states: Tensor, owners: Tensor, passes: int) -> Tensor:
    index = owners[:, None].expand_as(states)
    best = states.new_full((passes, states.shape[1]), -torch.inf)
    return best.scatter_reduce_(0, index, states, reduce="amax")


def _weighted_mean(states: Tensor, owners: Tensor, passes: int) -> Tensor:
    """The mean weighted by position from 1, as in SGPT."""
    counts = torch.bincount(owners, minlength=passes)
    firsts = counts.cumsum(0) - counts
    weights = (torch.arange(len(owners), device=owners.device) - firsts[owners] + 1).float()
    sums, _ = _sums(states * weights[:, None], owners, passes)
    total, _ = _sums(weights[:, None], owners, passes)
    return sums / total


REDUCTIONS: dict[Pooling, Reduce] = {
    "cls": _mean,
    "mean": _mean,
    "mean_sqrt": _mean_sqrt,
    "max": _max,
    "weighted_mean": _weighted_mean,
    "last": _mean,
}
"""What a pooling does with the rows that it reads."""
