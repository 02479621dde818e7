"""The embedded index: a folder on a local disk, one writer at a time, any number of readers."""

import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from os import PathLike
from pathlib import Path
from typing import Self
from urllib.parse import unquote, urlsplit

import numpy as np
from numpy.typing import NDArray

from tercet.documents import AddReport, Document, clean
from tercet.embeddings import Embeddings, EncoderSpec, Representation
from tercet.errors import IndexReadOnlyError, TercetIndexError, check_texts
from tercet.filters import Expression, Filter, parse_filter
from tercet.indexes.base import Index
from tercet.indexes.checks import Dimensions, check_documents, check_embeddings
from tercet.indexes.content import content_hash
from tercet.indexes.local.columns.shortlists import Rows
from tercet.indexes.local.files.catalog import Connections, read_generation, read_meta
from tercet.indexes.local.files.faults import missing_segment
from tercet.indexes.local.reading.quality import Measurement, measure
from tercet.indexes.local.reading.rows import ids_of, numbers_of, stored_hashes
from tercet.indexes.local.reading.search import LocalReader
from tercet.indexes.local.reading.snapshot import Snapshot, Snapshots
from tercet.indexes.local.upkeep.backup import backup
from tercet.indexes.local.upkeep.check import CheckReport, check
from tercet.indexes.local.upkeep.folder import Opened, forget_creation, open_folder
from tercet.indexes.local.upkeep.statistics import stats_of
from tercet.indexes.local.writing.build_report import (
    NOTHING,
    Arrived,
    is_report_due,
    is_report_old,
    keep_report,
    report_build,
)
from tercet.indexes.local.writing.compaction import compact, merge_small, train_large
from tercet.indexes.local.writing.writer import Writer
from tercet.indexes.reader import IndexStats
from tercet.indexes.storage import Storage
from tercet.scoring.devices import check_device

SCAN_DOCUMENTS = 1000
"""Documents of a batch of `scan`."""


