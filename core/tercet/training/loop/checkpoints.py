"""Checkpoints of a run: a folder each, which has its name only when it is whole."""

import os
import shutil
from pathlib import Path

CHECKPOINT = "checkpoint-"
"""What a checkpoint's folder is called before the number of its step."""

WRITING = ".writing"
"""Folder of a checkpoint that is not yet whole."""


def last_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint of a run; None where there is none."""
    found = _by_step(folder)
    return found[-1] if found else None


def publish(folder: Path, step: int, *, keep: int) -> None:
    """Give a checkpoint its name, and remove the oldest ones.

    Args:
        folder: Of the run; the checkpoint is complete in its folder `.writing`.
        step: Of the checkpoint.
        keep: How many checkpoints stay, this one included.
    """
    place = folder / f"{CHECKPOINT}{step}"
    whole = folder / WRITING / place.name
    for path in [*whole.rglob("*"), whole]:
        _sync(path)
    shutil.rmtree(place, ignore_errors=True)
    whole.rename(place)
    _sync(folder)
    shutil.rmtree(folder / WRITING)
    for old in _by_step(folder)[:-keep]:
        shutil.rmtree(old)


def _by_step(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"{CHECKPOINT}*"), key=_step)


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix(CHECKPOINT))


def _sync(path: Path) -> None:
    """Bring a file or the entries of a folder to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
