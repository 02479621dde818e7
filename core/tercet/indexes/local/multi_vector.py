"""Token vectors in a segment: float16 rows, searched by late interaction over everything.

Blocks of tokens are decoded once for all queries of a call.
"""

from collections.abc import Iterator, Sequence
from threading import local
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from tercet.embeddings import MultiVectors
from tercet.indexes.local.segments import Column, Segment
from tercet.indexes.local.shortlists import Allowed, Rows, Shortlist, best_of_all
from tercet.ragged import ragged_rows
from tercet.scoring.multi_vector import maxsim_loaded

TOKENS, OFFSETS = "multi_vector.tokens", "multi_vector.offsets"
CODECS = {TOKENS: "float16", OFFSETS: "int64"}
LARGEST = float(np.finfo(np.float16).max)
BLOCK_ROWS = 256
"""Documents that a copy handles at once."""

HALF_SHIFT = 13
"""Bits of mantissa that a float32 has and a float16 lacks."""

HALF_SIGN_AND_NUMBER = np.int32(~0x70000000)
"""Where sign, exponent and mantissa stand after the shift; the sign was extended over the rest."""

HALF_BIAS = np.float32(2.0**112)
"""Exponents of a float32 are counted from -127, those of a float16 from -15."""


class MultiVectorColumn:
    """The token vectors of a segment."""

    gathered: ClassVar[int] = 2000

    def __init__(self, segment: Segment) -> None:
        self._tokens: NDArray[np.float16] = segment.array(TOKENS, CODECS[TOKENS])
        self._offsets: NDArray[np.int64] = segment.array(OFFSETS, CODECS[OFFSETS])

    @classmethod
    def best(
        cls, parts: Sequence[tuple["MultiVectorColumn", Allowed]], queries: MultiVectors, depth: int
    ) -> list[list[Shortlist]]:
        """For each part M shortlists."""
        return cls.exhaustive(parts, queries, depth)

    @classmethod
    def exhaustive(
        cls, parts: Sequence[tuple["MultiVectorColumn", Allowed]], queries: MultiVectors, depth: int
    ) -> list[list[Shortlist]]:
        """For each part M shortlists, from a comparison with every row."""
        return [best_of_all(column.scan(queries), depth, allowed) for column, allowed in parts]

    def scan(self, queries: MultiVectors) -> NDArray[np.float32]:
        """Scores of all rows, summed over query tokens, [M, rows]."""
        buffer = _Buffer()
        return maxsim_loaded(
            queries, lambda start, stop: buffer.decode(self._tokens[start:stop]), self._offsets
        )

    def score(self, queries: MultiVectors, rows: Rows) -> NDArray[np.float32]:
        """Scores of some rows, summed over query tokens, [M, R]."""
        starts = self._offsets[rows]
        offsets = np.concatenate(([0], np.cumsum(self._offsets[rows + 1] - starts)))
        buffer = _Buffer()

        def load(start: int, stop: int) -> NDArray[np.float32]:
            first, last = np.searchsorted(offsets, (start, stop), side="right")
            pieces = [
                self._tokens[source + max(start - begin, 0) : source + min(stop, end) - begin]
                for source, begin, end in zip(
                    starts[first - 1 : last].tolist(),
                    offsets[first - 1 : last].tolist(),
                    offsets[first : last + 1].tolist(),
                    strict=False,
                )
            ]
            return buffer.decode(np.concatenate(pieces))

        return maxsim_loaded(queries, load, offsets)

    def decode(self, rows: Rows) -> MultiVectors:
        """The token vectors of some rows."""
        tokens, offsets = ragged_rows(self._offsets, rows)
        return MultiVectors(self._tokens[tokens].astype(np.float32), offsets)

    @staticmethod
    def store(vectors: MultiVectors) -> dict[str, Column]:
        """The arrays of a new segment.

        Raises:
            ValueError: A value that no float16 holds.
        """
        if len(vectors.vectors) and float(np.abs(vectors.vectors).max()) > LARGEST:
            raise ValueError(
                f"token vectors are stored as float16, which ends at {LARGEST:g}: scale them, "
                "to unit length as a rule"
            )
        return {
            TOKENS: Column.of(CODECS[TOKENS], vectors.vectors.astype(np.float16)),
            OFFSETS: Column.of(CODECS[OFFSETS], vectors.offsets.astype(np.int64, copy=False)),
        }

    @staticmethod
    def merge(parts: Sequence[tuple["MultiVectorColumn", Rows]]) -> dict[str, Column]:
        """The arrays of a segment made of rows of others."""
        lengths = np.concatenate([np.diff(column._offsets)[rows] for column, rows in parts])
        offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
        shape = (int(offsets[-1]), parts[0][0]._tokens.shape[1])
        return {
            TOKENS: Column(CODECS[TOKENS], np.dtype("<f2"), shape, _pieces(parts)),
            OFFSETS: Column.of(CODECS[OFFSETS], offsets),
        }


def _pieces(parts: Sequence[tuple[MultiVectorColumn, Rows]]) -> Iterator[NDArray[np.float16]]:
    for column, rows in parts:
        for start in range(0, len(rows), BLOCK_ROWS):
            tokens, _ = ragged_rows(column._offsets, rows[start : start + BLOCK_ROWS])
            yield column._tokens[tokens]


class _Buffer(local):
    """Space for one decoded block, used again for the next; each thread has its own."""

    space = np.empty(0, dtype=np.float32)

    def decode(self, halves: NDArray[np.float16]) -> NDArray[np.float32]:
        """The float32 of finite float16, by moving bits.

        numpy's own conversion takes two to three times as long, a table of all 65,536 about two.
        """
        if halves.size > len(self.space):
            self.space = np.empty(halves.size, dtype=np.float32)
        values = self.space[: halves.size].reshape(halves.shape)
        bits = values.view(np.int32)
        np.copyto(bits, halves.view(np.int16))
        np.left_shift(bits, HALF_SHIFT, out=bits)
        np.bitwise_and(bits, HALF_SIGN_AND_NUMBER, out=bits)
        np.multiply(values, HALF_BIAS, out=values)
        return values
