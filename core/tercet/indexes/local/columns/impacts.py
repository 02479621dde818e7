"""Impact lists: for each term the rows that hold it, with impacts rounded up to eight bits.

A term that one row in 32 holds has a column of all rows instead: adding it up is one
vectorised pass, which takes less time than so many scattered additions, and less space.

The rounded scores are never below the true ones, and above them by a known amount at most. So all
rows that may be among the best are found, and their exact scores decide.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import local
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tercet.indexes.local.columns.inverted import Passes, invert
from tercet.indexes.local.columns.shortlists import Allowed, Rows, Scores, at_most_kth
from tercet.indexes.local.files.segments import Column, Segment

STEPS = 255
"""Impacts are multiples of the highest of their term over this."""

COMMON = 32
"""A term has a column where at least one row in so many holds it (measured)."""

BLOCK_ROWS = 1 << 14
"""Rows of a pass over columns, whose sums stay in the cache."""

ROUNDING = 1e-5
"""How far float32 sums may lie from the exact ones, relatively."""

HIGHEST, INDPTR, ROWS, IMPACTS = (
    f"sparse.{name}" for name in ("highest", "indptr", "rows", "impacts")
)
COMMON_TERMS, COLUMNS = "sparse.common", "sparse.columns"
CODECS = {
    HIGHEST: "float32",
    INDPTR: "int64",
    ROWS: "int32",
    IMPACTS: "uint8",
    COMMON_TERMS: "int32",
    COLUMNS: "uint8",
}

Exact = Callable[[Rows], Scores]
"""Exact scores of some rows."""


@dataclass(frozen=True, slots=True, eq=False)
class QueryTerm:
    """A term of a query, as a segment has it.

    Attributes:
        ordinal: Its place among the segment's terms.
        column: Its column, or -1 where it has a list.
        most: What it adds to a row with its highest impact.
    """

    ordinal: int
    column: int
    most: float


class ImpactLists:
    """The impact lists of a segment."""

    def __init__(self, segment: Segment) -> None:
        self._count = segment.rows
        self._highest, self._indptr, self._rows, self._impacts, self._common, self._columns = (
            segment.array(name, codec) for name, codec in CODECS.items()
        )

    @classmethod
    def stored(cls, segment: Segment) -> Self | None:
        """Those of a segment; a small one has none."""
        return cls(segment) if HIGHEST in segment.arrays else None

    def candidates(
        self, ordinals: Rows, weights: Scores, *, depth: int, allowed: Allowed, exact: Exact
    ) -> Rows:
        """All rows that may be among the best, ascending; each shares a term with the query.

        Args:
            ordinals: The query's terms, those that the segment knows.
            weights: Their weights.
            depth: How many are looked for.
            allowed: Which rows may be found.
            exact: Scores of some rows.
        """
        terms = self._terms(ordinals, weights)
        rare = [term for term in terms if term.column < 0]
        common = [term for term in terms if term.column >= 0]
        excess = sum(term.most for term in terms) / STEPS
        with _sums.borrowed(self._count) as sums:
            touched = self._add_lists(rare, sums)
            rows, found = _passing(touched, sums, allowed)
            few = _Few(self, common, depth, exact).candidates(rows, found) if common else None
            if few is not None or not common:
                sums[touched] = 0  # so a search costs what it touches
                return few if few is not None else _at_least(rows, found, depth, excess)
            self._add_columns(common, sums)
            if allowed is not None:
                sums[~allowed] = 0
            near = _at_least(None, sums, depth, excess)
            sums[:] = 0
            return near

    def add_columns(self, terms: Sequence[QueryTerm], sums: Scores, rows: Rows) -> Scores:
        """The sums of some rows with their impacts in columns."""
        for term in terms:
            sums = sums + np.float32(term.most / STEPS) * self._columns[term.column][rows]
        return sums

    def _terms(self, ordinals: Rows, weights: Scores) -> list[QueryTerm]:
        places = np.searchsorted(self._common, ordinals)
        held = np.append(self._common, -1)[places] == ordinals
        most = weights * self._highest[ordinals]
        values = zip(
            ordinals.tolist(), np.where(held, places, -1).tolist(), most.tolist(), strict=True
        )
        return [QueryTerm(*of_term) for of_term in values if of_term[2] > 0]

    def _add_lists(self, terms: Sequence[QueryTerm], sums: Scores) -> Rows:
        """Add the lists of terms up; the rows touched."""
        fresh: list[NDArray[np.int32]] = [np.empty(0, dtype=np.int32)]
        for term in terms:
            part = slice(self._indptr[term.ordinal], self._indptr[term.ordinal + 1])
            rows = self._rows[part]
            before = sums[rows]
            fresh.append(rows[before == 0])
            sums[rows] = before + np.float32(term.most / STEPS) * self._impacts[part]
        return np.concatenate(fresh)

    def _add_columns(self, terms: Sequence[QueryTerm], sums: Scores) -> None:
        """Add the columns of terms up, block by block."""
        columns = [term.column for term in terms]
        scales = np.asarray([term.most / STEPS for term in terms], dtype=np.float32)
        space = np.empty((len(terms), BLOCK_ROWS), dtype=np.float32)
        for start in range(0, self._count, BLOCK_ROWS):
            block = sums[start : start + BLOCK_ROWS]
            impacts = space[:, : len(block)]
            np.copyto(impacts, self._columns[columns, start : start + BLOCK_ROWS])
            block += np.einsum("t,tr->r", scales, impacts)  # no threads, as BLAS would start


@dataclass(frozen=True, slots=True, eq=False)
class _Few:
    """The way past the columns, where rare terms decide (MaxScore).

    Source: Turtle & Flood 1995, "Query evaluation: strategies and optimizations".
    """

    lists: ImpactLists
    common: Sequence[QueryTerm]
    depth: int
    exact: Exact

    def candidates(self, rows: Rows, sums: Scores) -> Rows | None:
        """Rows that may be among the best, if no row without a rare term can be."""
        rest = sum(term.most for term in self.common)
        if len(rows) < 2 * self.depth:
            return None
        leaders = rows[sums >= at_most_kth(sums, 2 * self.depth)]
        known = self.exact(leaders)
        least = float(np.partition(known, len(known) - self.depth)[len(known) - self.depth])
        least *= 1 - ROUNDING
        if rest >= least:
            return None
        kept = sums >= least - rest
        rows, sums = rows[kept], sums[kept]
        sums = self.lists.add_columns(self.common, sums, rows)
        return np.unique(rows[sums >= least])


def _passing(touched: Rows, sums: Scores, allowed: Allowed) -> tuple[Rows, Scores]:
    rows = touched if allowed is None else touched[allowed[touched]]
    return rows, sums[rows]


def _at_least(rows: Rows | None, sums: Scores, depth: int, excess: float) -> Rows:
    """The rows that may be among the best by their rounded sums, and share a term.

    Args:
        rows: Of which rows the sums are; None for all.
        sums: Rounded scores.
        depth: How many are looked for.
        excess: How far a rounded score may lie above the true one.
    """
    least = 0.0
    if len(sums) > depth:
        least = (at_most_kth(sums, depth) - excess) * (1 - ROUNDING)
    places = np.flatnonzero((sums >= least) & (sums > 0))
    return places if rows is None else np.unique(rows[places])


class _Sums(local):
    """Zeros for a sum a row, used again by the next query; each thread has its own."""

    space = np.empty(0, dtype=np.float32)

    @contextmanager
    def borrowed(self, count: int) -> Iterator[Scores]:
        """Zeros, [count]; the borrower leaves zeros behind, and an error drops them."""
        space, self.space = self.space, np.empty(0, dtype=np.float32)
        if len(space) < count:
            space = np.zeros(count, dtype=np.float32)
        yield space[:count]
        self.space = space


_sums = _Sums()


def impact_columns(
    passes: Passes, counts: NDArray[np.int64], highest: NDArray[np.float32], *, rows: int
) -> dict[str, Column]:
    """The arrays of a new segment.

    Args:
        passes: The rounded impacts of all rows.
        counts: How many rows hold each term, [terms].
        highest: The highest impact of each term, [terms].
        rows: How many rows there are.
    """
    common = np.flatnonzero(counts * COMMON >= max(rows, 1)).astype(np.int32)
    place = np.full(len(counts), -1, dtype=np.int64)
    place[common] = np.arange(len(common))
    columns = np.zeros((len(common), rows), dtype=np.uint8)
    for block in passes():
        places = place[block.terms]
        held = places >= 0
        columns[places[held], block.owners[held]] = block.weights[held]
    listed = np.where(place < 0, counts, 0)
    indptr, owners, impacts = invert(passes, listed)
    arrays: list[NDArray[Any]] = [highest, indptr, owners, impacts, common, columns]
    return {
        name: Column.of(codec, values)
        for (name, codec), values in zip(CODECS.items(), arrays, strict=True)
    }
