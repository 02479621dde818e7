"""Asynchronous clients: each belongs to the event loop that it was made in, and ends with it."""

import asyncio
from asyncio import AbstractEventLoop
from collections.abc import AsyncGenerator, Callable

from qdrant_client import AsyncQdrantClient

Clients = dict[str, AsyncQdrantClient]
"""By the address of their host."""


class LoopClients:
    """The clients of each event loop, made when they are asked for.

    An asynchronous generator holds those of a loop, because a loop ends the generators that it
    started before it closes: connections are closed in the loop that opened them.
    """

    def __init__(self, make: Callable[[str], AsyncQdrantClient]) -> None:
        self._make = make
        self._open: dict[AbstractEventLoop, tuple[AsyncGenerator[Clients], Clients]] = {}

    async def get(self, url: str) -> AsyncQdrantClient:
        """The client of the running loop for a host."""
        loop = asyncio.get_running_loop()
        if loop not in self._open:
            holder = self._hold(loop)
            self._open[loop] = (holder, await anext(holder))
        _, clients = self._open[loop]
        if url not in clients:
            clients[url] = self._make(url)
        return clients[url]

    def close(self) -> None:
        """Let go of all; each loop closes its own."""
        self._open.clear()

    async def _hold(self, loop: AbstractEventLoop) -> AsyncGenerator[Clients]:
        clients: Clients = {}
        try:
            yield clients
        finally:
            self._open.pop(loop, None)
            for client in clients.values():
                await client.close()
