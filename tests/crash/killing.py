"""A writer that dies, and a reader that looks on.

The child patches what the index calls (`os.fsync`, SQLite's COMMIT, `Path.unlink` and the like), so
that nothing in the index knows of these points.
"""

import mmap
import os
import random
import signal
import sqlite3
import stat
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from workload import State, held, open_index, script, verify

from tercet.indexes.local.writing import compaction
from tercet.indexes.local.writing import writer as commits
from tercet.indexes.local.writing.writer import Writer

POINTS = [
    f"{work}: {moment}"
    for work in ("commit", "merge")
    for moment in (
        "file created",
        "file written",
        "file synced",
        "folder synced",
        "before COMMIT",
        "after COMMIT",
    )
] + [
    "sweep: before COMMIT",
    "sweep: after COMMIT",
    "sweep: before removal",
    "sweep: after removal",
]
STEPS = 16
FANOUT = 3
"""Merges come soon."""

INLINE_BYTES = (0, 300, commits.INLINE_BYTES)
"""Each writer puts no segment into the catalogue, those of one document, or all."""


class Progress:
    """Steps that were acknowledged, and whether the writer has ended; processes share it."""

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, 2)

    @property
    def acknowledged(self) -> int:
        return self._shared[0]

    @acknowledged.setter
    def acknowledged(self, steps: int) -> None:
        self._shared[0] = steps

    @property
    def ended(self) -> bool:
        return bool(self._shared[1])

    @ended.setter
    def ended(self, value: bool) -> None:
        self._shared[1] = value


class Points:
    """Kills this process when it comes to a point for so many times."""

    def __init__(self, point: str, hit: int) -> None:
        self._point, self._left = point, hit
        self._doing = ["commit"]

    def reached(self, moment: str) -> None:
        if f"{self._doing[-1]}: {moment}" == self._point:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def within(self, work: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def inner(*args: Any, **kwargs: Any) -> Any:
            self._doing.append(work)
            try:
                return real(*args, **kwargs)
            finally:
                self._doing.pop()

        return inner

    def around(self, before: str, real: Callable[..., Any], after: str) -> Callable[..., Any]:
        def inner(*args: Any, **kwargs: Any) -> Any:
            self.reached(before)
            result = real(*args, **kwargs)
            self.reached(after)
            return result

        return inner


def arm(points: Points) -> None:
    """Let what the index calls tell the points, in this process from now on."""
    opened, sync = Path.open, os.fsync

    class Connection(sqlite3.Connection):
        def execute(self, sql: str, *values: Any) -> Any:
            run = super().execute
            if sql == "COMMIT":
                run = points.around("before COMMIT", run, "after COMMIT")
            return run(sql, *values)

    def fsync(descriptor: int) -> None:
        folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        before, after = ("", "folder synced") if folder else ("file written", "file synced")
        points.around(before, sync, after)(descriptor)

    def open_path(self: Path, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        file = opened(self, mode, *args, **kwargs)
        if mode == "xb":
            points.reached("file created")
        return file

    os.fsync = fsync
    Path.open = open_path  # type: ignore[assignment,method-assign]
    removal = points.around("before removal", Path.unlink, "after removal")
    Path.unlink = removal  # type: ignore[method-assign]
    sqlite3.connect = partial(sqlite3.connect, factory=Connection)
    compaction._merge = points.within("merge", compaction._merge)
    Writer._sweep = points.within("sweep", Writer._sweep)  # type: ignore[method-assign]


def forked(work: Callable[[], None]) -> int:
    """Do some work in a child of this process; the child's number."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:  # noqa: BLE001  a child says all that went wrong
            traceback.print_exc()
        finally:
            os._exit(code)
    return child


def ended(child: int) -> int:
    """How a child ended: its exit code, or the signal as a negative number."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def crash(path: Path, state: State, *, seed: int, point: str | None = None) -> tuple[State, bool]:
    """Run a script until the writer is killed, at a point or a random moment.

    Returns:
        What the index holds afterwards, and whether the writer was killed before its end.
    """
    rng = random.Random(seed)
    steps = script(state, seed=seed, length=STEPS)
    states = [state, *(step.after for step in steps)]
    progress = Progress()

    def write() -> None:
        compaction.FANOUT = FANOUT
        commits.INLINE_BYTES = rng.choice(INLINE_BYTES)
        if point is not None:
            arm(Points(point, rng.randint(1, 3)))
        with open_index(path) as index:
            for step in steps:
                step.run(index)
                progress.acknowledged += 1

    def read() -> None:
        while not progress.ended:
            first = progress.acknowledged
            with open_index(path, read_only=True) as index:
                found = held(index)
            last = progress.acknowledged
            assert found in states[first : last + 2], (first, last, sorted(found))

    writer, reader = forked(write), forked(read)
    if point is None:
        while not progress.acknowledged:
            time.sleep(0.001)
        time.sleep(rng.random() * 0.15)  # about as long as a script runs
        os.kill(writer, signal.SIGKILL)
    code = ended(writer)
    progress.ended = True
    assert code in (0, -signal.SIGKILL), "the writer failed"
    assert ended(reader) == 0, "the reader saw what no commit had left"
    done = progress.acknowledged
    return verify(path, states[done : done + 2]), code != 0
