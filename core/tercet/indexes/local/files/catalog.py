"""The catalogue: the SQLite database that says which segments and documents are live."""

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tercet.embeddings import EncoderSpec, Representation
from tercet.errors import IndexCorruptError, IndexFormatError, TercetIndexError
from tercet.indexes.local.files.faults import catalogue_faults
from tercet.indexes.local.files.lock import ForkLock
from tercet.indexes.reader import BuildReport
from tercet.indexes.storage import Storage

FORMAT = 2

SEALED = ("format", "spec", "representations", "dimensions", "storage")
"""The keys of the table meta that its own hash covers."""

REPORT = "build_report"
"""The key of the report of the last build, which is covered once there is one."""

LEAST_TIMEOUT = 5.0
"""Seconds that SQLite waits for itself, at its own moments of opening and closing the log."""

SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE segments (
    id INTEGER PRIMARY KEY AUTOINCREMENT, file TEXT NOT NULL UNIQUE, rows INTEGER NOT NULL,
    bytes INTEGER NOT NULL, sha256 TEXT NOT NULL, dead_since INTEGER, content BLOB
);
CREATE TABLE documents (
    key INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, parent TEXT,
    text TEXT NOT NULL, header TEXT NOT NULL, metadata TEXT NOT NULL, private TEXT NOT NULL,
    content_hash BLOB NOT NULL, row_hash BLOB NOT NULL
);
CREATE TABLE fields (
    name TEXT NOT NULL, type TEXT NOT NULL, value NOT NULL, document INTEGER NOT NULL,
    PRIMARY KEY (name, type, value, document)
) WITHOUT ROWID;
CREATE INDEX fields_by_document ON fields (document);
CREATE TABLE codebooks (
    id INTEGER PRIMARY KEY AUTOINCREMENT, view TEXT NOT NULL, content BLOB NOT NULL,
    sha256 TEXT NOT NULL
);
CREATE TABLE tombstones (
    segment INTEGER NOT NULL, row INTEGER NOT NULL, generation INTEGER NOT NULL,
    PRIMARY KEY (segment, row)
) WITHOUT ROWID;
CREATE INDEX tombstones_by_generation ON tombstones (generation);
"""


@dataclass(frozen=True, slots=True)
class Meta:
    """What the catalogue says about the index.

    Attributes:
        spec: The model.
        representations: The views that are stored.
        dimensions: E of each view that has one, as far as it is known.
        generation: Grows with every commit.
        format: Version of the format.
        storage: How vectors are stored.
        report: What the last build measured.
    """

    spec: EncoderSpec
    representations: tuple[Representation, ...]
    dimensions: Mapping[Representation, int]
    generation: int = 0
    format: int = FORMAT
    storage: Storage = field(default_factory=Storage)
    report: BuildReport | None = None


_OF_PARENTS: list[sqlite3.Connection] = []


class Connections:
    """SQLite connections to one catalogue, handed out to one thread at a time."""

    def __init__(self, folder: Path, *, parameters: str, timeout: float) -> None:
        self.folder = folder
        self._parameters = parameters
        self._address = f"{(folder / 'catalog.sqlite').absolute().as_uri()}?{parameters}"
        self._timeout = max(timeout, LEAST_TIMEOUT)
        self._idle: list[sqlite3.Connection] = []
        self._lock = ForkLock()
        self._closed = False
        self._process = os.getpid()

    def apart(self) -> "Connections":
        """Connections to the same catalogue that share no cache with these."""
        return Connections(self.folder, parameters=self._parameters, timeout=self._timeout)

    @contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """A connection that nobody else uses meanwhile."""
        with self._lock:
            if self._closed:
                raise TercetIndexError(f"the index at {self.folder} is closed")
            if self._process != os.getpid():
                # SQLite's connections do not survive a fork; closing them would harm the parent.
                _OF_PARENTS.extend(self._idle)
                self._idle, self._process = [], os.getpid()
            connection = self._idle.pop() if self._idle else None
        connection = connection or self._connect()
        try:
            with catalogue_faults(self.folder):
                try:
                    yield connection
                finally:
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
        finally:
            with self._lock:
                if self._closed or connection.in_transaction:
                    connection.close()
                else:
                    self._idle.append(connection)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection inside a read transaction: everything is as of its first look."""
        with self.connection() as connection:
            connection.execute("BEGIN")
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A connection inside the one transaction of a commit; an error undoes it."""
        with self.connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")

    def close(self) -> None:
        """Close all, those in use as soon as they come back."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _connect(self) -> sqlite3.Connection:
        with catalogue_faults(self.folder):
            connection = sqlite3.connect(
                self._address,
                uri=True,
                timeout=self._timeout,
                isolation_level=None,
                check_same_thread=False,
            )
            try:
                connection.create_function("holds_folded", 2, _holds_folded, deterministic=True)
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute("PRAGMA temp_store = MEMORY")
            except BaseException:  # no database: nobody else would close it
                connection.close()
                raise
        return connection


