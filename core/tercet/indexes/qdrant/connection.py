"""The connection: hosts tried in turn, requests tried again, and what went wrong said clearly.

Every request of this engine may be sent twice without harm, so that a lost answer costs nothing.
"""

import json
import re
import threading
import time
import warnings
from collections.abc import Callable
from typing import TypeVar

from grpc import RpcError, StatusCode
from qdrant_client import QdrantClient
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from tercet.errors import (
    IndexFormatError,
    IndexNotFoundError,
    IndexUnreachableError,
    TercetIndexError,
)
from tercet.indexes.qdrant.address import API_KEY, Address

Answer = TypeVar("Answer")

FIRST_PAUSE = 0.1
PAUSES = 6
"""Waits between tries, each twice the one before: 6.3 seconds, longer than a node takes to be
known as dead."""

OLDEST = (1, 16)
"""The first version of the server that this engine was tested with."""

AGAIN = frozenset({429, 500, 502, 503, 504})
"""Answers of a server that is overloaded, starting, or about to notice that a node is gone."""

GRPC_AGAIN = frozenset(
    {StatusCode.UNAVAILABLE, StatusCode.INTERNAL, StatusCode.RESOURCE_EXHAUSTED, StatusCode.ABORTED}
)
GRPC_STATUS = {
    StatusCode.UNAUTHENTICATED: 401,
    StatusCode.PERMISSION_DENIED: 403,
    StatusCode.NOT_FOUND: 404,
    StatusCode.ALREADY_EXISTS: 409,
}
Faults = (ResponseHandlingException, UnexpectedResponse, RpcError)


class Connection:
    """Clients of the hosts of one cluster; the one that answered last is asked first."""

    def __init__(
        self, address: Address, *, timeout: float, client: QdrantClient | None = None
    ) -> None:
        """Take the hosts.

        Args:
            address: Of the collection.
            timeout: Seconds for an answer, and for tries altogether.
            client: One that the caller made and closes; the hosts are then its own.
        """
        self.address = address
        self._timeout = timeout
        self._given = client
        self._clients: dict[str, QdrantClient] = {}
        self._first = 0
        self._lock = threading.Lock()
        self._closed = False

    def call(self, action: Callable[[QdrantClient], Answer]) -> Answer:
        """Ask, again and elsewhere if need be.

        Raises:
            IndexUnreachableError: No host answers.
            TercetIndexError: The server refuses, or the connection is closed.
        """
        deadline = time.monotonic() + self._timeout
        for attempt in range(PAUSES + 1):
            place = self._first
            try:
                return action(self._client(place))
            except Faults as error:
                pause = FIRST_PAUSE * 2**attempt
                late = time.monotonic() + pause > deadline
                if attempt == PAUSES or late or not _may_pass(error):
                    raise self._said(error) from error
            self._first = (place + 1) % len(self.address.urls)
            time.sleep(pause)
        raise AssertionError("unreachable: the last try returns or raises")

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

    def _connect(self, url: str) -> QdrantClient:
        port = self.address.client.grpc
        with warnings.catch_warnings():
            # A key over plain HTTP was the caller's choice: the scheme is qdrant+https otherwise.
            warnings.filterwarnings("ignore", "Api key is used with an insecure connection")
            return QdrantClient(
                url=url,
                api_key=self.address.api_key,
                timeout=max(1, round(self._timeout)),
                prefer_grpc=port is not None,
                grpc_port=port or 6334,
                check_compatibility=False,  # `check_version` is stricter
            )

    def _said(self, error: Exception) -> TercetIndexError:
        where, status = ", ".join(self.address.urls), status_of(error)
        if status is None:
            return IndexUnreachableError(
                f"no Qdrant server answers at {where} ({_reason(error)}): is it running, and is "
                "the address right?"
            )
        if status in (401, 403):
            return TercetIndexError(
                f"the Qdrant server at {where} refuses the API key: set {API_KEY} to the right one"
            )
        if status == 404:
            return IndexNotFoundError(f"{_reason(error)} (asked at {where})")
        return TercetIndexError(
            f"the Qdrant server at {where} refused a request ({status}): {_reason(error)}"
        )


def status_of(error: Exception) -> int | None:
    """The HTTP status of what went wrong; None where no server answered."""
    if isinstance(error, UnexpectedResponse):
        return error.status_code
    if isinstance(error, RpcError):
        code = error.code()
        return None if code in (StatusCode.UNAVAILABLE, None) else GRPC_STATUS.get(code, 400)
    return None


def _may_pass(error: Exception) -> bool:
    """Whether the same request may succeed later."""
    if isinstance(error, RpcError):
        return error.code() in GRPC_AGAIN
    status = status_of(error)
    return status is None or status in AGAIN


def _reason(error: Exception) -> str:
    """What the server or the system said, in a line."""
    if isinstance(error, UnexpectedResponse):
        try:
            return str(json.loads(error.content)["status"]["error"])
        except (ValueError, TypeError, KeyError):
            return error.content[:200].decode(errors="replace") or error.reason_phrase
    if isinstance(error, RpcError):
        return str(error.details())
    source = getattr(error, "source", error)
    return str(source) or type(source).__name__