class LocalIndex(Index):
    """An index in a folder of a local disk; `Index.open` opens it.

    Not for network file systems: SQLite's log and the locks need memory that processes share.
    """

    def __init__(self, opened: Opened, *, timeout: float) -> None:
        super().__init__(opened.meta.spec, opened.meta.representations)
        self._folder = opened.folder
        self._connections = opened.connections
        self._read_only = opened.read_only
        self._dimensions = opened.meta.dimensions
        self._marked, self._created = opened.marked, opened.created
        self._snapshots = Snapshots(opened.folder, self._representations, marked=opened.marked)
        self._writer = Writer(
            opened.folder,
            opened.connections,
            self._snapshots,
            self._representations,
            timeout=timeout,
            storage=opened.meta.storage,
        )
        self._finalizer = weakref.finalize(self, _close, self._connections, self._snapshots)

    @classmethod
    def connect(
        cls,
        address: str,
        *,
        spec: EncoderSpec | None,
        read_only: bool | None,
        timeout: float,
        representations: tuple[Representation, ...] | None,
        storage: Storage | None,
    ) -> Self:
        """Open or create the index of a folder; callers use `Index.open`."""
        path = unquote(urlsplit(address).path) if address.startswith("file://") else address
        opened = open_folder(
            Path(path),
            spec=spec,
            representations=representations,
            storage=storage,
            read_only=read_only,
            timeout=timeout,
        )
        return cls(opened, timeout=timeout)

    @property
    def path(self) -> Path:
        """Its folder."""
        return self._folder

    @property
    def read_only(self) -> bool:
        """Whether it refuses to change."""
        return self._read_only

    @property
    def dimensions(self) -> Dimensions:
        """E of each view that has one; learned from the first vectors where the spec is silent."""
        expected = {view for view in self._representations if view is not Representation.SPARSE}
        if expected - set(self._dimensions):
            with self._connections.reading() as connection:
                self._dimensions = read_meta(connection).dimensions
        return self._dimensions

    @contextmanager
    def reading(self) -> Iterator[LocalReader]:
        """One read transaction with its snapshot."""
        with ExitStack() as stack:
            yield self._enter(stack)

    def unchanged(self, documents: Sequence[Document]) -> NDArray[np.bool_]:
        """Which documents stand in the index as they are, made by its own model, [N]."""
        check_documents(documents)
        with self._connections.reading() as connection:
            stored = stored_hashes(connection, [document.id for document in documents])
        return np.asarray(
            [
                document.id in stored
                and stored[document.id][1] == content_hash(clean(document), self._spec.document_id)
                for document in documents
            ],
            dtype=np.bool_,
        )

    def ids(self, filter: Filter | None = None) -> list[str]:
        """Ids of all documents, or of those that pass, in the order of ids."""
        expression = parse_filter(filter)
        if expression is None:
            with self._connections.reading() as connection:
                found = connection.execute("SELECT id FROM documents ORDER BY id")
                return [id_ for (id_,) in found]
        with self.reading() as reader:
            rows = reader.select(expression)
            return sorted(ids_of(reader.connection, reader.snapshot, rows))

    def embeddings(self, ids: Sequence[str]) -> Embeddings:
        """Stored views of N documents, decoded, in the order asked."""
        check_texts(ids, name="ids")
        with self.reading() as reader:
            rows = numbers_of(reader.connection, reader.snapshot, ids)
            return self._decode(reader.snapshot, rows)

    def scan(
        self,
        filter: Filter | None = None,
    ) -> Iterator[tuple[list[Document], Embeddings]]:
        """All documents with their stored views, decoded, batch by batch: for copies."""
        return self._scan(parse_filter(filter))

    def delete(self, ids: Sequence[str]) -> int:
        """Remove documents; how many were there."""
        check_texts(ids, name="ids")
        self._check_writable()
        return self._writer.delete(ids)

    def delete_where(self, filter: Filter) -> int:
        """Remove the documents that pass; how many there were."""
        expression = parse_filter(filter)
        if expression is None:
            raise TypeError("delete_where needs a filter; clear() removes all documents")
        self._check_writable()
        return self._writer.delete_where(expression)

    def clear(self) -> None:
        """Remove all documents."""
        self._check_writable()
        self._writer.clear()

    def __len__(self) -> int:
        with self.reading() as reader:
            return len(reader.snapshot.live)

    def stats(self) -> IndexStats:
        """What it holds, in numbers."""
        with self.reading() as reader:
            return stats_of(reader, self._folder)

    def move_to(self, device: str) -> None:
        """Compare dense and token vectors by torch on a device, as `Index.move_to` says."""
        self._snapshots.move_to(check_device(device))

    def measure(self, queries: Embeddings, *, k: int = 10) -> Mapping[Representation, Measurement]:
        """What a search finds of the exact top k, and how long both take, in each stored view.

        Exact means compared with everything, as it is stored. What storage itself loses shows in
        `stats().token_vectors.report`, which the index makes by itself: of late interaction
        alone, with queries made of its own documents.

        Args:
            queries: Views of M queries, real ones at best.
            k: How many hits are compared.

        Returns:
            One measurement for each view that the queries have and the index stores.

        Raises:
            ValueError: There is no query.
            MissingViewError: There is no such view.
            ModelMismatchError: The queries come from another model.
        """
        check_embeddings(queries, name="queries")
        return measure(
            queries,
            self._stored.shared(queries),
            lambda query, view, exact: self.search(query, k=k, plan=view.value, exact=exact)[0],
        )

    def compact(self) -> None:
        """Rewrite the live rows as one segment, and give back the space of the others."""
        self._check_writable()
        compact(self._writer, self._connections, self._representations)
        if is_report_old(self._connections):
            self._report_build(NOTHING)

    def check(self) -> CheckReport:
        """Read everything that was committed and compare it with its hashes; takes no lock."""
        return check(self._connections, marked=self._marked)

    def backup(self, folder: str | PathLike[str]) -> None:
        """Write the last commit to a new folder, while others search and write; it takes no lock.

        Raises:
            TercetIndexError: The folder is not empty, stands inside the index, or is not writable.
            IndexCorruptError: A segment is not as it was committed.
        """
        backup(self._connections, Path(folder), marked=self._marked)

    def close(self) -> None:
        """Let go of files and connections; closing twice is fine."""
        self._finalizer()

    def __exit__(self, kind: object = None, *_: object) -> None:
        self.close()
        if kind is not None and self._created:  # a first batch that failed leaves no index behind
            forget_creation(self._folder, timeout=0)

    def __repr__(self) -> str:
        return f"LocalIndex({str(self._folder)!r})"

    def _write(self, documents: Sequence[Document], embeddings: Embeddings) -> AddReport:
        self._check_writable()
        report = AddReport()
        for committed in self._writer.commits(documents, embeddings):
            report += committed
            merge_small(self._writer, self._connections, self._representations)
            train_large(self._writer, self._connections, self._representations)
        if is_report_due(self._connections):
            self._report_build(Arrived.of(documents, embeddings))
        return report

    def _report_build(self, arrived: Arrived) -> None:
        """Measure what was built; where that fails, it is built all the same."""
        if Representation.MULTI_VECTOR not in self._representations:
            return
        with suppress(TercetIndexError):
            with self.reading() as reader:
                measured = report_build(reader, arrived, build_seconds=self._writer.seconds)
            keep_report(self._writer, self._connections, measured)

    def _check_writable(self) -> None:
        if self._read_only:
            raise IndexReadOnlyError(
                f"the index at {self._folder} was opened for reading, or cannot be written"
            )

    def _enter(self, stack: ExitStack) -> LocalReader:
        """A look at the index; taken again where a compaction swept files away meanwhile."""
        failed = -1
        while True:
            with ExitStack() as attempt:
                connection = attempt.enter_context(self._connections.reading())
                try:
                    snapshot = attempt.enter_context(self._snapshots.lease(connection))
                except FileNotFoundError as error:
                    generation = read_generation(connection)
                    if generation == failed:
                        raise missing_segment(error) from error
                    failed = generation
                else:
                    stack.enter_context(attempt.pop_all())
                    return LocalReader(connection, snapshot)

    def _scan(self, expression: Expression | None) -> Iterator[tuple[list[Document], Embeddings]]:
        with self.reading() as reader:
            rows = reader.select(expression)
            for start in range(0, len(rows), SCAN_DOCUMENTS):
                chosen = rows[start : start + SCAN_DOCUMENTS]
                ids = ids_of(reader.connection, reader.snapshot, chosen)
                found = reader.documents(ids)
                yield [found[id_] for id_ in ids], self._decode(reader.snapshot, chosen)

    def _decode(self, snapshot: Snapshot, rows: Rows) -> Embeddings:
        views = snapshot.decode(rows, self._representations, self.dimensions)
        return Embeddings(**views, model_id=self._spec.model_id, document_id=self._spec.document_id)


def _close(connections: Connections, snapshots: Snapshots) -> None:
    snapshots.close()
    connections.close()
