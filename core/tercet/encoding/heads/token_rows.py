"""Where the token vectors of a batch belong: text after text, as passes bring them."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from tercet.embeddings import MultiVectors
from tercet.encoding.packing import Pass
from tercet.encoding.tokenised import TokenisedText

ROWS_AT_ONCE = 512
"""Rows that are projected together: what stands between states and result stays small."""


class TokenRows:
    """Where the token vectors of a batch of texts are put as passes bring them.

    The result is laid out at once, so that it is in memory only once.
    """

    def __init__(self, passes: Sequence[Pass], texts: Sequence[TokenisedText], *, dim: int) -> None:
        """Find out which rows are kept.

        Args:
            passes: Everything that will be read.
            texts: Where from.
            dim: E.
        """
        starts = np.cumsum([0, *map(len, texts)])
        kept = np.zeros(int(starts[-1]), dtype=np.bool_)  # of all tokens, text after text
        for item in passes:
            real = item.rows[item.owned]
            kept[starts[item.text] + real] = texts[item.text].keep[real]
        counts = np.diff(np.concatenate(([0], np.cumsum(kept)))[starts])
        kept[starts[:-1][counts == 0]] = True  # no text is without: its first token stands for it
        self._starts, self._kept = starts, kept
        self._places = np.cumsum(kept) - 1
        offsets = np.concatenate(([0], np.cumsum(kept)))[starts]
        self._offsets = offsets.astype(np.int64)
        self._vectors = np.empty((int(offsets[-1]), dim), dtype=np.float32)

    def tokens(self, n: int) -> NDArray[np.int64]:
        """Tokens of text n that have a vector, in order."""
        return np.flatnonzero(self._kept[self._starts[n] : self._starts[n + 1]])

    def pieces(
        self, passes: Sequence[Pass], *, at_once: int
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """The rows of some passes that are kept, and where their vectors belong.

        Args:
            passes: What was read.
            at_once: Most rows of a piece.
        """
        owned = np.concatenate([item.owned for item in passes])
        starts = np.repeat(
            [self._starts[item.text] for item in passes], [len(item) for item in passes]
        )
        tokens = starts + np.maximum(np.concatenate([item.rows for item in passes]), 0)
        chosen = np.flatnonzero(owned & self._kept[tokens])
        for start in range(0, len(chosen), at_once):
            rows = chosen[start : start + at_once]
            yield rows, self._places[tokens[rows]]

    def put(self, places: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        """Put vectors where they belong."""
        self._vectors[places] = vectors

    def result(self) -> MultiVectors:
        """All token vectors, text after text."""
        return MultiVectors(self._vectors, self._offsets)
