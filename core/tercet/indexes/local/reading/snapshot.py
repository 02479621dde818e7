"""Snapshots: the live segments of one generation, mapped, as one sequence of rows."""

import sqlite3
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from tercet.embeddings import Embeddings, Representation, concatenate, empty_view
from tercet.errors import IndexCorruptError
from tercet.indexes.checks import Dimensions
from tercet.indexes.local.columns.cells import codebook_key
from tercet.indexes.local.columns.dense import DenseColumn
from tercet.indexes.local.columns.multi_vector import MultiVectorColumn
from tercet.indexes.local.columns.shortlists import Allowed, Rows, Shortlist, joined, shortlist
from tercet.indexes.local.columns.sparse import SparseColumn
from tercet.indexes.local.files.catalog import read_generation
from tercet.indexes.local.files.codebook_rows import Codebooks
from tercet.indexes.local.files.lock import ForkLock
from tercet.indexes.local.files.readers import ReaderMark
from tercet.indexes.local.files.segment_rows import read_segment
from tercet.indexes.local.files.segments import KEYS, KEYS_CODEC, Segment

FEW = 0.1
"""Below this share of all rows, scoring the selected ones may cost less than searching."""


class ViewColumn(Protocol):
    """One view of a segment's documents; queries and results are the view's own record.

    Attributes:
        gathered: So many selected rows cost less when scored alone than a search among all.
    """

    gathered: ClassVar[int]

    def __init__(self, segment: Segment) -> None: ...

    def score(self, queries: Any, rows: Rows) -> NDArray[np.float32]:
        """Scores of some rows, [M, R]."""
        ...

    def decode(self, rows: Rows) -> Any:
        """What is stored for some rows."""
        ...

    @classmethod
    def best(cls, parts: Any, queries: Any, depth: int) -> list[list[Shortlist]]:
        """For each part (a column, and which of its rows may be found): M shortlists."""
        ...

    @classmethod
    def exhaustive(cls, parts: Any, queries: Any, depth: int) -> list[list[Shortlist]]:
        """The same, from a comparison with every row."""
        ...


