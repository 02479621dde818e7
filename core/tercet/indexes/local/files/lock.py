"""The writer's lock: one writer at a time, among threads and processes."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import ClassVar
from weakref import WeakSet

from tercet.errors import IndexLocked

PAUSE = 0.01
"""Seconds between two attempts."""


class ForkLock:
    """A lock among threads, which a forked child finds free, whichever thread had it before."""

    _all: ClassVar["WeakSet[ForkLock]"] = WeakSet()

    def __init__(self) -> None:
        self._lock = Lock()
        self._all.add(self)

    def acquire(self, *, timeout: float = -1) -> bool:
        """Take it, or give up after some seconds."""
        return self._lock.acquire(timeout=timeout)

    def release(self) -> None:
        """Let it go."""
        self._lock.release()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    @classmethod
    def renew(cls) -> None:
        """Set all free, in a process that has one thread."""
        for lock in cls._all:
            lock._lock = Lock()


os.register_at_fork(after_in_child=ForkLock.renew)


class WriterLock:
    """`flock` on `write.lock`, and a lock among the threads of this index."""

    def __init__(self, folder: Path, *, timeout: float) -> None:
        self._path = folder / "write.lock"
        self._timeout = timeout
        self._threads = ForkLock()

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
                # Not left to `close`: a child that was forked meanwhile has the file open too.
                fcntl.flock(descriptor, fcntl.LOCK_UN)
                os.close(descriptor)
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
