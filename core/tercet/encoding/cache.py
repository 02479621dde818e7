"""Texts that several users of one encoder ask for: encoded once, kept until each has had them.

A user is whoever holds a `User`; a text that one of them had encoded is kept for the others. Keys
are the role and the text: queries and documents never meet. Only the views that those still to
come need are kept, in a bounded number of bytes; what does not fit is encoded again.
"""

import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from itertools import count
from threading import Lock
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from tercet.embeddings import Embeddings, Representation, concatenate
from tercet.encoding.calls import TextRole

LIMITS = {TextRole.DOCUMENTS: 256 << 20, TextRole.QUERIES: 16 << 20}
"""Bytes that are kept of each role: some 256 documents of 256 tokens with 1,024 dimensions."""

STALE = 4
"""A text makes room for others when so many times the limit went by and nobody asked for it."""

_NUMBERS = count()

Row = Embeddings
"""The views of one text."""


class User:
    """Somebody who has texts encoded, and is expected to ask for those that others had encoded.

    Attributes:
        views: What it needs.
        number: Its own, never given twice.
    """

    def __init__(self, views: Sequence[Representation]) -> None:
        self.views = frozenset(views)
        self.number = next(_NUMBERS)


@dataclass(slots=True)
class _Kept:
    """A text on a shelf: its row, who is still to come, its bytes, and when it came."""

    row: Row
    awaited: set[int]
    size: int
    born: int


@dataclass(slots=True)
class _Flight:
    """A text that is being encoded: its row to be (None where that failed), and who has asked."""

    row: Future[Row | None]
    asked: set[int]


@dataclass(slots=True)
class Claim:
    """How the texts of one call are come by.

    Attributes:
        found: Those that were kept.
        mine: Those that the caller is to have encoded, and to hand to `Shelf.settle`.
        theirs: Those that somebody else is having encoded; None will come where that failed.
    """

    found: dict[str, Row] = field(default_factory=dict)
    mine: list[str] = field(default_factory=list)
    theirs: dict[str, Future[Row | None]] = field(default_factory=dict)


class Shelf:
    """Texts of one role; safe to use from many threads."""

    def __init__(self, limit: int) -> None:
        """Keep no more than so many bytes."""
        self._limit = limit
        self._lock = Lock()
        self._users: WeakValueDictionary[int, User] = WeakValueDictionary()
        self._known: set[int] = set()
        self._kept: dict[str, _Kept] = {}
        self._flights: dict[str, _Flight] = {}
        self._size = self._passed = 0

    @property
    def size(self) -> int:
        """Bytes that are kept."""
        return self._size

    def __len__(self) -> int:
        return len(self._kept)

    def join(self, user: User) -> None:
        """Expect a user, for as long as somebody holds it."""
        self._users[user.number] = user

    def serves_only(self, user: User) -> bool:
        """Whether there is nobody else to keep a text for."""
        with self._lock:
            self._forget_the_gone()
            return self._known <= {user.number}

    def claim(self, user: User, texts: Iterable[str]) -> Claim:
        """Find out who encodes some texts, all different."""
        claim, me = Claim(), user.number
        with self._lock:
            self._forget_the_gone()
            for text in texts:
                kept, flight = self._kept.get(text), self._flights.get(text)
                if kept is not None and user.views <= set(kept.row.representations):
                    claim.found[text] = kept.row
                    self._had(text, {me})
                elif flight is not None:
                    flight.asked.add(me)
                    claim.theirs[text] = flight.row
                else:
                    started: Future[Row | None] = Future()
                    started.set_running_or_notify_cancel()  # who waits for it cannot cancel it
                    self._flights[text] = _Flight(started, {me})
                    claim.mine.append(text)
        return claim

    def settle(self, claim: Claim, encoded: Embeddings | None) -> None:
        """Hand over the views of `claim.mine`, or None where encoding failed.

        They go to those that wait, and are kept for those still to come.
        """
        landed: list[tuple[Future[Row | None], Row | None]] = []
        with self._lock:
            for place, text in enumerate(claim.mine):
                flight = self._flights.pop(text)
                awaited = self._awaited(text) - flight.asked
                row = None
                if encoded is not None and (awaited or len(flight.asked) > 1):
                    row = encoded.take([place])
                    self._keep(text, row, awaited)
                landed.append((flight.row, row))
        for flown, row in landed:
            flown.set_result(row)

    def _forget_the_gone(self) -> None:
        """Expect nobody who is not there any more."""
        users = set(self._users)
        if not self._known <= users:
            for text in list(self._kept):
                self._had(text, self._known - users)
        self._known = users

    def _awaited(self, text: str) -> set[int]:
        """Who is still to ask for a text that is being encoded."""
        kept = self._kept.get(text)
        return self._known if kept is None else kept.awaited

    def _had(self, text: str, users: set[int]) -> None:
        kept = self._kept[text]
        kept.awaited = kept.awaited - users
        if not kept.awaited:
            self._drop(text)

    def _drop(self, text: str) -> None:
        self._size -= self._kept.pop(text).size

    def _keep(self, text: str, row: Row, awaited: set[int]) -> None:
        """Put a text on the shelf, if there is room beside those that are not stale."""
        if text in self._kept:
            self._drop(text)
        users = [user for n in awaited if (user := self._users.get(n)) is not None]
        views = frozenset[Representation]().union(*(user.views for user in users))
        if not views:
            return
        lean = only(row, views)
        size = _bytes(text, lean)
        self._passed += size
        while self._kept and self._size + size > self._limit:
            oldest = next(iter(self._kept))
            if self._passed - self._kept[oldest].born <= STALE * self._limit:
                return
            self._drop(oldest)
        if size <= self._limit:
            self._kept[text] = _Kept(lean, awaited, size, self._passed)
            self._size += size


def only(embeddings: Embeddings, views: frozenset[Representation]) -> Embeddings:
    """The embeddings with some of their views."""
    left_out = {r.value: None for r in embeddings.representations if r not in views}
    return replace(embeddings, **left_out) if left_out else embeddings


def joined(texts: Sequence[str], parts: Sequence[tuple[Sequence[str], Embeddings]]) -> Embeddings:
    """The views of texts in the order given, repetition allowed, as copies.

    Args:
        texts: The texts.
        parts: Each of them once, with their views.
    """
    place = {text: n for n, text in enumerate(text for part, _ in parts for text in part)}
    rows = np.asarray([place[text] for text in texts], dtype=np.int64)
    return concatenate([views for _, views in parts]).take(rows)


def _bytes(text: str, row: Row) -> int:
    """What a text on a shelf takes: the arrays of its views, and the text itself."""
    parts: tuple[NDArray[Any] | None, ...] = (row.dense, row.tokens, row.tokens_encoded)
    if row.sparse is not None:
        parts += (row.sparse.indptr, row.sparse.ids, row.sparse.weights)
    if row.multi_vector is not None:
        parts += (row.multi_vector.vectors, row.multi_vector.offsets)
    return sys.getsizeof(text) + sum(part.nbytes for part in parts if part is not None)
