"""Which token states a dense vector is made of, and how the passes of a text are joined."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tercet.encoding.packing import Pass
from tercet.encoding.tokenised import TokenisedText
from tercet.models.spec import DenseHead, Pooling

SMALLEST_NORM = np.float32(1e-12)
"""Shorter vectors stay what they are, as in torch."""


class PooledView:
    """What every back end's dense view shares: rows, shares and joining, on numpy."""

    def __init__(self, head: DenseHead) -> None:
        self.head = head

    def rows(
        self, pooling: Pooling, passes: Sequence[Pass], texts: Sequence[TokenisedText]
    ) -> list[NDArray[np.int64]]:
        """Rows that a pooling reads for each pass, counted from the first pass."""
        starts = np.cumsum([0, *map(len, passes)])[:-1]
        return [
            start + _rows(pooling, item, self._prompt(texts[item.text]))
            for start, item in zip(starts, passes, strict=True)
        ]

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
            sums = np.bincount(owners, weights=weights, minlength=texts).astype(np.float32)
            mean = joined[many] / sums[many, None]
            joined[many] = unit_length(mean) if self.head.normalise else mean
        return joined

    def _prompt(self, text: TokenisedText) -> int:
        return 0 if self.head.include_prompt else text.prompt


def shares(
    pooling: Pooling, chosen: Sequence[NDArray[np.int64]]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """What rows add to the pooled states of their passes: passes, rows and shares, [chosen]."""
    lengths = [len(rows) for rows in chosen]
    values = np.concatenate([_shares(pooling, length) for length in lengths])
    owners = np.repeat(np.arange(len(chosen)), lengths)
    return owners, np.concatenate(chosen), values.astype(np.float32)


def unit_length(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The vectors at unit length, [N, E]."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: NDArray[np.float32] = vectors / np.maximum(norms, SMALLEST_NORM)
    return scaled


def _rows(pooling: Pooling, item: Pass, prompt: int) -> NDArray[np.int64]:
    """Rows of a pass that a pooling reads."""
    if pooling == "cls":
        return item.pooled
    if pooling == "last":
        return np.asarray([item.visible - 1])
    rows = np.flatnonzero(item.rows[: item.visible] >= prompt)
    return rows if len(rows) else np.arange(item.visible)


def _shares(pooling: Pooling, rows: int) -> NDArray[np.float64]:
    """What each of the rows read adds to the pooled state."""
    if pooling == "weighted_mean":  # by position from 1, as in SGPT
        places = np.arange(1, rows + 1)
        found: NDArray[np.float64] = places / places.sum()
        return found
    return np.full(rows, 1 / math.sqrt(rows) if pooling == "mean_sqrt" else 1 / rows)