COLUMNS: Mapping[Representation, type[ViewColumn]] = {
    Representation.DENSE: DenseColumn,
    Representation.SPARSE: SparseColumn,
    Representation.MULTI_VECTOR: MultiVectorColumn,
}


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A live segment inside a snapshot.

    Attributes:
        key: The segment's key in the catalogue.
        segment: Its mapped file.
        columns: Its views.
        keys: Which document of the catalogue each row belongs to, [rows].
        live: Which rows are neither deleted nor replaced, [rows].
    """

    key: int
    segment: Segment
    columns: Mapping[Representation, ViewColumn]
    keys: Rows
    live: NDArray[np.bool_]


@dataclass(eq=False)
class Snapshot:
    """The live segments of a generation; row numbers run through all of them.

    Attributes:
        generation: The commit that it shows.
        parts: The segments.
        passing: Which rows passed a comparison of a filter, kept for the next, [rows] each.
    """

    generation: int
    parts: tuple[Part, ...]
    passing: dict[Hashable, NDArray[np.bool_]] = field(default_factory=dict, init=False)
    leases: int = field(default=0, init=False)
    mark: ReaderMark | None = field(default=None, init=False)

    @cached_property
    def bases(self) -> Rows:
        """Row number of each segment's first row, and the number of all rows, [parts + 1]."""
        return np.cumsum([0, *(len(part.live) for part in self.parts)], dtype=np.int64)

    @cached_property
    def live(self) -> Rows:
        """Numbers of all live rows, ascending."""
        masks = [part.live for part in self.parts]
        return np.flatnonzero(np.concatenate(masks)) if masks else np.empty(0, dtype=np.int64)

    @cached_property
    def keys(self) -> Rows:
        """Which document of the catalogue each row belongs to, [rows]."""
        return np.concatenate([np.empty(0, dtype=np.int64), *(part.keys for part in self.parts)])

    @cached_property
    def by_key(self) -> Rows:
        """All row numbers in the order of their documents' keys, [rows]."""
        return np.argsort(self.keys, kind="stable")  # nearly sorted as a rule, and then fast

    def number(self, keys: Rows) -> Rows:
        """Row numbers of documents, by their keys.

        Raises:
            IndexCorruptError: No segment has a row for one of them.
        """
        places = np.searchsorted(self.keys, keys, sorter=self.by_key)
        numbers: Rows = self.by_key[places[places < len(self.keys)]]
        if not np.array_equal(self.keys[numbers], keys):
            raise IndexCorruptError(
                "a document of the catalogue has no row in any segment; tercet check tells more"
            )
        return numbers

    def places(self, rows: Rows) -> list[tuple[int, int]]:
        """The key of the segment that holds each row, and the row's number there."""
        return [(part.key, row) for part, _, own in self.split(rows) for row in own.tolist()]

    def split(self, rows: Rows) -> Iterator[tuple[Part, NDArray[np.int64], Rows]]:
        """For each segment that holds some of the rows: where they stand in `rows`, and its own."""
        owners = np.searchsorted(self.bases, rows, side="right") - 1
        for owner in np.unique(owners):
            positions = np.flatnonzero(owners == owner)
            yield self.parts[owner], positions, rows[positions] - self.bases[owner]

    def best(
        self, view: Representation, queries: Embeddings, depth: int, rows: Rows, *, exact: bool
    ) -> list[Shortlist]:
        """The best of the selected rows for each query, and all that tie with the last of them.

        Args:
            view: The view to search.
            queries: M of them.
            depth: How many rows are looked for.
            rows: The selected rows, ascending.
            exact: Compare with every row, where a column would approximate.
        """
        wanted, kind = getattr(queries, view.value), COLUMNS[view]
        if len(rows) < FEW * int(self.bases[-1]) and len(rows) <= kind.gathered:
            scores = self.score(view, queries, rows)
            return [shortlist(view, rows, row, depth) for row in scores]
        parts = [
            (part.columns[view], allowed)
            for part, allowed in zip(self.parts, self._allowed(rows), strict=True)
        ]
        searched = (kind.exhaustive if exact else kind.best)(parts, wanted, depth)
        return [
            joined(
                [
                    Shortlist(found[n].rows + base, found[n].scores)
                    for found, base in zip(searched, self.bases.tolist(), strict=False)
                ],
                depth,
            )
            for n in range(len(queries))
        ]

    def _allowed(self, rows: Rows) -> Iterator[Allowed]:
        """Which rows of each part are selected."""
        bounds = np.searchsorted(rows, self.bases).tolist()
        for n, part in enumerate(self.parts):
            if bounds[n + 1] - bounds[n] == len(part.live):
                yield None
                continue
            allowed = np.zeros(len(part.live), dtype=np.bool_)
            allowed[rows[bounds[n] : bounds[n + 1]] - self.bases[n]] = True
            yield allowed

    def score(self, view: Representation, queries: Embeddings, rows: Rows) -> NDArray[np.float32]:
        """Scores of some rows, [M, R]."""
        wanted = getattr(queries, view.value)
        scores = np.empty((len(queries), len(rows)), dtype=np.float32)
        for part, positions, own in self.split(rows):
            scores[:, positions] = part.columns[view].score(wanted, own)
        return scores

    def decode(
        self, rows: Rows, views: Sequence[Representation], dimensions: Dimensions
    ) -> dict[str, Any]:
        """What is stored for some rows in each view, in the order given."""
        parts = list(self.split(rows))
        if not parts:
            return {view.value: empty_view(view, dimensions.get(view, 0)) for view in views}
        joined = concatenate(
            [
                Embeddings(**{view.value: part.columns[view].decode(own) for view in views})
                for part, _, own in parts
            ]
        )
        ordered = joined.take(np.argsort(np.concatenate([places for _, places, _ in parts])))
        return {view.value: getattr(ordered, view.value) for view in views}


