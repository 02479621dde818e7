"""Several users of one encoder, as the adapters of a framework are: each text is encoded once."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import cached_property, partial
from threading import Lock
from typing import Self
from weakref import WeakValueDictionary

from tercet.embeddings import Embeddings, EncoderSpec, Representation, TextEncoder
from tercet.encoding.cache import LIMITS, Claim, Shelf, User, joined, only
from tercet.encoding.calls import TextRole, encode_silently, report_cuts
from tercet.encoding.packing import chunks
from tercet.errors import MissingViewError, check_methods, check_texts
from tercet.serving import Serving


class SharedEncoder:
    """One user's view of an encoder that has others; made by `shared`, held as long as it is used.

    A text that one user has had encoded is kept until each of the others has asked for it once.
    """

    def __init__(self, cache: "_Cache", views: Sequence[Representation]) -> None:
        self._cache, self._views = cache, tuple(views)
        self._user = User(self._views)
        for shelf in cache.shelves.values():
            shelf.join(self._user)

    @property
    def encoder(self) -> TextEncoder:
        """The encoder that all its users share."""
        return self._cache.encoder

    @property
    def spec(self) -> EncoderSpec:
        """The encoder's, with the views that this user asked for."""
        return replace(self.encoder.spec, representations=self._views)

    @property
    def representations(self) -> tuple[Representation, ...]:
        """The views that this user asked for."""
        return self._views

    def encode_queries(self, texts: Sequence[str], *, show_progress: bool = False) -> Embeddings:
        """The views of N queries, in the order given."""
        del show_progress
        return self._reported(TextRole.QUERIES, texts)

    def encode_documents(self, texts: Sequence[str], *, show_progress: bool = False) -> Embeddings:
        """The views of N documents, in the order given."""
        del show_progress
        return self._reported(TextRole.DOCUMENTS, texts)

    async def aencode_queries(self, texts: Sequence[str]) -> Embeddings:
        """`encode_queries`, without blocking the event loop."""
        return await self._areported(TextRole.QUERIES, texts)

    async def aencode_documents(self, texts: Sequence[str]) -> Embeddings:
        """`encode_documents`, without blocking the event loop."""
        return await self._areported(TextRole.DOCUMENTS, texts)

    def encode_documents_iter(self, texts: Iterable[str]) -> Iterator[Embeddings]:
        """The views of a stream of documents; `tokens_encoded` alone tells what was cut."""
        for batch in chunks(texts):
            yield self._encode(TextRole.DOCUMENTS, batch)

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        return self

    def __repr__(self) -> str:
        return f"shared({self.encoder!r}, views={'+'.join(self._views)!r})"

    def _reported(self, role: TextRole, texts: Sequence[str]) -> Embeddings:
        check_texts(texts)
        found = self._encode(role, texts)
        report_cuts(role, texts, found, stacklevel=3)
        return found

    async def _areported(self, role: TextRole, texts: Sequence[str]) -> Embeddings:
        check_texts(texts)
        found = await self._aencode(role, texts)
        report_cuts(role, texts, found, stacklevel=3)
        return found

    def _encode(self, role: TextRole, texts: Sequence[str]) -> Embeddings:
        call = _Call(self._cache.shelves[role], self._user, texts)
        if call.is_alone:
            return self._own(encode_silently(self.encoder, role, texts))
        while call.missing:
            claim = call.claim()
            if claim.mine:
                encoded = None
                try:
                    encoded = encode_silently(self.encoder, role, claim.mine)
                finally:
                    call.shelf.settle(claim, encoded)
                call.add(claim.mine, encoded)
            for text, row in claim.theirs.items():
                call.add([text], row.result())
        return call.result()

    async def _aencode(self, role: TextRole, texts: Sequence[str]) -> Embeddings:
        call = _Call(self._cache.shelves[role], self._user, texts)
        if call.is_alone:
            return self._own(await asyncio.wrap_future(self._serving.submit(role, texts)))
        while call.missing:
            claim = call.claim()
            if claim.mine:
                views = await asyncio.wrap_future(self._submit(call.shelf, role, claim))
                call.add(claim.mine, views)
            for text, coming in claim.theirs.items():
                row: Embeddings | None = await asyncio.wrap_future(coming)
                call.add([text], row)
        return call.result()

    def _submit(self, shelf: Shelf, role: TextRole, claim: Claim) -> Future[Embeddings]:
        """Have texts encoded; the worker settles the claim, so no held-up event loop holds it."""
        try:
            encoded = self._serving.submit(role, claim.mine)
        except BaseException:
            shelf.settle(claim, None)
            raise
        encoded.add_done_callback(partial(_settle, shelf, claim))
        return encoded

    @cached_property
    def _serving(self) -> Serving:
        return Serving.of(self.encoder)

    def _own(self, embeddings: Embeddings) -> Embeddings:
        return only(embeddings, self._user.views)


