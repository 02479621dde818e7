"""The writer's lock: one writer at a time, among threads and processes."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from tercet.errors import IndexLocked

PAUSE = 0.01
"""Seconds between two attempts."""


class WriterLock:
    """`flock` on `write.lock`, and a lock among the threads of this index."""

    def __init__(self, folder: Path, *, timeout: float) -> None:
        self._path = folder / "write.lock"
        self._timeout = timeout
        self._threads = Lock()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock for a batch.

        Raises:
            IndexLocked: Another writer kept it for longer than the timeout.
        """
        deadline = time.monotonic() + self._timeout
        if not self._threads.acquire(timeout=max(self._timeout, 0)):
            raise self._refusal()
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                while not try_lock(descriptor):
                    if time.monotonic() >= deadline:
                        raise self._refusal()
                    time.sleep(PAUSE)
                yield
            finally:
                os.close(descriptor)  # lets go of the lock
        finally:
            self._threads.release()

    def _refusal(self) -> IndexLocked:
        return IndexLocked(
            f"another writer holds the index at {self._path.parent} for more than "
            f"{self._timeout:g} s: wait for it, or open the index with a longer timeout="
        )


def try_lock(descriptor: int) -> bool:
    """Take the lock of an open file, if nobody has it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
