"""Token vectors in a segment: searched by their cells where there are many, else one by one."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from tercet.embeddings import MultiVectors
from tercet.errors import IndexFormatError
from tercet.indexes.local.cells import CellLists
from tercet.indexes.local.late_interaction import CodedPart, search_cells
from tercet.indexes.local.segments import Segment
from tercet.indexes.local.shortlists import Allowed, Rows, Scores, Shortlist, best_of_all
from tercet.indexes.local.tokens import CELLS, TOKENS, Arrays, Buffer, Residual, codec_named
from tercet.ragged import ragged_rows
from tercet.scoring.multi_vector import maxsim_loaded

OFFSETS, OFFSETS_CODEC = "multi_vector.offsets", "int64"
DISTORTION, DISTORTION_CODEC = "multi_vector.distortion", "float64"


class MultiVectorColumn:
    """The token vectors of a segment."""

    gathered: ClassVar[int] = 2000

    def __init__(self, segment: Segment) -> None:
        name = segment.codecs.get(TOKENS, "nothing")
        codec = codec_named(name, segment.codebook)
        if codec is None:
            raise IndexFormatError(
                f"segment {segment.path} stores token vectors as {name!r}, which this version "
                "does not read: upgrade tercet"
            )
        self.codec = codec
        self.offsets: NDArray[np.int64] = segment.array(OFFSETS, OFFSETS_CODEC)
        self.arrays: Arrays = {array: segment.array(array, name) for array in codec.dtypes}
        self.cells: CellLists | None = None
        self.distortion = 0.0
        if segment.codebook is not None:
            self.cells = CellLists(segment, segment.codebook)
            if isinstance(codec, Residual):
                self.arrays[CELLS] = self.cells.of_tokens
            self.distortion = float(segment.array(DISTORTION, DISTORTION_CODEC)[0])

    @classmethod
    def best(
        cls, parts: Sequence[tuple["MultiVectorColumn", Allowed]], queries: MultiVectors, depth: int
    ) -> list[list[Shortlist]]:
        """For each part M shortlists, those of parts with cells by way of their cells."""
        found: dict[int, list[Shortlist]] = {}
        groups: dict[int, list[int]] = {}
        for place, (column, allowed) in enumerate(parts):
            if column.cells is None:
                found[place] = column._compare_all(queries, depth, allowed)
            else:
                groups.setdefault(column.cells.codebook.key, []).append(place)
                found[place] = []
        for places in groups.values():
            for n in range(len(queries)):
                query = queries.take(np.asarray([n]))
                shortlists = _search_group([parts[place] for place in places], query, depth)
                for place, shortlist in zip(places, shortlists, strict=True):
                    found[place].append(shortlist)
        return [found[place] for place in range(len(parts))]

    @classmethod
    def exhaustive(
        cls, parts: Sequence[tuple["MultiVectorColumn", Allowed]], queries: MultiVectors, depth: int
    ) -> list[list[Shortlist]]:
        """For each part M shortlists, from a comparison with every row."""
        return [column._compare_all(queries, depth, allowed) for column, allowed in parts]

    def score(self, queries: MultiVectors, rows: Rows) -> Scores:
        """Scores of some rows, summed over query tokens, [M, R]."""
        return self._compare(queries, *ragged_rows(self.offsets, rows))

    def score_near(
        self, query: MultiVectors, rows: Rows, cells: CellLists, near: NDArray[np.bool_]
    ) -> Scores:
        """Scores of some rows by those of their tokens that lie in some of the cells, [R].

        Args:
            query: Token vectors of one query.
            rows: Which rows.
            cells: Those of this segment.
            near: Which of them count, [K].
        """
        tokens, offsets = ragged_rows(self.offsets, rows)
        kept = near[cells.of_tokens[tokens]]
        kept[offsets[:-1]] = True  # a document without any keeps one
        counts = np.add.reduceat(kept, offsets[:-1], dtype=np.int64)
        ends = np.concatenate(([0], np.cumsum(counts)))
        scores: Scores = self._compare(query, tokens[kept], ends)[0]
        return scores

    def _compare(
        self, queries: MultiVectors, tokens: NDArray[np.int64], offsets: NDArray[np.int64]
    ) -> Scores:
        buffer = Buffer()

        def load(start: int, stop: int) -> NDArray[np.float32]:
            chosen = tokens[start:stop]
            arrays = {name: array[chosen] for name, array in self.arrays.items()}
            return self.codec.decode(arrays, buffer)

        return maxsim_loaded(queries, load, offsets)

    def decode(self, rows: Rows) -> MultiVectors:
        """The token vectors of some rows."""
        tokens, offsets = ragged_rows(self.offsets, rows)
        return MultiVectors(self.decode_tokens(tokens), offsets)

    def decode_tokens(self, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        """Some token vectors, [tokens, E]."""
        arrays = {name: array[tokens] for name, array in self.arrays.items()}
        return self.codec.decode(arrays, Buffer())

    def blocks(self, rows: Rows, *, size: int) -> Iterator[NDArray[np.int64]]:
        """Tokens of some rows, so many rows at once."""
        for start in range(0, len(rows), size):
            yield ragged_rows(self.offsets, rows[start : start + size])[0]

    def _compare_all(self, queries: MultiVectors, depth: int, allowed: Allowed) -> list[Shortlist]:
        buffer = Buffer()

        def load(start: int, stop: int) -> NDArray[np.float32]:
            arrays = {name: array[start:stop] for name, array in self.arrays.items()}
            return self.codec.decode(arrays, buffer)

        return best_of_all(maxsim_loaded(queries, load, self.offsets), depth, allowed)


def _search_group(
    parts: Sequence[tuple[MultiVectorColumn, Allowed]], query: MultiVectors, depth: int
) -> list[Shortlist]:
    """Shortlists of parts with one codebook for one query; all rows are compared where few are."""
    coded = [(column, column.cells, a) for column, a in parts if column.cells is not None]
    scorer = _Scorer([(column, cells) for column, cells, _ in coded], query)
    found = search_cells(
        [CodedPart(cells, a) for _, cells, a in coded], query.vectors, depth, scorer
    )
    if sum(len(shortlist.rows) for shortlist in found) < depth:  # others have no cell in common
        return [column._compare_all(query, depth, allowed)[0] for column, allowed in parts]
    return found


@dataclass(frozen=True, slots=True, eq=False)
class _Scorer:
    """Scores rows of several columns for one query."""

    columns: Sequence[tuple[MultiVectorColumn, CellLists]]
    query: MultiVectors

    def near(self, owners: Rows, rows: Rows, cells: NDArray[np.bool_]) -> Scores:
        """By the tokens in some cells alone."""
        return self._each(
            owners, rows, lambda c, its, own: c.score_near(self.query, own, its, cells)
        )

    def exact(self, owners: Rows, rows: Rows) -> Scores:
        """By all tokens."""
        return self._each(owners, rows, lambda c, _, own: c.score(self.query, own)[0])

    def _each(
        self,
        owners: Rows,
        rows: Rows,
        score: Callable[[MultiVectorColumn, CellLists, Rows], Scores],
    ) -> Scores:
        scores = np.empty(len(rows), dtype=np.float32)
        for owner in np.unique(owners).tolist():
            places = np.flatnonzero(owners == owner)
            column, cells = self.columns[owner]
            scores[places] = score(column, cells, rows[places])
        return scores
