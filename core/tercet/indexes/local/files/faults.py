"""Errors of files and of SQLite, said as errors of an index."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EACCES, EPERM, EROFS
from pathlib import Path

from tercet.errors import IndexCorruptError, IndexReadOnlyError, TercetIndexError

DAMAGED = ("malformed", "not a database", "disk image", "no such table", "no such column", "decode")
FULL_OR_FAILED = ("disk I/O error", "disk is full")


@contextmanager
def catalogue_faults(folder: Path) -> Iterator[None]:
    """Say what went wrong in the catalogue.

    Raises:
        IndexCorruptError: The catalogue is damaged.
        IndexReadOnlyError: It cannot be written.
        TercetIndexError: No space, a disk that failed, or anything else that SQLite reports.
    """
    try:
        yield
    except sqlite3.DatabaseError as error:
        said = str(error)
        if any(sign in said for sign in DAMAGED):
            raise IndexCorruptError(
                f"the catalogue {folder / 'catalog.sqlite'} is damaged ({said}); restore the folder"
            ) from error
        if "readonly" in said:
            raise IndexReadOnlyError(f"the index at {folder} cannot be written: {said}") from error
        if any(sign in said for sign in FULL_OR_FAILED):
            raise TercetIndexError(
                f"the catalogue of the index at {folder}: {said}. No space is left, or the disk "
                "failed; the index is as it was after the last commit: make room, or see to the "
                "disk, and try again"
            ) from error
        raise TercetIndexError(f"the catalogue of the index at {folder}: {said}") from error


def missing_segment(error: FileNotFoundError) -> IndexCorruptError:
    """What to say of a segment that the catalogue names and the folder lacks."""
    return IndexCorruptError(f"segment {error.filename} is missing; restore the file")


@contextmanager
def writing_faults(folder: Path) -> Iterator[None]:
    """Say why a commit failed; it left the index as it was.

    Raises:
        IndexReadOnlyError: The folder cannot be written.
        TercetIndexError: No space, or another fault of the file system.
    """
    try:
        with catalogue_faults(folder):
            yield
    except OSError as error:
        if isinstance(error, TercetIndexError):
            raise
        reason = error.strerror or str(error)
        if error.errno in (EACCES, EPERM, EROFS):
            raise IndexReadOnlyError(
                f"the index at {folder} cannot be written: {reason}"
            ) from error
        raise TercetIndexError(
            f"the index at {folder} could not be written: {reason}. It is as it was after the last "
            "commit; make room and add again, what was committed is skipped"
        ) from error
