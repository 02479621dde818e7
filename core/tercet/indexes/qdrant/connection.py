"""The connection: hosts tried in turn, requests tried again, and what went wrong said clearly.

Every request of this engine may be sent twice without harm, so that a lost answer costs nothing.
"""

import asyncio
import re
import threading
import time
import warnings
from collections.abc import Awaitable, Callable
from typing import TypeVar, cast

from qdrant_client import AsyncQdrantClient, QdrantClient

from tercet.errors import IndexFormatError, TercetIndexError
from tercet.indexes.qdrant.address import Address
from tercet.indexes.qdrant.faults import Faults, may_pass, said
from tercet.indexes.qdrant.loops import LoopClients

Answer = TypeVar("Answer")
Client = TypeVar("Client")

FIRST_PAUSE = 0.1
PAUSES = 6
"""Waits between tries, each twice the one before: 6.3 seconds, longer than a node takes to be
known as dead."""

OLDEST = (1, 16)
"""The first version of the server that this engine was tested with."""


class Connection:
    """Clients of the hosts of one cluster; the one that answered last is asked first."""

    def __init__(
        self,
        address: Address,
        *,
        timeout: float,
        client: QdrantClient | None = None,
        async_client: AsyncQdrantClient | None = None,
    ) -> None:
        """Take the hosts.

        Args:
            address: Of the collection.
            timeout: Seconds for an answer, and for tries altogether.
            client: One that the caller made and closes; the hosts are then its own.
            async_client: The same for event loops.
        """
        self.address = address
        self.timeout = timeout
        self._given, self._async_given = client, async_client
        self._clients: dict[str, QdrantClient] = {}
        self._loops = LoopClients(self._connect_in_loop)
        self.first = 0
        """Place of the host that is asked first: the one that answered last."""
        self._lock = threading.Lock()
        self._closed = False

    def call(self, action: Callable[[QdrantClient], Answer]) -> Answer:
        """Ask, again and elsewhere if need be.

        Args:
            action: One call of a client.

        Raises:
            IndexUnreachableError: No host answers.
            TercetIndexError: The server refuses, or the connection is closed.
        """
        tries = _Tries(self)
        while True:
            try:
                return action(self._client(tries.place))
            except Faults as error:
                pause = tries.pause_after(error)
            time.sleep(pause)

    async def acall(self, action: Callable[[QdrantClient], Answer]) -> Answer:
        """`call` in an event loop; a call that is cancelled leaves its request to the server.

        A client of the caller's own that has no twin for event loops is asked in a thread.
        """
        if self._given is not None and self._async_given is None:
            return await asyncio.to_thread(self.call, action)
        tries = _Tries(self)
        while True:
            try:
                return await self._answer(action, tries.place)
            except Faults as error:
                pause = tries.pause_after(error)
            await asyncio.sleep(pause)

    def check_open(self) -> None:
        """Refuse to go on after `close`.

        Raises:
            TercetIndexError: It was closed.
        """
        if self._closed:
            raise TercetIndexError(f"the index at {self.address} is closed")

    def check_version(self) -> None:
        """Refuse a server that is too old.

        Raises:
            IndexFormatError: Its version is below 1.16.
        """
        version = self.call(lambda client: client.info().version)
        found = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
        if found < OLDEST:
            raise IndexFormatError(
                f"the Qdrant server at {self.address.urls[0]} has version {version}; "
                f"{'.'.join(map(str, OLDEST))} is the oldest that works: update the server"
            )

    def close(self) -> None:
        """Let go of the connections that are ours; closing twice is fine."""
        with self._lock:
            self._closed = True
            clients, self._clients = [*self._clients.values()], {}
        self._loops.close()
        for client in clients:
            client.close()

    def _client(self, place: int) -> QdrantClient:
        url = self.address.urls[place % len(self.address.urls)]
        with self._lock:
            self.check_open()
            if self._given is not None:
                return self._given
            if url not in self._clients:
                self._clients[url] = self._connect(url)
            return self._clients[url]

    async def _answer(self, action: Callable[[QdrantClient], Answer], place: int) -> Answer:
        """What the asynchronous client of the running loop answers: its methods have one name."""
        self.check_open()
        client = self._async_given
        if client is None:
            client = await self._loops.get(self.address.urls[place % len(self.address.urls)])
        return await cast("Awaitable[Answer]", action(cast("QdrantClient", client)))

    def _connect(self, url: str) -> QdrantClient:
        return self._made(QdrantClient, url)

    def _connect_in_loop(self, url: str) -> AsyncQdrantClient:
        return self._made(AsyncQdrantClient, url)

    def _made(self, kind: Callable[..., Client], url: str) -> Client:
        port = self.address.client.grpc
        with warnings.catch_warnings():
            # A key over plain HTTP was the caller's choice: the scheme is qdrant+https otherwise.
            warnings.filterwarnings("ignore", "Api key is used with an insecure connection")
            return kind(
                url=url,
                api_key=self.address.api_key,
                timeout=max(1, round(self.timeout)),
                prefer_grpc=port is not None,
                grpc_port=port or 6334,
                check_compatibility=False,  # `check_version` is stricter
            )


class _Tries:
    """The tries of one request.

    Attributes:
        place: Of the host that is asked.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._deadline = time.monotonic() + connection.timeout
        self._attempt = 0
        self.place = connection.first

    def pause_after(self, error: Exception) -> float:
        """Seconds before the next try, which asks the next host.

        Raises:
            TercetIndexError: There is none.
        """
        pause = FIRST_PAUSE * float(2**self._attempt)
        late = time.monotonic() + pause > self._deadline
        if self._attempt == PAUSES or late or not may_pass(error):
            raise said(error, self._connection.address.urls) from error
        self._attempt += 1
        self.place = self._connection.first = (self.place + 1) % len(self._connection.address.urls)
        return pause
