"""The folder of an embedded index: created, or opened the way that its permissions allow."""

import os
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from tercet.embeddings import EncoderSpec, Representation
from tercet.errors import (
    IndexNotFoundError,
    IndexReadOnlyError,
    TercetIndexError,
)
from tercet.indexes.checks import (
    check_same_model,
    check_stored_views,
    chosen_views,
    spec_dimensions,
)
from tercet.indexes.local.files.catalog import (
    FORMAT,
    Connections,
    Meta,
    create,
    is_laid_out,
    read_format,
    read_generation,
    read_meta,
)
from tercet.indexes.local.files.faults import writing_faults
from tercet.indexes.local.files.lock import WriterLock
from tercet.indexes.local.files.migrations import migrate
from tercet.indexes.local.files.readers import oldest_read
from tercet.indexes.local.files.segments import sync_folder
from tercet.indexes.local.upkeep.check import CheckReport, check
from tercet.indexes.storage import Storage

CATALOG = "catalog.sqlite"
OURS = frozenset({CATALOG, "write.lock", "segments", "readers"})


@dataclass(frozen=True, slots=True)
class Opened:
    """An index folder, ready for use.

    Attributes:
        folder: Where it is.
        connections: To its catalogue.
        meta: What the catalogue says.
        read_only: Whether commits are refused.
        marked: Whether readers leave marks, since somebody else may write.
        created: Whether there was none before.
    """

    folder: Path
    connections: Connections
    meta: Meta
    read_only: bool
    marked: bool
    created: bool


def open_folder(
    folder: Path,
    *,
    spec: EncoderSpec | None,
    representations: tuple[Representation, ...] | None,
    storage: Storage | None,
    read_only: bool | None,
    timeout: float,
) -> Opened:
    """Open the index of a folder; create it where there is none, a spec is given and it may be.

    Raises:
        IndexNotFoundError: No index there, and no spec to create one.
        IndexReadOnlyError: The folder cannot be written, and `read_only` is False.
        ModelMismatchError: The index holds another model's vectors.
    """
    created = spec is not None and not read_only and not _is_index(folder, timeout=timeout)
    if spec is not None and created:
        views = chosen_views(spec, representations)
        _create(folder, spec=spec, views=views, storage=storage or Storage(), timeout=timeout)
    if not (folder / CATALOG).is_file():
        raise _not_found(folder)
    writable = _is_writable(folder)
    if read_only is False and not writable:
        raise IndexReadOnlyError(f"the index at {folder} was opened for writing, and cannot be")
    if writable:
        (folder / "segments").mkdir(exist_ok=True)
        (folder / "readers").mkdir(exist_ok=True)
    parameters = _parameters(folder, read_only=bool(read_only), writable=writable)
    connections = Connections(folder, parameters=parameters, timeout=timeout)
    try:
        if writable and not read_only:
            _move_on(connections, timeout=timeout)
        meta = _meta(connections, spec=spec, representations=representations)
        _check_storage(folder, storage, meta.storage)
    except BaseException:
        connections.close()
        raise
    return Opened(
        folder, connections, meta, bool(read_only) or not writable, _may_mark(folder), created
    )


def _move_on(connections: Connections, *, timeout: float) -> None:
    """Bring an index of an older format to the present one."""
    with connections.reading() as connection:
        if not is_laid_out(connection) or read_format(connection) >= FORMAT:
            return
    with (
        writing_faults(connections.folder),
        WriterLock(connections.folder, timeout=timeout).held(),
        connections.writing() as connection,
    ):
        migrate(connection)


def check_folder(folder: Path, *, timeout: float) -> CheckReport:
    """Compare the index of a folder with its hashes, also where it cannot be opened any more.

    Raises:
        IndexNotFoundError: No index there.
        IndexCorruptError: The catalogue is damaged so much that nothing can be compared.
    """
    if not (folder / CATALOG).is_file():
        raise _not_found(folder)
    parameters = _parameters(folder, read_only=True, writable=_is_writable(folder))
    with closing(Connections(folder, parameters=parameters, timeout=timeout)) as connections:
        return check(connections, marked=_may_mark(folder))


def _may_mark(folder: Path) -> bool:
    return os.access(folder / "readers", os.W_OK)


