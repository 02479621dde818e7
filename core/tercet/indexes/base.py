"""An index: documents with their views, and rankings of them.

`search` is written once. An engine provides a `Reader`, whose `collect` answers with the candidates
of a plan and their exact scores; fusing, cutting and fetching are done here.
"""

import asyncio
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from importlib import import_module
from os import PathLike, fspath
from pathlib import Path
from typing import NoReturn, Self

import numpy as np
from numpy.typing import NDArray

from tercet.documents import AddReport, Document, cleaned
from tercet.embeddings import Embeddings, EncoderSpec, Reduction, Representation
from tercet.errors import check_texts
from tercet.filters import Filter
from tercet.fusion import query_tokens
from tercet.indexes.checks import (
    Dimensions,
    check_dimensions,
    check_document_model,
    check_documents,
    check_embeddings,
    check_representations,
    check_spec,
    check_views,
)
from tercet.indexes.reader import IndexStats, Reader
from tercet.indexes.searching import Stored, ids_of, rankings
from tercet.indexes.storage import Storage
from tercet.plans import Plan
from tercet.ranking import Ranking

ENGINES = {
    "file": "tercet.indexes.local.index:LocalIndex",
    "qdrant": "tercet.indexes.qdrant.index:QdrantIndex",
    "qdrant+https": "tercet.indexes.qdrant.index:QdrantIndex",
}
"""The engines: scheme of the address to class, imported when the scheme is asked for."""

SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
TIMEOUT = 60.0
"""Seconds that a writer waits for another one."""


