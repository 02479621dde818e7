"""The retriever: an encoder and an index, from documents in to ranked documents out."""

import shutil
import tempfile
import weakref
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property, partial
from operator import length_hint
from os import PathLike
from typing import NoReturn, Self, Unpack

from tercet.documents import AddReport, Document
from tercet.embeddings import Embeddings, Representation, TextEncoder
from tercet.encoder import Encoder, reload
from tercet.encoding.calls import TextRole, encode_in_parts
from tercet.encoding.options import LoadOptions
from tercet.errors import MissingViewError, check_k, check_query
from tercet.filters import Filter
from tercet.given import overlaid, suffices
from tercet.indexes.base import Index
from tercet.indexes.checks import (
    Vectors,
    check_document_options,
    check_encoder,
)
from tercet.indexes.ingest import aingest, ingest
from tercet.plans import DEFAULT_PLANS, Plan, resolve_plan
from tercet.progress import progress
from tercet.ranking import Ranking
from tercet.relevance import relevance
from tercet.scoring.mmr import diversified
from tercet.serving import Serving
from tercet.sharing import SharedEncoder, served
from tercet.tracing import traced

DEFAULT_MODEL = "tercet/mini"


class Retriever:
    """Indexes documents and finds them again.

    Args:
        encoder: Turns texts into views.
        index: Holds the views, texts and metadata of the encoder's model.

    Raises:
        ModelMismatchError: The index holds the vectors of another model.
    """

    def __init__(self, encoder: TextEncoder, index: Index) -> None:
        check_encoder(encoder.spec, index.spec)
        self.encoder = encoder
        self.index = index
        self.temporary = False
        """Whether the index is removed as soon as nobody holds it."""

    @classmethod
    def create(
        cls,
        path: str | PathLike[str] | None = None,
        *,
        model: str = DEFAULT_MODEL,
        encoder: TextEncoder | None = None,
        representations: Sequence[Representation | str] | None = None,
        **options: Unpack[LoadOptions],
    ) -> Self:
        """Load a model, and create or open an index for it.

        Args:
            path: Folder of the index; None is a temporary one, removed at the end.
            model: Hub id, local folder or `tercet/mini`.
            encoder: A loaded encoder, in place of `model` and options.
            representations: The views to keep, if not all of the model's.
            **options: Those of `Encoder.from_pretrained`.
        """
        if encoder is not None and options:
            raise TypeError(
                f"{', '.join(options)}: options of a model, but encoder= is loaded already"
            )
        loaded = Encoder.from_pretrained(model, **options) if encoder is None else encoder
        where = tempfile.mkdtemp(prefix="tercet-") if path is None else path
        index = Index.open(where, spec=loaded.spec, representations=representations)
        retriever = cls(loaded, index)
        retriever.temporary = path is None
        if retriever.temporary:
            weakref.finalize(index, shutil.rmtree, where, ignore_errors=True)
        return retriever

    @classmethod
    def open(
        cls,
        path: str | PathLike[str],
        *,
        encoder: TextEncoder | None = None,
        read_only: bool | None = None,
        device: str | None = None,
        dtype: str = "auto",
    ) -> Self:
        """Open an index that exists, with the model and the options that it remembers.

        Raises:
            TercetError: The index was built by an encoder that cannot be loaded by name.
            ModelMismatchError: What the name stands for now is another model.
        """
        index = Index.open(path, read_only=read_only)
        try:
            loaded = reload(index.spec, device=device, dtype=dtype) if encoder is None else encoder
            return cls(loaded, index)
        except BaseException:
            index.close()
            raise

    @traced("tercet.add")
    def add(
        self,
        documents: Iterable[Document],
        *,
        vectors: Vectors | None = None,
        show_progress: bool = False,
    ) -> AddReport:
        """Index documents, replacing those whose ids are there already.

        Documents that have not changed are not encoded again, and each batch is committed by
        itself: a call that was interrupted goes on where it stopped when it is repeated.

        Args:
            documents: Any iterable, read as a stream.
            vectors: Dense vectors that came along with documents, by id. They are compared with the
                model's own, not stored.
            show_progress: Draw a progress bar on stderr.

        Raises:
            ModelMismatchError: A vector that came along is of another model.
        """
        check_document_options(self.encoder.spec, self.index.spec)
        total = length_hint(documents) or None
        encode = partial(encode_in_parts, self.encoder, TextRole.DOCUMENTS)
        with progress("indexing", total=total, show=show_progress) as bar:
            return ingest(self.index, documents, encode, bar, vectors)

    def delete(self, ids: Sequence[str]) -> int:
        """Delete the documents of these ids; how many there were."""
        return self.index.delete(ids)

    @traced("tercet.retrieve")
    def retrieve(
        self,
        query: str,
        *,
        k: int = 5,
        plan: str | Plan | None = None,
        filter: Filter | None = None,
        embeddings: Embeddings | None = None,
        exact: bool = False,
    ) -> Ranking:
        """Find the k best documents for a query.

        Args:
            query: The question.
            k: How many hits.
            plan: Name of a plan or a `Plan`; None is the model's default.
            filter: Only documents that pass it.
            embeddings: Views of one query that take the place of encoded ones, as in HyDE.
            exact: Rank exhaustively over the stored vectors.

        Raises:
            TypeError: The query is no string, k no whole number.
            ValueError: k below 1, an unknown plan or operator.
            MissingViewError: The model or the index lacks a view of the plan.
        """
        check_k(k)
        resolved = self._plan(plan)
        queries = self._views(query, resolved, embeddings)
        return self.index.search(queries, k=k, plan=resolved, filter=filter, exact=exact)[0]

    @traced("tercet.retrieve_diverse")
    def retrieve_diverse(
        self,
        query: str,
        *,
        k: int = 5,
        fetch_k: int = 20,
        diversity: float = 0.5,
        plan: str | Plan | None = None,
        filter: Filter | None = None,
        embeddings: Embeddings | None = None,
    ) -> Ranking:
        """Find k documents that are near the query and unlike each other.

        The plan finds `fetch_k` documents; maximal marginal relevance on the dense view chooses
        among them (Carbonell & Goldstein 1998).

        Args:
            query: The question.
            k: How many hits.
            fetch_k: Among how many they are chosen.
            diversity: From 0, relevance alone, to 1, difference alone.
            plan: Name of a plan or a `Plan`; None is the model's default.
            filter: Only documents that pass it.
            embeddings: Views of one query that take the place of encoded ones.

        Raises:
            TypeError: The query is no string, k or fetch_k no whole number.
            ValueError: k or fetch_k below 1, a diversity not between 0 and 1.
            MissingViewError: The index has no dense view, or lacks one of the plan.
        """
        resolved = self._plan_of_diverse(plan, k, fetch_k)
        queries = self._views(query, resolved, embeddings, Representation.DENSE)
        found = self.index.search(queries, k=max(k, fetch_k), plan=resolved, filter=filter)[0]
        stored = self.index.embeddings([hit.document.id for hit in found])
        return _diversified(found, queries, stored, k=k, diversity=diversity)

    def relevance(self, hits: Ranking, *, plan: str | Plan | None = None) -> list[float]:
        """The scores of hits between 0 and 1: where they lie between the bounds of their plan.

        Args:
            hits: What `retrieve` found.
            plan: The plan that found them.

        Raises:
            ValueError: Nothing bounds the plan's scores, or the model's vectors are not of unit
                length.
        """
        resolved = self._plan(plan)
        default = DEFAULT_PLANS[frozenset(self.index.representations)]
        name = plan.to_json() if isinstance(plan, Plan) else plan or default
        return relevance([hit.score for hit in hits], resolved, self.index.spec, name=name)

    def _plan(self, plan: str | Plan | None) -> Plan:
        """The plan for the views that the index stores, which may be fewer than the model's."""
        stored = replace(self.index.spec, representations=self.index.representations)
        return resolve_plan(plan, stored, holder="this index")

    def _views(
        self, query: str, plan: Plan, given: Embeddings | None, *more: Representation
    ) -> Embeddings:
        check_query(query)
        if given is not None and suffices(given, {*plan.views, *more}):
            return given
        return overlaid(self.encoder.encode_queries([query]), given)

    async def _aviews(
        self, query: str, plan: Plan, given: Embeddings | None, *more: Representation
    ) -> Embeddings:
        """What `_views` gives, encoded by the one worker."""
        check_query(query)
        if given is not None and suffices(given, {*plan.views, *more}):
            return given
        return overlaid(await self._served.aencode_queries([query]), given)

    def _plan_of_diverse(self, plan: str | Plan | None, k: int, fetch_k: int) -> Plan:
        check_k(k)
        check_k(fetch_k, name="fetch_k")
        if Representation.DENSE not in self.index.representations:
            raise MissingViewError("diversity is measured on the dense view, which the index lacks")
        return self._plan(plan)

    @cached_property
    def _served(self) -> Serving | SharedEncoder:
        """The encoder with asynchronous methods."""
        return served(self.encoder)

    @traced("tercet.add")
    async def aadd(
        self,
        documents: Iterable[Document],
        *,
        vectors: Vectors | None = None,
        show_progress: bool = False,
    ) -> AddReport:
        """`add`, without blocking the event loop."""
        check_document_options(self.encoder.spec, self.index.spec)
        total = length_hint(documents) or None
        encode = partial(encode_in_parts, self._served, TextRole.DOCUMENTS)
        with progress("indexing", total=total, show=show_progress) as bar:
            return await aingest(self.index, documents, encode, bar, vectors)

    async def adelete(self, ids: Sequence[str]) -> int:
        """`delete`, without blocking the event loop."""
        return await self.index.adelete(ids)

    @traced("tercet.retrieve")
    async def aretrieve(
        self,
        query: str,
        *,
        k: int = 5,
        plan: str | Plan | None = None,
        filter: Filter | None = None,
        embeddings: Embeddings | None = None,
        exact: bool = False,
    ) -> Ranking:
        """`retrieve`, without blocking the event loop."""
        check_k(k)
        resolved = self._plan(plan)
        queries = await self._aviews(query, resolved, embeddings)
        found = await self.index.asearch(queries, k=k, plan=resolved, filter=filter, exact=exact)
        return found[0]

    @traced("tercet.retrieve_diverse")
    async def aretrieve_diverse(
        self,
        query: str,
        *,
        k: int = 5,
        fetch_k: int = 20,
        diversity: float = 0.5,
        plan: str | Plan | None = None,
        filter: Filter | None = None,
        embeddings: Embeddings | None = None,
    ) -> Ranking:
        """`retrieve_diverse`, without blocking the event loop."""
        resolved = self._plan_of_diverse(plan, k, fetch_k)
        queries = await self._aviews(query, resolved, embeddings, Representation.DENSE)
        most = max(k, fetch_k)
        found = await self.index.asearch(queries, k=most, plan=resolved, filter=filter)
        stored = await self.index.aembeddings([hit.document.id for hit in found[0]])
        return _diversified(found[0], queries, stored, k=k, diversity=diversity)

    def close(self) -> None:
        """Close the index."""
        self.index.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.index.__exit__(*error)

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a Retriever holds a loaded model and an open index and is not pickled: "
            "pickle the path, and Retriever.open it there"
        )

    def __repr__(self) -> str:
        return f"Retriever({self.encoder!r}, {self.index!r})"


def _diversified(
    found: Ranking, queries: Embeddings, stored: Embeddings, *, k: int, diversity: float
) -> Ranking:
    if queries.dense is None or stored.dense is None:
        raise MissingViewError("diversity needs dense vectors of the query and the documents")
    return diversified(found, queries.dense, stored.dense, k=k, diversity=diversity)
