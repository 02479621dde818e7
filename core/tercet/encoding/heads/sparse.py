"""The sparse view: one weight a token, and the maximum of a term id's tokens."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tercet.embeddings import SparseVectors
from tercet.encoding.packing import Pass
from tercet.encoding.tokenised import TokenisedText

if TYPE_CHECKING:
    from torch import Tensor


class SparseView:
    """Weighs tokens: w = ReLU(W h + b)."""

    def __init__(self, weight: "Tensor", bias: "Tensor | None") -> None:
        """Take the one linear layer.

        Args:
            weight: [1, H].
            bias: [1], or none.
        """
        self._weight = weight.float()[0]  # [H]
        self._bias = None if bias is None else bias.float()[0]

    def weights(self, states: "Tensor") -> "Tensor":
        """One weight a row, [rows], in float32."""
        weights = states.float() @ self._weight
        if self._bias is not None:
            weights += self._bias
        return weights.relu_()


def lexical_weights(
    weights: NDArray[np.float32],
    passes: Sequence[Pass],
    texts: Sequence[TokenisedText],
) -> SparseVectors:
    """Keep, for each term id of a text, its largest weight in any pass, where it is not zero.

    Args:
        weights: One a row, pass after pass, [rows].
        passes: What was read.
        texts: Where from, N.
    """
    rows = np.concatenate([item.rows for item in passes])
    owners = np.repeat([item.text for item in passes], [len(item) for item in passes])
    starts = np.cumsum([0, *map(len, texts)])[:-1]
    tokens = starts[owners] + np.maximum(rows, 0)
    lexical = np.concatenate([text.lexical for text in texts])[tokens]
    counted = (rows >= 0) & lexical & (weights > 0)
    ids = np.concatenate([text.ids for text in texts])[tokens[counted]]
    owners, found = owners[counted], weights[counted]

    order = np.lexsort((ids, owners))
    ids, owners, found = ids[order], owners[order], found[order]
    first = np.ones(len(ids), dtype=np.bool_)
    first[1:] = (np.diff(ids) != 0) | (np.diff(owners) != 0)
    places = np.flatnonzero(first)
    largest = np.maximum.reduceat(found, places) if len(places) else found
    counts = np.bincount(owners[places], minlength=len(texts))
    return SparseVectors(
        indptr=np.concatenate(([0], np.cumsum(counts))).astype(np.int64),
        ids=ids[places].astype(np.int32),
        weights=largest.astype(np.float32),
    )
