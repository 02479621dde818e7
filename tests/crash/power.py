"""The power fails: writes that nobody synced are lost, names too.

What the index does to its own files is recorded call by call, and played back up to some moment.
SQLite's durability is taken as documented: a COMMIT in WAL mode under `synchronous = FULL` is on
the disk when it returns, and whole or not at all before; so a commit stands in the record as one
event that holds the catalogue.
"""

import os
import random
import sqlite3
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest


@dataclass(frozen=True)
class Event:
    """Something that happened: `create`, `write`, `sync`, `remove`, `commit`, `acknowledge`."""

    what: str
    name: str = ""
    content: bytes = b""


class _Recorded:
    """An open file whose writes are recorded."""

    def __init__(self, file: Any, name: str, events: list[Event]) -> None:
        self._file, self._name, self._events = file, name, events

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, content: bytes) -> int:
        self._events.append(Event("write", self._name, bytes(content)))
        return int(self._file.write(content))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@contextmanager
def recorded() -> Iterator[list[Event]]:
    """The events of what runs inside."""
    events: list[Event] = []
    names: dict[int, str] = {}
    opened, unlink, sync = Path.open, Path.unlink, os.fsync

    def open_path(self: Path, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        file = opened(self, mode, *args, **kwargs)
        if mode != "xb":
            return file
        names[os.fstat(file.fileno()).st_ino] = self.name
        events.append(Event("create", self.name))
        return _Recorded(file, self.name, events)

    def fsync(descriptor: int) -> None:
        found = os.fstat(descriptor)
        sync(descriptor)
        folder = stat.S_ISDIR(found.st_mode)
        events.append(Event("sync names") if folder else Event("sync", names[found.st_ino]))

    def removed(self: Path, **kwargs: Any) -> None:
        unlink(self, **kwargs)
        if self.parent.name == "segments":
            events.append(Event("remove", self.name))

    class Connection(sqlite3.Connection):
        def execute(self, sql: str, *values: Any) -> Any:
            result = super().execute(sql, *values)
            if sql == "COMMIT":
                events.append(Event("commit", content=self.serialize()))
            return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "open", open_path)
        patch.setattr(Path, "unlink", removed)
        patch.setattr(os, "fsync", fsync)
        patch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=Connection))
        yield events


@dataclass
class _File:
    named: bool = False
    removed: bool = False
    synced: list[bytes] = field(default_factory=list)
    loose: list[bytes] = field(default_factory=list)


def replay(events: Sequence[Event], folder: Path, *, rng: random.Random, kept: float) -> None:
    """Make the folder that a disk holds when the power fails after these events.

    Args:
        events: What happened before.
        folder: Where to make it.
        rng: Chooses what reaches the disk by chance.
        kept: Probability of an unsynced write, name or removal to have reached it.
    """
    files, catalogue = _after(events)
    (folder / "segments").mkdir(parents=True)
    (folder / "readers").mkdir()
    (folder / "catalog.sqlite").write_bytes(catalogue)
    for name, file in files.items():
        there = file.named or rng.random() < kept
        if there and not (file.removed and rng.random() < kept):
            loose = [piece if rng.random() < kept else bytes(len(piece)) for piece in file.loose]
            content = b"".join(file.synced + (loose if kept else []))
            (folder / "segments" / name).write_bytes(content)


def _after(events: Sequence[Event]) -> tuple[dict[str, _File], bytes]:
    """Files and the catalogue after these events, and what of them is on the disk for sure."""
    files: dict[str, _File] = {}
    catalogue = b""
    for event in events:
        match event.what:
            case "create":
                files[event.name] = _File()
            case "write":
                files[event.name].loose.append(event.content)
            case "sync":
                file = files[event.name]
                file.synced, file.loose = file.synced + file.loose, []
            case "sync names":
                files = {name: file for name, file in files.items() if not file.removed}
                for file in files.values():
                    file.named = True
            case "remove":
                files[event.name].removed = True
            case "commit":
                catalogue = event.content
    return files, catalogue
