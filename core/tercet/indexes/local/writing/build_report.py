"""The report of a build: what late interaction through cells finds, measured on its own documents.

It is made after the `add` in which a codebook is trained or documents have become four times as
many, and by `compact` where their number is another; the catalogue keeps the last one. Searches
are done beside other readers and writers, without the writer's lock.
"""

import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tercet.documents import Document
from tercet.embeddings import Embeddings, MultiVectors, Representation
from tercet.indexes.local.columns.shortlists import Rows, Shortlist, joined
from tercet.indexes.local.files.catalog import Connections, read_meta, write_report
from tercet.indexes.local.files.codebook_rows import newest_codebook_key
from tercet.indexes.local.reading.rows import keys_of_each
from tercet.indexes.local.reading.search import LocalReader
from tercet.indexes.local.reading.snapshot import Snapshot
from tercet.indexes.local.writing.pseudo_queries import FOREIGN, NEAR, hard_queries
from tercet.indexes.local.writing.training import token_columns
from tercet.indexes.local.writing.writer import Writer
from tercet.indexes.reader import BuildReport
from tercet.scoring.multi_vector import Comparison

K = 10
"""Hits that are compared."""

MOST_QUERIES, FEWEST_QUERIES = 16, 8

PRODUCTS = 1 << 30
"""Products of token vectors that the exact rankings take at most, about five seconds of one core.

More than 2 million stored token vectors get fewer queries, down to `FEWEST_QUERIES`.
"""

OTHERS = 64
"""Documents that lend token vectors to the queries about others."""

GROWTH = 4
"""A report holds until documents are so many times as many."""

MULTI_VECTOR = Representation.MULTI_VECTOR


@dataclass(frozen=True, slots=True, eq=False)
class Arrived:
    """Documents whose token vectors are still at hand as they came.

    Attributes:
        documents: N documents.
        vectors: Their token vectors in float32.
    """

    documents: Sequence[Document]
    vectors: MultiVectors

    @classmethod
    def of(cls, documents: Sequence[Document], embeddings: Embeddings) -> "Arrived":
        """Those of an `add`, if it has token vectors."""
        vectors = embeddings.multi_vector
        return NOTHING if vectors is None else cls(documents, vectors)


NOTHING = Arrived((), MultiVectors(np.empty((0, 1), np.float32), np.zeros(1, np.int64)))


def is_report_due(connections: Connections) -> bool:
    """Whether there are cells that no report tells of, or far more documents than it tells of."""
    told, there = _documents_told(connections)
    return there >= GROWTH * told if told else there > 0


def is_report_old(connections: Connections) -> bool:
    """Whether no report tells of these cells and this number of documents."""
    told, there = _documents_told(connections)
    return told != there


def _documents_told(connections: Connections) -> tuple[int, int]:
    """Of how many documents the report tells, with the cells in use, and how many there are.

    Both are 0 where there are no cells.
    """
    with connections.reading() as connection:
        key = newest_codebook_key(connection)
        if key is None:
            return 0, 0
        report = read_meta(connection).report
        told = report.documents if report is not None and report.codebook == key else 0
        return told, _count(connection)


def report_build(
    reader: LocalReader, arrived: Arrived = NOTHING, *, build_seconds: float = 0.0
) -> BuildReport | None:
    """Measure the search by cells; None where everything is compared.

    Args:
        reader: One look at the index.
        arrived: What is compared as it came; all else is compared as it is stored.
        build_seconds: What the build took.
    """
    snapshot = reader.snapshot
    columns = list(token_columns(snapshot))
    codebooks = [column.cells.codebook.key for column in columns if column.cells is not None]
    if not codebooks or not len(snapshot.live):
        return None
    queries = _queries(snapshot, sum(int(column.offsets[-1]) for column in columns))
    found, seconds = [], []
    for n in range(len(queries)):
        start = time.perf_counter()
        found += _search(snapshot, _one(queries, n), snapshot.live, exact=False)
        seconds.append(time.perf_counter() - start)
    start = time.perf_counter()
    _search(snapshot, _one(queries, 0), snapshot.live, exact=True)
    exact_seconds = time.perf_counter() - start
    rows, places = _rows(reader, arrived)
    truth = _truth(snapshot, queries, rows, arrived.vectors, places)
    shared = [
        min(K, len(np.intersect1d(a.rows, b.rows))) / min(K, len(b.rows))
        for a, b in zip(found, truth, strict=True)
    ]
    return BuildReport(
        codebook=max(codebooks),
        documents=len(snapshot.live),
        compared_as_arrived=len(rows),
        queries=len(queries),
        recall_at_10=float(np.mean(shared)),
        seconds=float(np.median(seconds)),
        exact_seconds=exact_seconds,
        build_seconds=build_seconds,
    )


def keep_report(writer: Writer, connections: Connections, report: BuildReport | None) -> None:
    """Put it in the place of the last one."""
    with writer.held(), connections.writing() as connection:
        write_report(connection, report)


def _count(connection: sqlite3.Connection) -> int:
    """Live documents, without a look at each."""
    live = "SELECT id FROM segments WHERE dead_since IS NULL"
    query = (
        f"SELECT (SELECT total(rows) FROM segments WHERE id IN ({live})) - "
        f"(SELECT count(*) FROM tombstones WHERE segment IN ({live}))"
    )
    return int(connection.execute(query).fetchone()[0])


def _queries(snapshot: Snapshot, tokens: int) -> MultiVectors:
    affordable = PRODUCTS // ((NEAR + FOREIGN) * max(1, tokens))
    count = min(MOST_QUERIES, max(FEWEST_QUERIES, affordable), len(snapshot.live))
    rng = np.random.default_rng(0)
    chosen = rng.choice(snapshot.live, min(count + OTHERS, len(snapshot.live)), replace=False)
    documents: MultiVectors = snapshot.decode(chosen, [MULTI_VECTOR], {})[MULTI_VECTOR.value]
    return hard_queries(documents.take(np.arange(count)), documents, rng=rng)


def _one(queries: MultiVectors, n: int) -> MultiVectors:
    return queries.take(np.asarray([n]))


def _search(
    snapshot: Snapshot, queries: MultiVectors, rows: Rows, *, exact: bool
) -> list[Shortlist]:
    return snapshot.best(MULTI_VECTOR, Embeddings(multi_vector=queries), K, rows, exact=exact)


def _rows(reader: LocalReader, arrived: Arrived) -> tuple[Rows, NDArray[np.int64]]:
    """Rows of the documents that arrived and are there, and where they stand in `arrived`."""
    keys = keys_of_each(reader.connection, [document.id for document in arrived.documents])
    places = np.flatnonzero(keys >= 0)
    rows = reader.snapshot.number(keys[places])
    return rows, places


def _truth(
    snapshot: Snapshot,
    queries: MultiVectors,
    rows: Rows,
    vectors: MultiVectors,
    places: NDArray[np.int64],
) -> list[Shortlist]:
    """The exact ranking: some rows by the vectors as they came, all others as they are stored."""
    others = np.setdiff1d(snapshot.live, rows, assume_unique=True)
    stored = _search(snapshot, queries, others, exact=True)
    if not len(rows):
        return stored
    came = vectors.take(places)
    scores = Comparison(queries).stored(came.vectors, None, came.offsets[:-1], came.offsets[1:])
    return [joined([own, Shortlist(rows, row)], K) for own, row in zip(stored, scores, strict=True)]
