"""Marks of readers: which generations are still being read, in files of the folder `readers/`.

A mark is called `<generation>-<uuid>` and its reader holds a lock on it, so that the mark of a
process that died is known by its lock being free.
"""

import contextlib
import fcntl
import os
import sqlite3
import uuid
from collections.abc import Iterator
from pathlib import Path

from tercet.indexes.local.files.catalog import Connections, read_generation
from tercet.indexes.local.files.lock import try_lock


@contextlib.contextmanager
def standing_read(connections: Connections, *, marked: bool) -> Iterator[sqlite3.Connection]:
    """A read transaction whose files stay, whatever is committed and compacted meanwhile."""
    with contextlib.ExitStack() as stack:
        while True:
            with connections.reading() as before:
                generation = read_generation(before)
            with contextlib.ExitStack() as attempt:
                if marked:
                    mark = ReaderMark(connections.folder / "readers", generation)
                    attempt.callback(mark.release)
                connection = attempt.enter_context(connections.reading())
                # The mark was there before this look, so no sweep has taken a file that it sees.
                if read_generation(connection) == generation:
                    stack.enter_context(attempt.pop_all())
                    break
        yield connection


class ReaderMark:
    """Says that this process reads a generation, until it is let go."""

    def __init__(self, folder: Path, generation: int) -> None:
        self._process = os.getpid()
        name = uuid.uuid4().hex
        hidden = folder / f".{name}"
        self._path = folder / f"{generation}-{name}"
        self._descriptor = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        # Locked before it has its name: whoever sees the name sees the lock.
        fcntl.flock(self._descriptor, fcntl.LOCK_SH)
        hidden.rename(self._path)

    def release(self) -> None:
        """Take the mark away; where that fails, it is free all the same, and the next sweep's."""
        if self._process == os.getpid():  # a forked child leaves its parent's mark
            with contextlib.suppress(OSError):
                self._path.unlink()
        os.close(self._descriptor)


def oldest_read(folder: Path) -> int | None:
    """The oldest generation that a living process reads; marks of dead ones are removed."""
    living: list[int] = []
    for path in folder.iterdir():
        generation = path.name.partition("-")[0]
        if not generation.isdecimal():
            continue
        with contextlib.suppress(FileNotFoundError):
            if _is_free(path):
                path.unlink()
            else:
                living.append(int(generation))
    return min(living, default=None)


def _is_free(path: Path) -> bool:
    descriptor = os.open(path, os.O_RDWR)
    try:
        return try_lock(descriptor)
    finally:
        os.close(descriptor)