class Index(ABC):
    """Documents with their views, searched by plans."""

    _address = ""  # `open` knows it

    def __init__(self, spec: EncoderSpec, representations: Sequence[Representation]) -> None:
        self._spec = spec
        self._representations = tuple(representations)

    @classmethod
    def open(
        cls,
        where: str | PathLike[str],
        *,
        spec: EncoderSpec | None = None,
        read_only: bool | None = None,
        timeout: float = TIMEOUT,
        representations: Sequence[Representation | str] | None = None,
        storage: Storage | None = None,
        device: str | None = None,
    ) -> "Index":
        """Open an index, and create it where there is none and a spec is given.

        Args:
            where: A folder, or an address whose scheme names the engine; never empty.
            spec: The encoder's; an index of another model is refused.
            read_only: None reads only where the place cannot be written.
            timeout: Seconds to wait for another writer.
            representations: The views to store, of those that the model makes; None stores all.
            storage: How a new index stores vectors; None leaves that to the engine.
            device: Where torch compares dense and token vectors, "cuda" say; None compares them on
                the CPU without torch. For folders alone.

        Raises:
            IndexNotFoundError: No index there, and no spec to create one.
            ModelMismatchError: The index holds another model's vectors.
            ValueError: No such engine, view or device.
        """
        check_spec(spec)
        address = fspath(where)
        if not address:
            raise ValueError("the place of the index is empty; '.' is the current folder")
        found = SCHEME.match(address)
        scheme = found[1] if found else "file"
        if scheme not in ENGINES:
            raise ValueError(f"no engine '{scheme}://'; there are: {', '.join(ENGINES)}")
        module, name = ENGINES[scheme].split(":")
        engine: type[Index] = getattr(import_module(module), name)
        views = None if representations is None else check_representations(representations)
        index = engine.connect(
            address,
            spec=spec,
            read_only=read_only,
            timeout=timeout,
            representations=views,
            storage=storage,
        )
        index._address = address if found else str(Path(address).resolve())
        if device is not None:
            with ExitStack() as stack:
                stack.callback(index.close)
                index.move_to(device)
                stack.pop_all()
        return index

    @classmethod
    @abstractmethod
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
        """Open or create an index of this engine; callers use `Index.open`."""

    @property
    def address(self) -> str:
        """Where it is, as `Index.open` takes it from any working directory."""
        return self._address

    @property
    def spec(self) -> EncoderSpec:
        """The model whose vectors it holds."""
        return self._spec

    @property
    def representations(self) -> tuple[Representation, ...]:
        """The views that it stores."""
        return self._representations

    @property
    @abstractmethod
    def dimensions(self) -> Dimensions:
        """E of each view that has one; a view is missing as long as nothing says its length."""

    @abstractmethod
    def reading(self) -> AbstractContextManager[Reader]:
        """A consistent look at the index."""

    def add(self, documents: Sequence[Document], embeddings: Embeddings) -> AddReport:
        """Write documents with their views; a document with the same id is replaced.

        Args:
            documents: N documents; of several with one id the last wins.
            embeddings: Their views, in the same order.

        Returns:
            What was written, replaced, and skipped because it was there already.

        Raises:
            ModelMismatchError: Vectors of another model, or of other document options.
            MissingViewError: A view that the index stores is missing.
            IndexLocked: Another writer held the index for longer than the timeout.
        """
        chosen, views, repeated = self._checked(documents, embeddings)
        return (self._write(chosen, views) if chosen else AddReport()) + repeated

    def _checked(
        self, documents: Sequence[Document], embeddings: Embeddings
    ) -> tuple[list[Document], Embeddings, AddReport]:
        """Documents with distinct ids and their views; what is said of the other ones."""
        check_documents(documents)
        check_embeddings(embeddings, name="embeddings")
        if len(documents) != len(embeddings):
            raise ValueError(f"{len(documents)} documents, but embeddings of {len(embeddings)}")
        check_document_model(embeddings, self._spec)
        check_views(self._representations, embeddings, name="embeddings", what="this index stores")
        check_dimensions(embeddings, self.dimensions, name="documents")
        last = {document.id: place for place, document in enumerate(documents)}
        chosen, views = list(documents), embeddings
        if len(last) < len(documents):
            chosen, views = [documents[i] for i in last.values()], embeddings.take([*last.values()])
        repeated = tuple(i for i, n in Counter(d.id for d in documents).items() if n > 1)
        return cleaned(chosen), views, AddReport(duplicate_ids=repeated)

    @abstractmethod
    def _write(self, documents: Sequence[Document], embeddings: Embeddings) -> AddReport:
        """Write documents with distinct ids."""

    @abstractmethod
    def unchanged(self, documents: Sequence[Document]) -> NDArray[np.bool_]:
        """Which documents stand in the index as they are, made by its own model, [N]."""

    def search(
        self,
        queries: Embeddings,
        *,
        k: int = 5,
        plan: str | Plan | None = None,
        filter: Filter | None = None,
        exact: bool = False,
    ) -> list[Ranking]:
        """Rank documents for each query.

        Args:
            queries: Views of M queries.
            k: How many hits a query at most.
            plan: A plan or its name; None takes the default of the views that both sides have.
            filter: Which documents may be found.
            exact: Compare with every stored vector, where an engine would approximate.

        Returns:
            M rankings, each hit with the score of every view that the plan used.

        Raises:
            MissingViewError: The plan uses a view that the index or the queries lack.
            ModelMismatchError: The queries come from another model.
        """
        asked = self._stored.asked(queries, k=k, plan=plan, filter=filter, exact=exact)
        with self.reading() as reader:
            best = asked.best(
                reader.collect(queries, asked.plan, filter=asked.filter, exact=asked.exact)
            )
            documents = reader.documents(ids_of(best))
        return rankings(best, documents)

    def score(
        self, queries: Embeddings, ids: Sequence[str], *, reduction: Reduction | None = None
    ) -> dict[Representation, NDArray[np.float32]]:
        """Exact scores of given documents, in every view that queries and index have.

        Args:
            queries: Views of M queries.
            ids: Ids of N documents.
            reduction: Of late interaction; None takes the model's own.

        Returns:
            Scores of each view, [M, N].

        Raises:
            LookupError: The index lacks one of the documents.
        """
        check_texts(ids, name="ids")
        check_embeddings(queries, name="queries")
        views = [view for view in self._representations if view in queries.representations]
        self._stored.check(queries, views)
        with self.reading() as reader:
            scores = reader.score(queries, views, ids)
        late = Representation.MULTI_VECTOR
        if late in scores and (reduction or self._spec.reduction) == "mean":
            scores[late] = scores[late] / query_tokens(queries).astype(np.float32)[:, None]
        return scores

    def get(self, ids: Sequence[str]) -> list[Document]:
        """The documents found, in the order asked; missing ids are left out."""
        check_texts(ids, name="ids")
        with self.reading() as reader:
            found = reader.documents(ids)
        return [found[id_] for id_ in ids if id_ in found]

    @abstractmethod
    def ids(self, filter: Filter | None = None) -> list[str]:
        """Ids of all documents, or of those that pass, in the order of ids."""

    @abstractmethod
    def embeddings(self, ids: Sequence[str]) -> Embeddings:
        """Stored views of N documents, decoded, in the order asked.

        Raises:
            LookupError: The index lacks one of them.
        """

    @abstractmethod
    def scan(self, filter: Filter | None = None) -> Iterator[tuple[list[Document], Embeddings]]:
        """All documents with their stored views, decoded, batch by batch: for copies."""

    @abstractmethod
    def delete(self, ids: Sequence[str]) -> int:
        """Remove documents; how many were there."""

    @abstractmethod
    def delete_where(self, filter: Filter) -> int:
        """Remove the documents that pass; how many there were."""

    @abstractmethod
    def clear(self) -> None:
        """Remove all documents."""

    @abstractmethod
    def __len__(self) -> int: ...

    def __bool__(self) -> bool:
        """True though it may be empty: an index is a place, not a list."""
        return True

    @abstractmethod
    def stats(self) -> IndexStats:
        """What it holds, in numbers."""

    @abstractmethod
    def compact(self) -> None:
        """Give back the space of removed documents."""

    async def asearch(
        self,
        queries: Embeddings,
        *,
        k: int = 5,
        plan: str | Plan | None = None,
        filter: Filter | None = None,
        exact: bool = False,
    ) -> list[Ranking]:
        """`search`, without blocking the event loop."""
        return await asyncio.to_thread(
            self.search, queries, k=k, plan=plan, filter=filter, exact=exact
        )

    async def aadd(self, documents: Sequence[Document], embeddings: Embeddings) -> AddReport:
        """`add`, without blocking the event loop."""
        return await asyncio.to_thread(self.add, documents, embeddings)

    async def aunchanged(self, documents: Sequence[Document]) -> NDArray[np.bool_]:
        """`unchanged`, without blocking the event loop."""
        return await asyncio.to_thread(self.unchanged, documents)

    async def aembeddings(self, ids: Sequence[str]) -> Embeddings:
        """`embeddings`, without blocking the event loop."""
        return await asyncio.to_thread(self.embeddings, ids)

    async def adelete(self, ids: Sequence[str]) -> int:
        """`delete`, without blocking the event loop."""
        return await asyncio.to_thread(self.delete, ids)

    def move_to(self, device: str) -> None:
        """Compare dense and token vectors by torch on a device from now on: "cuda", say.

        They are copied there when they are first compared, as they are stored. All dense vectors
        are compared there, token vectors by way of their cells as before.

        Raises:
            ValueError: There is no such device, or the engine compares somewhere else.
        """
        raise ValueError(
            f"asked to compare vectors on {device!r}, but the engine of {self._address} compares "
            "them where it runs: open it without device=; a folder has that choice"
        )

    @abstractmethod
    def close(self) -> None:
        """Let go of files and connections; closing twice is fine."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("an open index cannot be pickled: pass its path and call Index.open there")

    @property
    def _stored(self) -> Stored:
        return Stored(self._spec, self._representations, self.dimensions)
