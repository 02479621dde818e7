"""Disks that are full or fail: the error is clear, nothing is lost, and the index goes on."""

import errno
import os
import resource
import signal
import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from killing import ended, forked
from workload import State, held, open_index, script, verify

from tercet.errors import IndexReadOnlyError, TercetIndexError

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
"""Python 3.12 warns of a fork beside threads; the children here take none of their locks."""

FULL = OSError(errno.ENOSPC, "No space left on device")
FAILED = OSError(errno.EIO, "Input/output error")
REFUSED = PermissionError(errno.EACCES, "Permission denied")
SQL_FULL = sqlite3.OperationalError("database or disk is full")
SQL_FAILED = sqlite3.OperationalError("disk I/O error")
SQL_READ_ONLY = sqlite3.OperationalError("attempt to write a readonly database")


def failing(real: Callable[..., Any], error: Exception, *, at: int) -> Callable[..., Any]:
    """The same call, which fails for once."""
    calls = iter(range(1, 1_000_000))

    def call(*args: Any, **kwargs: Any) -> Any:
        if next(calls) == at:
            raise error
        return real(*args, **kwargs)

    return call


def refusal(work: Callable[[], object]) -> TercetIndexError | None:
    """The error that some work ends with, if it does."""
    try:
        work()
    except TercetIndexError as error:
        return error
    return None


def break_open(patch: pytest.MonkeyPatch, error: Exception, at: int) -> None:
    patch.setattr(Path, "open", failing(Path.open, error, at=at))


def break_sync(patch: pytest.MonkeyPatch, error: Exception, at: int) -> None:
    patch.setattr(os, "fsync", failing(os.fsync, error, at=at))


def break_removal(patch: pytest.MonkeyPatch, error: Exception, at: int) -> None:
    real = Path.unlink
    breaking = failing(real, error, at=min(at, 1))  # few files go in a sweep

    def unlink(path: Path, **kwargs: Any) -> None:
        (breaking if path.parent.name == "segments" else real)(path, **kwargs)

    patch.setattr(Path, "unlink", unlink)


def break_sql(patch: pytest.MonkeyPatch, error: Exception, at: int, *, sql: str) -> None:
    class Connection(sqlite3.Connection):
        def execute(self, statement: str, *values: Any) -> Any:
            run = super().execute
            return (breaking if statement.startswith(sql) else run)(
                *((self, statement) if statement.startswith(sql) else (statement,)), *values
            )

    breaking = failing(sqlite3.Connection.execute, error, at=at)
    patch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=Connection))


FAULTS: dict[str, tuple[Callable[..., None], Exception, type[TercetIndexError], str]] = {
    "open full": (break_open, FULL, TercetIndexError, "No space left on device"),
    "open refused": (break_open, REFUSED, IndexReadOnlyError, "Permission denied"),
    "sync full": (break_sync, FULL, TercetIndexError, "No space left on device"),
    "sync failed": (break_sync, FAILED, TercetIndexError, "Input/output error"),
    "removal refused": (break_removal, REFUSED, IndexReadOnlyError, "Permission denied"),
    "begin read-only": (
        partial(break_sql, sql="BEGIN IMMEDIATE"),
        SQL_READ_ONLY,
        IndexReadOnlyError,
        "readonly",
    ),
    "insert full": (partial(break_sql, sql="INSERT"), SQL_FULL, TercetIndexError, "No space"),
    "commit full": (partial(break_sql, sql="COMMIT"), SQL_FULL, TercetIndexError, "No space"),
    "commit failed": (partial(break_sql, sql="COMMIT"), SQL_FAILED, TercetIndexError, "No space"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_said_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    inject, error, kind, said = FAULTS[fault]
    open_index(tmp_path / "index").close()
    steps = script({}, seed=3, length=16)
    state: State = {}
    raised = 0
    for n, step in enumerate(steps):
        with monkeypatch.context() as patch:
            inject(patch, error, 1 + n % 3)
            with open_index(tmp_path / "index") as index:
                if found := refusal(partial(step.run, index)):
                    assert isinstance(found, kind)
                    assert said in str(found)
                    assert held(index) == state
                    raised += 1
        with open_index(tmp_path / "index") as index:
            step.run(index)  # what was refused goes through the next time
            state = step.after
            assert held(index) == state
    assert raised
    verify(tmp_path / "index", [state])


def test_a_disk_that_is_full_indeed_keeps_what_was_committed(tmp_path: Path) -> None:
    path = tmp_path / "index"
    open_index(path).close()
    steps = script({}, seed=1, length=400)
    states = [{}, *(step.after for step in steps)]
    reached = tmp_path / "reached"

    def fill() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (120_000, 120_000))
        done = 0
        with open_index(path) as index:
            while not (found := refusal(partial(steps[done].run, index))):
                done += 1
            assert "File too large" in str(found) or "No space" in str(found), found
            assert held(index) == states[done]
        reached.write_text(str(done))

    assert ended(forked(fill)) == 0
    done = int(reached.read_text())
    assert 0 < done < len(steps)
    verify(path, [states[done]])
