"""Backups: one generation of an index as a folder of its own, taken while it is in use.

Everything is written beside the target and gets its name last, so that an interrupted backup is
never taken for an index.
"""

import hashlib
import os
import shutil
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tercet.errors import IndexCorruptError, TercetIndexError
from tercet.indexes.local.files.catalog import Connections
from tercet.indexes.local.files.faults import missing_segment
from tercet.indexes.local.files.readers import standing_read
from tercet.indexes.local.files.segment_rows import forget_dead
from tercet.indexes.local.files.segments import sync_folder

BLOCK = 1 << 20
"""Bytes that are copied at once."""


def backup(connections: Connections, target: Path, *, marked: bool) -> None:
    """Write the last commit to a new folder; no writer waits for it, and none stops it.

    Raises:
        TercetIndexError: The target is not empty, stands inside the index, or cannot be written.
        IndexCorruptError: A segment is not as it was committed.
    """
    _refuse(target, connections.folder)
    with (
        _faults(target),
        _staged(target) as folder,
        closing(connections.apart()) as own,
        standing_read(own, marked=marked) as connection,
    ):
        for name in ("segments", "readers"):
            (folder / name).mkdir()
        query = "SELECT file, sha256, content FROM segments WHERE dead_since IS NULL"
        for file, stored, content in connection.execute(query):
            source = own.folder / "segments" / file
            if content is None:
                _copy(source, folder / "segments" / file, stored)
            else:  # goes with the catalogue
                _compare(source, hashlib.sha256(content).hexdigest(), stored)
        sync_folder(folder / "segments")
        _copy_catalogue(connection, folder / "catalog.sqlite")
        sync_folder(folder)


def _refuse(target: Path, source: Path) -> None:
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise TercetIndexError(f"{target} is not empty: a backup needs a new folder")
    if target.resolve().is_relative_to(source.resolve()):
        raise TercetIndexError(f"{target} stands inside the index {source}: give another folder")


@contextmanager
def _faults(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if isinstance(error, TercetIndexError):
            raise
        raise TercetIndexError(
            f"no backup at {target}: {error.strerror or error}. Nothing was left there; make room, "
            "or give another folder"
        ) from error


@contextmanager
def _staged(target: Path) -> Iterator[Path]:
    """A folder that becomes the target when all has gone well, and vanishes when it has not."""
    target.absolute().parent.mkdir(parents=True, exist_ok=True)
    staged = target.absolute().with_name(f".{target.absolute().name}.{uuid.uuid4().hex}")
    staged.mkdir()
    try:
        yield staged
        staged.rename(target)  # takes the place of an empty folder, and of nothing else
    except BaseException:
        shutil.rmtree(staged, ignore_errors=True)
        raise
    sync_folder(target.absolute().parent)


def _copy(source: Path, target: Path, stored: str) -> None:
    """Copy a segment, sync it, and refuse what does not have its hash."""
    digest = hashlib.sha256()
    try:
        with source.open("rb") as read, target.open("xb") as written:
            while block := read.read(BLOCK):
                digest.update(block)
                written.write(block)
            written.flush()
            os.fsync(written.fileno())
    except FileNotFoundError as error:
        raise missing_segment(error) from error
    _compare(source, digest.hexdigest(), stored)


def _compare(segment: Path, found: str, stored: str) -> None:
    if found != stored:
        raise IndexCorruptError(
            f"segment {segment} is not as it was committed: tercet check lists all damage; restore "
            "the file, or delete its documents and add them again"
        )


def _copy_catalogue(connection: sqlite3.Connection, target: Path) -> None:
    """Copy what a read transaction sees, without the segments that only older readers need."""
    with closing(sqlite3.connect(target, isolation_level=None)) as copy:
        connection.backup(copy)
        copy.execute("PRAGMA synchronous = FULL")
        forget_dead(copy, None)
