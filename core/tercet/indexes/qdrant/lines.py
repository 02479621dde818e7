"""How requests travel: each answered before the next line of code, or in an event loop.

What an engine asks and in which order is written once, as coroutines. `AtOnce` answers them without
ever waiting in a loop, so that `finished` has their result; `InLoop` waits in the running loop.
"""

import asyncio
from collections.abc import Callable, Collection, Coroutine
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from functools import cached_property
from typing import Any, ParamSpec, Protocol, TypeVar

from qdrant_client import QdrantClient

from tercet.indexes.qdrant.connection import Connection

P = ParamSpec("P")
Answer = TypeVar("Answer")
Action = Callable[[QdrantClient], Answer]

LOOP_BYTES = 1 << 20
"""Bytes of a request that an event loop writes down: it is held up for some 25 ms."""

REQUEST_BYTES = 1 << 23
"""Bytes of a request, of the 32 MiB that a server takes; one document alone may be more."""


class Sent(Protocol):
    """A request on its way."""

    def result(self) -> None:
        """Nothing, or the error."""
        ...

    def exception(self) -> BaseException | None:
        """The error, if there is one."""
        ...

    def cancel(self) -> bool:
        """Give it up, if it can be."""
        ...


class Line(Protocol):
    """What coroutines of this engine ask with."""

    request_bytes: int
    """Bytes of a request that writes."""

    async def call(self, action: Action[Answer]) -> Answer:
        """The answer to a request."""
        ...

    async def work(
        self, function: Callable[P, Answer], *args: P.args, **kwargs: P.kwargs
    ) -> Answer:
        """The result of a function that computes for longer."""
        ...

    def send(self, action: Action[object]) -> Sent:
        """Send a request, and do not wait for its answer."""
        ...

    async def wait(self, sent: Collection[Sent], *, all_: bool = False) -> list[Sent]:
        """Those that are answered: one at least, or all."""
        ...


class AtOnce:
    """Requests that are answered before the next line of code; several are sent by threads."""

    request_bytes = REQUEST_BYTES

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def call(self, action: Action[Answer]) -> Answer:
        """The answer to a request."""
        return self._connection.call(action)

    async def work(
        self, function: Callable[P, Answer], *args: P.args, **kwargs: P.kwargs
    ) -> Answer:
        """The result of a function."""
        return function(*args, **kwargs)

    def send(self, action: Action[object]) -> Sent:
        """Send a request from a thread."""
        return self._threads.submit(_silent, self._connection, action)

    async def wait(self, sent: Collection[Sent], *, all_: bool = False) -> list[Sent]:
        """Those that are answered: one at least, or all."""
        futures = [each for each in sent if isinstance(each, Future)]
        return [*wait_for(futures, return_when=ALL_COMPLETED if all_ else FIRST_COMPLETED).done]

    @cached_property
    def _threads(self) -> ThreadPoolExecutor:
        parallel = self._connection.address.client.parallel
        return ThreadPoolExecutor(parallel, "tercet-upsert")


class InLoop:
    """Requests of the running event loop, through the asynchronous client."""

    request_bytes = LOOP_BYTES

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def call(self, action: Action[Answer]) -> Answer:
        """The answer to a request."""
        return await self._connection.acall(action)

    async def work(
        self, function: Callable[P, Answer], *args: P.args, **kwargs: P.kwargs
    ) -> Answer:
        """The result of a function, which runs in a thread."""
        return await asyncio.to_thread(function, *args, **kwargs)

    def send(self, action: Action[object]) -> Sent:
        """Send a request as a task."""
        return asyncio.create_task(_asilent(self._connection, action))

    async def wait(self, sent: Collection[Sent], *, all_: bool = False) -> list[Sent]:
        """Those that are answered: one at least, or all."""
        tasks = [each for each in sent if isinstance(each, asyncio.Task)]
        if not tasks:
            return []
        done, _ = await asyncio.wait(tasks, return_when=ALL_COMPLETED if all_ else FIRST_COMPLETED)
        return [*done]


def finished(coroutine: Coroutine[Any, Any, Answer]) -> Answer:
    """The result of a coroutine over `AtOnce`, which never waits."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: Answer = done.value
        return result
    coroutine.close()
    raise RuntimeError("a coroutine that is to be answered at once waits for an event loop")


def _silent(connection: Connection, action: Action[object]) -> None:
    connection.call(action)


async def _asilent(connection: Connection, action: Action[object]) -> None:
    await connection.acall(action)
