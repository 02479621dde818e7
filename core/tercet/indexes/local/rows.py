"""Documents as rows of the catalogue, and back."""

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from tercet.documents import Document, has_lone_surrogates
from tercet.indexes.local.fields import field_rows
from tercet.indexes.local.snapshot import Snapshot

LISTED = "(SELECT value FROM json_each(?))"
"""A list of any length, bound as one JSON array."""

INSERT = "INSERT INTO documents VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


def content_hash(document: Document, document_id: str | None) -> bytes:
    """Hash of all that a document holds, and of what encoded it."""
    fields = [
        document_id,
        document.text,
        document.header,
        document.parent,
        dict(document.metadata),
        dict(document.private),
    ]
    content = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(content.encode()).digest()


def row_hash(id_: str, segment: int, row: int, content: bytes) -> bytes:
    """Hash of a stored row: which document it is, where its vectors are, and its content."""
    place = json.dumps([id_, segment, row]).encode()
    return hashlib.sha256(place + content).digest()


def insert_documents(
    connection: sqlite3.Connection,
    documents: Sequence[Document],
    hashes: Sequence[bytes],
    *,
    segment: int,
) -> None:
    """Insert documents as rows 0 to N of a segment, with the fields that filters look at."""
    for row, (document, content) in enumerate(zip(documents, hashes, strict=True)):
        metadata = json.dumps(dict(document.metadata), ensure_ascii=False)
        values = (
            document.id,
            segment,
            row,
            document.parent,
            document.text,
            document.header,
            metadata,
            json.dumps(dict(document.private), ensure_ascii=False),
            content,
            row_hash(document.id, segment, row, content),
        )
        key = connection.execute(INSERT, values).lastrowid
        fields = field_rows(json.loads(metadata), document.parent)
        connection.executemany(
            "INSERT OR IGNORE INTO fields VALUES (?, ?, ?, ?)", [(*f, key) for f in fields]
        )


def remove_documents(connection: sqlite3.Connection, keys: Sequence[int], generation: int) -> None:
    """Leave tombstones for documents, and let segments die that hold nothing else."""
    listed = (json.dumps(keys),)
    connection.execute(
        f"INSERT INTO tombstones SELECT segment, row, ? FROM documents WHERE key IN {LISTED}",
        (generation, *listed),
    )
    connection.execute(f"DELETE FROM fields WHERE document IN {LISTED}", listed)
    connection.execute(f"DELETE FROM documents WHERE key IN {LISTED}", listed)
    connection.execute(
        "UPDATE segments SET dead_since = ?1 WHERE dead_since IS NULL AND id IN "
        "(SELECT DISTINCT segment FROM tombstones WHERE generation = ?1) AND rows = "
        "(SELECT count(*) FROM tombstones WHERE segment = segments.id)",
        (generation,),
    )


def stored_hashes(connection: sqlite3.Connection, ids: Sequence[str]) -> dict[str, bytes]:
    """Content hashes of the documents found, by id."""
    query = f"SELECT id, content_hash FROM documents WHERE id IN {LISTED}"
    return dict(connection.execute(query, (_listed(ids),)))


def keys_of(connection: sqlite3.Connection, ids: Sequence[str]) -> list[int]:
    """Keys of the documents found."""
    query = f"SELECT key FROM documents WHERE id IN {LISTED}"
    return [key for (key,) in connection.execute(query, (_listed(ids),))]


def fetch_documents(connection: sqlite3.Connection, ids: Sequence[str]) -> dict[str, Document]:
    """The documents found, by id."""
    query = (
        f"SELECT id, text, metadata, header, parent, private FROM documents WHERE id IN {LISTED}"
    )
    return {
        id_: Document(id_, text, json.loads(metadata), header, parent, json.loads(private))
        for id_, text, metadata, header, parent, private in connection.execute(
            query, (_listed(ids),)
        )
    }


def numbers_of(
    connection: sqlite3.Connection, snapshot: Snapshot, ids: Sequence[str]
) -> NDArray[np.int64]:
    """Row numbers of documents, in the order asked.

    Raises:
        LookupError: The index lacks one of them.
    """
    query = f"SELECT id, segment, row FROM documents WHERE id IN {LISTED}"
    found = {i: (segment, row) for i, segment, row in connection.execute(query, (_listed(ids),))}
    missing = [id_ for id_ in ids if id_ not in found]
    if missing:
        raise LookupError(
            f"{len(missing)} of {len(ids)} documents are not in the index; the first is "
            f"{missing[0]!r}"
        )
    return snapshot.number([found[id_] for id_ in ids])


def ids_of(
    connection: sqlite3.Connection, snapshot: Snapshot, rows: NDArray[np.int64]
) -> list[str]:
    """Ids of live rows, in the order given."""
    query = f"SELECT row, id FROM documents WHERE segment = ? AND row IN {LISTED}"
    ids = np.empty(len(rows), dtype=object)
    for part, positions, own in snapshot.split(rows):
        found = dict(connection.execute(query, (part.key, json.dumps(own.tolist()))))
        ids[positions] = [found[row] for row in own.tolist()]
    return list(ids)


def _listed(ids: Iterable[str]) -> str:
    """Ids as a JSON array; what no document can be called is left out."""
    possible = [id_ for id_ in ids if not has_lone_surrogates(id_) and "\0" not in id_]
    return json.dumps(possible, ensure_ascii=False)
