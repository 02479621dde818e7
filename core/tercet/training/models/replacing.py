"""A folder that is written beside the one it replaces, so that one of the two is always whole."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from tercet.errors import TrainingError

MODEL = "config.json"
"""A folder that has this file is a model, which another model may replace."""


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """An empty folder to write to, which takes the place of another when all went well.

    What was written is on the disk before it takes that place. If writing fails, a full disk
    included, the folder that was there is as it was; if the machine stops in between the two
    renamings, it stands beside, with `.previous` behind its name.

    Args:
        folder: The one to replace, if it is there.

    Raises:
        FileExistsError: It holds files and is no model.
        TrainingError: A file could not be written.
    """
    folder = folder.resolve()
    if folder.exists() and any(folder.iterdir()) and not (folder / MODEL).is_file():
        raise FileExistsError(
            f"{folder} holds files and is no model: a model is saved to a folder of its own"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        yield partial
        partial.chmod(0o755)  # what mkdtemp makes is for nobody else
        _sync(partial)
        _swap(partial, folder)
    except (OSError, RuntimeError, SafetensorError) as error:  # torch.save has RuntimeError
        raise TrainingError(
            f"the model could not be written to {folder}: {error}; what was there is as it was"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _swap(partial: Path, folder: Path) -> None:
    previous = folder.with_name(f"{folder.name}.previous")
    shutil.rmtree(previous, ignore_errors=True)
    if folder.exists():
        folder.rename(previous)
    try:
        partial.rename(folder)
    except OSError:
        if previous.exists():
            previous.rename(folder)
        raise
    _sync_entry(folder.parent)
    shutil.rmtree(previous, ignore_errors=True)


def _sync(folder: Path) -> None:
    """Have all files of a folder written to the disk."""
    for path in sorted(folder.rglob("*")):
        _sync_entry(path)
    _sync_entry(folder)


def _sync_entry(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
