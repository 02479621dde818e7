"""Which rows of a snapshot pass a filter.

Each comparison is a search of the table `fields`, whose cost grows with what it finds; its rows are
kept with the snapshot. `and`, `or` and `not` join the sets of rows.
"""

import sqlite3

import numpy as np
from numpy.typing import NDArray

from tercet.documents import replace_lone_surrogates
from tercet.filters import And, Comparison, Expression, Not, Or, fields_of
from tercet.indexes.checks import warn_of_unknown
from tercet.indexes.local.columns.shortlists import Rows
from tercet.indexes.local.files.fields import Query, between, queries_of
from tercet.indexes.local.reading.snapshot import Snapshot

KEPT = 64
"""So many comparisons are kept with a snapshot, a byte a row each."""

Mask = NDArray[np.bool_]


def select(connection: sqlite3.Connection, snapshot: Snapshot, expression: Expression) -> Rows:
    """Numbers of the live rows that pass, ascending."""
    live: Rows = snapshot.live
    return live[_passing(connection, snapshot, expression)[live]]


def warn_of_unknown_fields(connection: sqlite3.Connection, expression: Expression) -> None:
    """Warn once where a filter names fields that no document has."""
    if connection.execute("SELECT 1 FROM documents LIMIT 1").fetchone() is None:
        return
    query = "SELECT 1 FROM fields WHERE name = ? LIMIT 1"
    unknown = [
        name
        for name in map(replace_lone_surrogates, fields_of(expression))
        if connection.execute(query, (name,)).fetchone() is None
    ]
    warn_of_unknown(unknown)


def _passing(connection: sqlite3.Connection, snapshot: Snapshot, expression: Expression) -> Mask:
    """Which rows pass, live or not, [rows]."""
    match expression:
        case And(parts):
            bounded, others = between(parts)
            passing = np.ones(int(snapshot.bases[-1]), dtype=np.bool_)
            for query in bounded:
                passing &= _compared(connection, snapshot, (query,))
            for part in others:
                passing &= _passing(connection, snapshot, part)
            return passing
        case Or(parts):
            passing = np.zeros(int(snapshot.bases[-1]), dtype=np.bool_)
            for part in parts:
                passing |= _passing(connection, snapshot, part)
            return passing
        case Not(part):
            return ~_passing(connection, snapshot, part)
        case Comparison():
            return _compared(connection, snapshot, tuple(queries_of(expression)))
    raise TypeError(f"{expression!r} is no filter")


def _compared(
    connection: sqlite3.Connection, snapshot: Snapshot, queries: tuple[Query, ...]
) -> Mask:
    """Which rows answer one of the queries, [rows]; asked once a snapshot."""
    known = snapshot.passing.get(queries)
    if known is not None:
        return known
    passing = np.zeros(int(snapshot.bases[-1]), dtype=np.bool_)
    for query in queries:
        passing[snapshot.number(_keys(connection, query))] = True
    if len(snapshot.passing) >= KEPT:
        snapshot.passing.clear()
    snapshot.passing[queries] = passing
    return passing


def _keys(connection: sqlite3.Connection, query: Query) -> NDArray[np.int64]:
    """Keys of the documents that answer a query."""
    # One long string costs a fifth of as many rows.
    asked = f"SELECT group_concat(document, ' ') FROM fields WHERE {query.where}"
    (found,) = connection.execute(asked, query.values).fetchone()
    return np.fromstring(found or "", dtype=np.int64, sep=" ")