class Snapshots:
    """The current snapshot of an index, taken anew when the generation has moved."""

    def __init__(
        self, folder: Path, representations: Sequence[Representation], *, marked: bool
    ) -> None:
        self._folder = folder
        self._representations = representations
        self._marked = marked
        self.codebooks = Codebooks()
        self._device: str | None = None
        self._current: Snapshot | None = None
        self._lock = ForkLock()

    @contextmanager
    def lease(self, connection: sqlite3.Connection) -> Iterator[Snapshot]:
        """The snapshot that a read transaction sees.

        Raises:
            FileNotFoundError: A file was swept away since the transaction began; begin another.
            IndexCorruptError: A segment is damaged.
        """
        snapshot = self._take(connection)
        try:
            yield snapshot
        finally:
            with self._lock:
                self._let_go(snapshot)

    def move_to(self, device: str) -> None:
        """Compare vectors on a device from the next look on."""
        self._device = device
        self.close()

    def close(self) -> None:
        """Let go of the current one."""
        with self._lock:
            current, self._current = self._current, None
            if current is not None:
                self._let_go(current)

    def _take(self, connection: sqlite3.Connection) -> Snapshot:
        generation = read_generation(connection)
        with self._lock:
            current = self._current
            if current is None or current.generation != generation:
                taken = self._build(connection, generation, current)
                if current is None or current.generation < generation:
                    taken.leases += 1
                    self._current = taken
                    if current is not None:
                        self._let_go(current)
                current = taken
            current.leases += 1
            return current

    @staticmethod
    def _let_go(snapshot: Snapshot) -> None:
        snapshot.leases -= 1
        if snapshot.leases == 0 and snapshot.mark is not None:
            snapshot.mark.release()

    def _build(
        self, connection: sqlite3.Connection, generation: int, known: Snapshot | None
    ) -> Snapshot:
        # The mark comes first: from now on no sweep takes a file of this generation.
        mark = ReaderMark(self._folder / "readers", generation) if self._marked else None
        try:
            older = known if known is not None and known.generation < generation else None
            snapshot = Snapshot(generation, tuple(self._parts(connection, older)))
        except BaseException:
            if mark is not None:
                mark.release()
            raise
        snapshot.mark = mark
        return snapshot

    def _parts(self, connection: sqlite3.Connection, known: Snapshot | None) -> Iterator[Part]:
        before = {part.key: part for part in known.parts} if known is not None else {}
        since = known.generation if known is not None else -1
        live = "SELECT id FROM segments WHERE dead_since IS NULL ORDER BY id"
        for (key,) in connection.execute(live).fetchall():
            if key in before:
                part = before[key]
                dead = _tombstones(connection, key, since=since)
            else:
                part = self._open(connection, key)
                dead = _tombstones(connection, key, since=-1)
            yield _without(part, dead)

    def _open(self, connection: sqlite3.Connection, key: int) -> Part:
        segment = read_segment(connection, self._folder, key)
        key_of = codebook_key(segment.codecs)
        codebook = None if key_of is None else self.codebooks.get(connection, key_of)
        segment = replace(segment, codebook=codebook, device=self._device)
        columns = {view: COLUMNS[view](segment) for view in self._representations}
        keys = segment.array(KEYS, KEYS_CODEC)
        return Part(key, segment, columns, keys, np.ones(segment.rows, dtype=np.bool_))


def _tombstones(connection: sqlite3.Connection, segment: int, *, since: int) -> Rows:
    query = "SELECT row FROM tombstones WHERE segment = ? AND generation > ?"
    return np.asarray([row for (row,) in connection.execute(query, (segment, since))], np.int64)


def _without(part: Part, dead: Rows) -> Part:
    if not len(dead):
        return part
    if int(dead.max()) >= len(part.live):
        raise IndexCorruptError(
            f"segment {part.segment.path} has {len(part.live)} rows, and row {dead.max()} of it is "
            "deleted; restore the catalogue"
        )
    live = part.live.copy()
    live[dead] = False
    return replace(part, live=live)