def forget_creation(folder: Path, *, timeout: float) -> None:
    """Remove an index that came to no commit and that nobody reads; others are left alone."""
    with suppress(TercetIndexError), WriterLock(folder, timeout=timeout).held():
        with (
            closing(Connections(folder, parameters="mode=ro", timeout=timeout)) as connections,
            connections.reading() as connection,
        ):
            used = read_generation(connection) > 0
        if not used and oldest_read(folder / "readers") is None:
            for name in (CATALOG, f"{CATALOG}-wal", f"{CATALOG}-shm", "write.lock"):
                (folder / name).unlink(missing_ok=True)
            with suppress(OSError):  # somebody's files are in it
                for place in (folder / "segments", folder / "readers", folder):
                    place.rmdir()


def _is_writable(folder: Path) -> bool:
    return os.access(folder, os.W_OK) and os.access(folder / CATALOG, os.W_OK)


def _is_index(folder: Path, *, timeout: float) -> bool:
    """Whether the folder holds an index; where a creation was interrupted, it may not."""
    if not (folder / CATALOG).is_file():
        return False
    parameters = _parameters(folder, read_only=True, writable=_is_writable(folder))
    connections = Connections(folder, parameters=parameters, timeout=timeout)
    try:
        with connections.reading() as connection:
            return is_laid_out(connection)
    finally:
        connections.close()


def _parameters(folder: Path, *, read_only: bool, writable: bool) -> str:
    """How SQLite opens the catalogue."""
    if writable:
        return "mode=ro" if read_only else "mode=rw"
    wal = folder / f"{CATALOG}-wal"
    # "immutable" looks at no log: commits that only stand there would be lost to the reader.
    pending = wal.exists() and wal.stat().st_size > 0
    return "mode=ro" if pending else "mode=ro&immutable=1"


def _create(
    folder: Path,
    *,
    spec: EncoderSpec,
    views: tuple[Representation, ...],
    storage: Storage,
    timeout: float,
) -> None:
    dimensions = {view: dim for view, dim in spec_dimensions(spec).items() if view in views}
    with writing_faults(folder):
        _refuse_files(folder)
        folder.mkdir(parents=True, exist_ok=True)
        foreign = sorted(p.name for p in folder.iterdir() if p.name.split("-")[0] not in OURS)
        if foreign:
            raise TercetIndexError(
                f"{folder} holds no index but other files, as {foreign[0]!r}: give a new folder"
            )
        connections = Connections(folder, parameters="mode=rwc", timeout=timeout)
        try:
            with WriterLock(folder, timeout=timeout).held(), connections.connection() as connection:
                (folder / "segments").mkdir(exist_ok=True)
                (folder / "readers").mkdir(exist_ok=True)
                if not is_laid_out(connection):
                    create(connection, Meta(spec, views, dimensions, storage=storage))
        finally:
            connections.close()
        sync_folder(folder)
        sync_folder(folder.absolute().parent)


def _refuse_files(folder: Path) -> None:
    """Refuse a file in the place of the folder, or of one above it."""
    file = next((place for place in (folder, *folder.parents) if place.is_file()), None)
    if file is not None:
        raise TercetIndexError(f"{file} is a file; an index is a folder: give another path")


def _meta(
    connections: Connections,
    *,
    spec: EncoderSpec | None,
    representations: tuple[Representation, ...] | None,
) -> Meta:
    folder = connections.folder
    with connections.reading() as connection:
        if not is_laid_out(connection):
            raise _not_found(folder)
        meta = read_meta(connection)
    if spec is not None:
        check_same_model(spec, meta.spec, where=str(folder))
    check_stored_views(representations, meta.representations, where=str(folder))
    return meta


def _check_storage(folder: Path, asked: Storage | None, found: Storage) -> None:
    if asked is not None and asked != found:
        raise ValueError(
            f"the index at {folder} was created with {found}; it was opened with {asked}: open it "
            "without storage="
        )


def _not_found(folder: Path) -> IndexNotFoundError:
    if folder.is_file():
        return IndexNotFoundError(f"{folder} is a file; an index is a folder: name another place")
    return IndexNotFoundError(
        f"no index at {folder}; to create one, tercet index ... --to {folder}, or in Python "
        'Retriever.create(path, model="tercet/mini") or Index.open(path, spec=encoder.spec)'
    )