def _holds_folded(text: str, folded: str) -> bool:
    return folded in text.casefold()


def create(connection: sqlite3.Connection, meta: Meta) -> None:
    """Lay out an empty catalogue, in one transaction."""
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("BEGIN IMMEDIATE")
    for statement in SCHEMA.split(";\n"):
        connection.execute(statement)
    values = {
        "format": str(meta.format),
        "generation": str(meta.generation),
        "spec": meta.spec.to_json(),
        "representations": json.dumps(meta.representations),
        "dimensions": json.dumps(meta.dimensions),
        "storage": meta.storage.to_json(),
    }
    connection.executemany("INSERT INTO meta VALUES (?, ?)", values.items())
    _seal(connection)
    connection.execute("COMMIT")


def is_laid_out(connection: sqlite3.Connection) -> bool:
    """Whether the catalogue has its tables; a creation that was interrupted has none."""
    query = "SELECT 1 FROM sqlite_master WHERE name = 'meta'"
    return connection.execute(query).fetchone() is not None


def read_meta(connection: sqlite3.Connection) -> Meta:
    """What the catalogue says about the index.

    Raises:
        IndexFormatError: It was written in another format.
        IndexCorruptError: Its table does not say what it must.
    """
    values = dict(connection.execute("SELECT key, value FROM meta"))
    try:
        return _parsed(values)
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged_meta(error) from error


def _damaged_meta(error: Exception) -> IndexCorruptError:
    return IndexCorruptError(
        f"the catalogue's table meta is damaged ({error!r}); restore the folder"
    )


def _parsed(values: Mapping[str, str]) -> Meta:
    _check_format(int(values["format"]))
    if values["sha256"] != _hash(values):
        raise ValueError("its values do not have its hash")
    return Meta(
        EncoderSpec.from_json(values["spec"]),
        tuple(map(Representation, json.loads(values["representations"]))),
        {Representation(r): dim for r, dim in json.loads(values["dimensions"]).items()},
        int(values["generation"]),
        int(values["format"]),
        Storage.from_json(values["storage"]),
        BuildReport(**json.loads(values[REPORT])) if REPORT in values else None,
    )


def _check_format(found: int) -> None:
    if found != FORMAT:
        remedy = "upgrade tercet" if found > FORMAT else "open it once for writing, to move it on"
        raise IndexFormatError(
            f"the index is of format {found}; this version of tercet reads format {FORMAT}: "
            f"{remedy}"
        )


def read_format(connection: sqlite3.Connection) -> int:
    """The version of the format that the catalogue was written in."""
    return _number(connection, "format")


def set_format(connection: sqlite3.Connection) -> None:
    """Say that the catalogue is of the present format."""
    connection.execute("UPDATE meta SET value = ? WHERE key = 'format'", (str(FORMAT),))
    _seal(connection)


def read_generation(connection: sqlite3.Connection) -> int:
    """The number of the last commit."""
    return _number(connection, "generation")


def _number(connection: sqlite3.Connection, key: str) -> int:
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    try:
        return int(row[0])
    except (TypeError, ValueError) as error:
        raise _damaged_meta(error) from error


def next_generation(connection: sqlite3.Connection) -> int:
    """Count this commit."""
    generation = read_generation(connection) + 1
    connection.execute("UPDATE meta SET value = ? WHERE key = 'generation'", (str(generation),))
    return generation


def learn_dimensions(
    connection: sqlite3.Connection, found: Mapping[Representation, int]
) -> Mapping[Representation, int]:
    """The length of vectors; what nothing had said before is noted.

    Raises:
        IndexFormatError: Another writer has moved the index on to another format.
    """
    _check_format(read_format(connection))
    (text,) = connection.execute("SELECT value FROM meta WHERE key = 'dimensions'").fetchone()
    known = {Representation(view): dim for view, dim in json.loads(text).items()}
    dimensions = {**found, **known}
    if dimensions != known:
        update = "UPDATE meta SET value = ? WHERE key = 'dimensions'"
        connection.execute(update, (json.dumps(dimensions),))
        _seal(connection)
    return dimensions


def write_report(connection: sqlite3.Connection, report: BuildReport | None) -> None:
    """Put the report of a build in the place of the last one; None leaves none."""
    connection.execute("DELETE FROM meta WHERE key = ?", (REPORT,))
    if report is not None:
        values = (REPORT, json.dumps(asdict(report)))
        connection.execute("INSERT INTO meta VALUES (?, ?)", values)
    _seal(connection)


def _seal(connection: sqlite3.Connection) -> None:
    """Note the hash of what the table meta says."""
    values = dict(connection.execute("SELECT key, value FROM meta"))
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('sha256', ?)", (_hash(values),))


def _hash(values: Mapping[str, str]) -> str:
    """Hash of all that a commit does not count up."""
    keys = (*SEALED, REPORT) if REPORT in values else SEALED
    sealed = json.dumps([values[key] for key in keys])
    return hashlib.sha256(sealed.encode()).hexdigest()
