"""Documents as rows of the catalogue, and back."""

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tercet.documents import Document, has_lone_surrogates
from tercet.indexes.local.files.fields import field_rows
from tercet.indexes.local.reading.snapshot import Snapshot

LISTED = "(SELECT value FROM json_each(?))"
"""A list of any length, bound as one JSON array."""

STORED = "key, id, text, metadata, header, parent, private"
"""What a document is made of."""

INSERT = "INSERT INTO documents VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"

_json = json.JSONEncoder(ensure_ascii=False).encode

Places = Sequence[tuple[int, int]]
"""Segments by their keys, and rows in them."""


def row_hash(values: Iterable[str | bytes | int | float | None]) -> bytes:
    """Hash of a stored row, of every byte in it."""
    stored = []
    for value in values:
        if isinstance(value, str):
            # What was damaged may have no text; a check reads it with the bytes escaped.
            name, raw = b"str", value.encode(errors="surrogateescape")
        elif isinstance(value, bytes):
            name, raw = b"bytes", value
        else:
            name, raw = type(value).__name__.encode(), repr(value).encode()
        stored.append(b"%s %d %s" % (name, len(raw), raw))
    return hashlib.sha256(b"".join(stored)).digest()


def next_key(connection: sqlite3.Connection) -> int:
    """The key of the next document; no key is given twice, also after its document is gone."""
    query = "SELECT seq FROM sqlite_sequence WHERE name = 'documents'"
    found = connection.execute(query).fetchone()
    return int(found[0]) + 1 if found else 1


def insert_documents(
    connection: sqlite3.Connection,
    documents: Sequence[Document],
    hashes: Sequence[bytes],
    *,
    first_key: int,
) -> None:
    """Insert documents under ascending keys, with the fields that filters look at."""
    rows, fields = [], []
    for key, (document, content) in enumerate(zip(documents, hashes, strict=True), first_key):
        metadata = _json(dict(document.metadata))
        values = (
            key,
            document.id,
            document.parent,
            document.text,
            document.header,
            metadata,
            _json(dict(document.private)),
            content,
        )
        rows.append((*values, row_hash(values)))
        found = field_rows(json.loads(metadata), document.parent)
        fields += [(*field, key) for field in found]
    connection.executemany(INSERT, rows)
    connection.executemany("INSERT OR IGNORE INTO fields VALUES (?, ?, ?, ?)", fields)


def remove_documents(
    connection: sqlite3.Connection, keys: Sequence[int], places: Places, generation: int
) -> None:
    """Leave tombstones for documents, and let segments die that hold nothing else."""
    connection.executemany(
        "INSERT INTO tombstones VALUES (?, ?, ?)", [(*place, generation) for place in places]
    )
    listed = (json.dumps(keys),)
    connection.execute(f"DELETE FROM fields WHERE document IN {LISTED}", listed)
    connection.execute(f"DELETE FROM documents WHERE key IN {LISTED}", listed)
    connection.executemany(
        "UPDATE segments SET dead_since = ? WHERE id = ? AND dead_since IS NULL AND rows = "
        "(SELECT count(*) FROM tombstones WHERE segment = segments.id)",
        [(generation, segment) for segment in {segment for segment, _ in places}],
    )


def stored_hashes(
    connection: sqlite3.Connection, ids: Sequence[str]
) -> dict[str, tuple[int, bytes]]:
    """Keys and content hashes of the documents found, by id."""
    query = f"SELECT id, key, content_hash FROM documents WHERE id IN {LISTED}"
    found = connection.execute(query, (_listed(ids),))
    return {id_: (key, content) for id_, key, content in found}


def keys_of(connection: sqlite3.Connection, ids: Sequence[str]) -> list[int]:
    """Keys of the documents found."""
    query = f"SELECT key FROM documents WHERE id IN {LISTED}"
    return [key for (key,) in connection.execute(query, (_listed(ids),))]


def keys_of_each(connection: sqlite3.Connection, ids: Sequence[str]) -> NDArray[np.int64]:
    """The key of each document, -1 where it is not there, [N]."""
    query = f"SELECT id, key FROM documents WHERE id IN {LISTED}"
    found = dict(connection.execute(query, (_listed(ids),)))
    return np.asarray([found.get(id_, -1) for id_ in ids], dtype=np.int64)


def fetch_documents(connection: sqlite3.Connection, ids: Sequence[str]) -> dict[str, Document]:
    """The documents found, by id."""
    query = f"SELECT {STORED} FROM documents WHERE id IN {LISTED}"
    return {row[1]: _document(row) for row in connection.execute(query, (_listed(ids),))}


def documents_of(
    connection: sqlite3.Connection, snapshot: Snapshot, rows: NDArray[np.int64]
) -> list[Document]:
    """The documents of live rows, in the order given."""
    keys = snapshot.keys[rows].tolist()
    query = f"SELECT {STORED} FROM documents WHERE key IN {LISTED}"
    found = {row[0]: _document(row) for row in connection.execute(query, (json.dumps(keys),))}
    return [found[key] for key in keys]


def _document(row: tuple[Any, ...]) -> Document:
    _, id_, text, metadata, header, parent, private = row
    return Document(id_, text, json.loads(metadata), header, parent, json.loads(private))


def numbers_of(
    connection: sqlite3.Connection, snapshot: Snapshot, ids: Sequence[str]
) -> NDArray[np.int64]:
    """Row numbers of documents, in the order asked.

    Raises:
        LookupError: The index lacks one of them.
    """
    keys = keys_of_each(connection, ids)
    missing = [ids[place] for place in np.flatnonzero(keys < 0).tolist()]
    if missing:
        raise LookupError(
            f"{len(missing)} of {len(ids)} documents are not in the index; the first is "
            f"{missing[0]!r}"
        )
    return snapshot.number(keys)


def ids_of(
    connection: sqlite3.Connection, snapshot: Snapshot, rows: NDArray[np.int64]
) -> list[str]:
    """Ids of live rows, in the order given."""
    keys = snapshot.keys[rows].tolist()
    query = f"SELECT key, id FROM documents WHERE key IN {LISTED}"
    found = dict(connection.execute(query, (json.dumps(keys),)))
    return [found[key] for key in keys]


def _listed(ids: Iterable[str]) -> str:
    """Ids as a JSON array; what no document can be called is left out."""
    possible = [id_ for id_ in ids if not has_lone_surrogates(id_) and "\0" not in id_]
    return _json(possible)