class _Call:
    """The texts of one call as they come together.

    Attributes:
        shelf: Where they may stand.
        missing: Those without views yet, each once.
    """

    def __init__(self, shelf: Shelf, user: User, texts: Sequence[str]) -> None:
        self.shelf, self.missing = shelf, dict.fromkeys(texts)
        self._user, self._texts = user, texts
        self._parts: list[tuple[Sequence[str], Embeddings]] = []

    @property
    def is_alone(self) -> bool:
        """Whether there is nothing to share."""
        return not self.missing or self.shelf.serves_only(self._user)

    def claim(self) -> Claim:
        """Take what is there, and learn who encodes the rest."""
        claim = self.shelf.claim(self._user, self.missing)
        for text, row in claim.found.items():
            self.add([text], row)
        return claim

    def add(self, texts: Sequence[str], views: Embeddings | None) -> None:
        """Take views; None where somebody else failed, and the texts are still missing."""
        if views is not None:
            self._parts.append((texts, only(views, self._user.views)))
            for text in texts:
                del self.missing[text]

    def result(self) -> Embeddings:
        """The views of all texts in the order given."""
        return joined(self._texts, self._parts)


def _settle(shelf: Shelf, claim: Claim, encoded: Future[Embeddings]) -> None:
    failed = encoded.cancelled() or encoded.exception() is not None
    shelf.settle(claim, None if failed else encoded.result())


class _Cache:
    """An encoder and what is kept of its texts, as long as it has users."""

    def __init__(self, encoder: TextEncoder) -> None:
        self.encoder = encoder
        self.shelves = {role: Shelf(limit) for role, limit in LIMITS.items()}


_CACHES_LOCK = Lock()
_CACHES: WeakValueDictionary[int, _Cache] = WeakValueDictionary()
"""The one of each encoder; it holds its encoder, so an identity stays taken as long as it lives."""


def shared(
    encoder: TextEncoder, *, views: Sequence[Representation | str] | None = None
) -> SharedEncoder:
    """A view of an encoder for one of its users, among whom each text is encoded once.

    A text that one user has had encoded is kept until each of the others, as long as it is held
    by somebody, has asked for it once; queries and documents never meet. Kept are the views that
    those to come need, in 256 MiB an encoder; what does not fit is encoded again. One user alone
    keeps nothing.

    Args:
        encoder: Any encoder, or another user's view of it.
        views: What the user needs; None is all that the encoder makes.

    Raises:
        MissingViewError: The encoder does not make one of them.
    """
    check_methods(encoder, ("encode_queries", "encode_documents"), name="encoder")
    whole = encoder.encoder if isinstance(encoder, SharedEncoder) else encoder
    made = whole.representations
    asked = made if views is None else [Representation(view) for view in views]
    if missing := [view for view in asked if view not in made]:
        raise MissingViewError(
            f"{', '.join(missing)} was asked of {whole!r}, which makes {', '.join(made)}"
        )
    with _CACHES_LOCK:
        cache = _CACHES.get(id(whole)) or _CACHES.setdefault(id(whole), _Cache(whole))
    return SharedEncoder(cache, asked)


def served(encoder: TextEncoder) -> Serving | SharedEncoder:
    """The encoder with asynchronous methods: itself where it has them, else its `Serving`."""
    return encoder if isinstance(encoder, SharedEncoder) else Serving.of(encoder)
