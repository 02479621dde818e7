"""Serving: one worker and a bounded queue round an encoder, for many threads and event loops.

Whatever waits while the worker is busy goes through the encoder together next: many short calls
cost little more than one. Nothing is delayed to wait for company.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from threading import Lock
from types import TracebackType
from typing import NoReturn, Self
from weakref import WeakValueDictionary

from tercet.embeddings import Embeddings, EncoderSpec, Representation, TextEncoder
from tercet.encoding.calls import TextRole, report_cuts
from tercet.encoding.packing import chunks
from tercet.encoding.queue import CAPACITY, Queue
from tercet.errors import check_methods, check_texts

_SERVINGS_LOCK = Lock()
_SERVINGS: "WeakValueDictionary[int, Serving]" = WeakValueDictionary()
"""The one of each encoder; it holds its encoder, so an identity stays taken as long as it lives."""


class Serving:
    """An encoder that many threads and event loops use at once; itself a `TextEncoder`.

    Calls are served in order, queries and documents in turn, so that a long ingest holds up no
    query. A call that is cancelled is not encoded; an error reaches the call that caused it.

    Args:
        encoder: Any encoder; from now on only the worker calls it.
        capacity: Most texts that wait in the queue; calls beyond it wait before it.
    """

    def __init__(self, encoder: TextEncoder, *, capacity: int = CAPACITY) -> None:
        check_methods(encoder, ("encode_queries", "encode_documents"), name="encoder")
        self._encoder = encoder
        self._queue = Queue(encoder, capacity=capacity)

    @classmethod
    def of(cls, encoder: "TextEncoder | Serving") -> "Serving":
        """The one that serves an encoder, as long as somebody holds it; itself if it is one."""
        if isinstance(encoder, Serving):
            return encoder
        with _SERVINGS_LOCK:
            return _SERVINGS.get(id(encoder)) or _SERVINGS.setdefault(id(encoder), cls(encoder))

    @property
    def encoder(self) -> TextEncoder:
        """The encoder that is served."""
        return self._encoder

    @property
    def spec(self) -> EncoderSpec:
        """The encoder's."""
        return self._encoder.spec

    @property
    def representations(self) -> tuple[Representation, ...]:
        """The encoder's."""
        return self._encoder.representations

    def submit(self, role: TextRole, texts: Sequence[str]) -> Future[Embeddings]:
        """Put texts into the queue; cut ones are not reported. Never waits, may be cancelled."""
        return self._queue.put(role, texts)

    def encode_queries(self, texts: Sequence[str], *, show_progress: bool = False) -> Embeddings:
        """The views of N queries, in the order given."""
        del show_progress
        return self._encode(TextRole.QUERIES, texts)

    def encode_documents(self, texts: Sequence[str], *, show_progress: bool = False) -> Embeddings:
        """The views of N documents, in the order given."""
        del show_progress
        return self._encode(TextRole.DOCUMENTS, texts)

    def encode_queries_iter(self, texts: Iterable[str]) -> Iterator[Embeddings]:
        """The views of a stream of queries; `tokens_encoded` alone tells what was cut."""
        for batch in chunks(texts):
            yield self.submit(TextRole.QUERIES, batch).result()

    def encode_documents_iter(self, texts: Iterable[str]) -> Iterator[Embeddings]:
        """The views of a stream of documents; `tokens_encoded` alone tells what was cut."""
        for batch in chunks(texts):
            yield self.submit(TextRole.DOCUMENTS, batch).result()

    async def aencode_queries(self, texts: Sequence[str]) -> Embeddings:
        """`encode_queries`, without blocking the event loop."""
        return await self._aencode(TextRole.QUERIES, texts)

    async def aencode_documents(self, texts: Sequence[str]) -> Embeddings:
        """`encode_documents`, without blocking the event loop."""
        return await self._aencode(TextRole.DOCUMENTS, texts)

    def close(self) -> None:
        """Refuse further calls, and wait for those that were made."""
        self._queue.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Serving has a running worker and is not pickled: make it anew there")

    def __repr__(self) -> str:
        return f"Serving({self._encoder!r})"

    def _encode(self, role: TextRole, texts: Sequence[str]) -> Embeddings:
        check_texts(texts)
        found = self.submit(role, texts).result()
        report_cuts(role, texts, found, stacklevel=3)
        return found

    async def _aencode(self, role: TextRole, texts: Sequence[str]) -> Embeddings:
        check_texts(texts)
        found = await asyncio.wrap_future(self.submit(role, texts))
        report_cuts(role, texts, found, stacklevel=3)
        return found
