"""Lexical weights on their way into a segment: read block by block, never held as a whole."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tercet.indexes.local.columns.impacts import STEPS, impact_columns
from tercet.indexes.local.columns.inverted import BLOCK_ROWS, Entries
from tercet.indexes.local.columns.shortlists import Rows, Scores
from tercet.indexes.local.files.segments import Column
from tercet.ragged import ragged_rows

TERMS, OFFSETS, ORDINALS, WEIGHTS = (
    f"sparse.{name}" for name in ("terms", "offsets", "ordinals", "weights")
)
CODECS = {TERMS: "int32", OFFSETS: "int64", ORDINALS: "ordinal", WEIGHTS: "float32"}

UNLISTED = 128
"""A segment of so many rows has no impact lists: to score them all takes no longer (measured)."""

SHORT_ORDINALS = 1 << 16
"""Terms that two bytes can name."""


@dataclass(frozen=True, slots=True, eq=False)
class SparsePart:
    """Some rows of a source.

    Attributes:
        offsets: Row n of the source owns entries offsets[n] to offsets[n + 1].
        ordinals: Places of the entries' terms in `terms`.
        terms: Term ids, ascending.
        weights: Impacts of the entries.
        rows: The rows wanted, ascending.
    """

    offsets: NDArray[np.int64]
    ordinals: NDArray[np.integer]
    terms: NDArray[np.int32]
    weights: Scores
    rows: Rows


@dataclass(frozen=True, eq=False)
class SparseRows:
    """The rows of several parts, one part after another."""

    parts: Sequence[SparsePart]

    def columns(self) -> dict[str, Column]:
        """The arrays of a new segment."""
        lengths = [np.diff(part.offsets)[part.rows] for part in self.parts]
        offsets = np.concatenate(([0], np.cumsum(np.concatenate(lengths)))).astype(np.int64)
        shape = (int(offsets[-1]),)
        return self._lists(len(offsets) - 1) | {
            TERMS: Column.of(CODECS[TERMS], self._terms),
            OFFSETS: Column.of(CODECS[OFFSETS], offsets),
            ORDINALS: Column(
                CODECS[ORDINALS],
                self._ordinal_type.newbyteorder("<"),
                shape,
                (ordinals for _, ordinals, _ in self._blocks()),
            ),
            WEIGHTS: Column(
                CODECS[WEIGHTS],
                np.dtype("<f4"),
                shape,
                (weights for _, _, weights in self._blocks()),
            ),
        }

    def _lists(self, rows: int) -> dict[str, Column]:
        if rows <= UNLISTED:
            return {}
        return impact_columns(self._impacts, *self._statistics, rows=rows)

    @cached_property
    def _terms(self) -> NDArray[np.int32]:
        return np.unique(np.concatenate([part.terms for part in self.parts]))

    @property
    def _ordinal_type(self) -> np.dtype[np.integer]:
        return np.dtype(np.uint16 if len(self._terms) <= SHORT_ORDINALS else np.int32)

    @cached_property
    def _statistics(self) -> tuple[NDArray[np.int64], Scores]:
        """How many rows hold each term, and its highest impact, [terms] each."""
        counts = np.zeros(len(self._terms), dtype=np.int64)
        highest = np.zeros(len(self._terms), dtype=np.float32)
        for _, ordinals, weights in self._blocks():
            counts += np.bincount(ordinals, minlength=len(counts))
            np.maximum.at(highest, ordinals, weights)
        return counts, highest

    def _impacts(self) -> Iterator[Entries]:
        """All entries, with impacts rounded up to eight bits."""
        _, highest = self._statistics
        largest = np.maximum(highest, np.finfo(np.float32).tiny)
        start = 0
        for lengths, ordinals, weights in self._blocks():
            owners = np.repeat(np.arange(start, start + len(lengths), dtype=np.int32), lengths)
            shares = weights / largest[ordinals]  # in 0 to 1
            yield Entries(owners, ordinals, np.ceil(shares * STEPS).astype(np.uint8))
            start += len(lengths)

    def _blocks(self) -> Iterator[tuple[Rows, NDArray[np.integer], Scores]]:
        """Lengths of some rows, ordinals and weights of their entries."""
        for part in self.parts:
            places = np.searchsorted(self._terms, part.terms).astype(self._ordinal_type)
            for start in range(0, len(part.rows), BLOCK_ROWS):
                entries, offsets = ragged_rows(part.offsets, part.rows[start : start + BLOCK_ROWS])
                yield np.diff(offsets), places[part.ordinals[entries]], part.weights[entries]
