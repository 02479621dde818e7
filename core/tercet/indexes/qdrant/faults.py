"""What goes wrong with a request, and what is said of it."""

import json
from collections.abc import Sequence

from grpc import RpcError, StatusCode
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from tercet.errors import IndexNotFoundError, IndexUnreachableError, TercetIndexError
from tercet.indexes.qdrant.address import API_KEY

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
GRPC_SILENT = (StatusCode.UNAVAILABLE, StatusCode.DEADLINE_EXCEEDED, None)
TOO_MANY = 429
Faults = (ResponseHandlingException, UnexpectedResponse, ResourceExhaustedResponse, RpcError)


def said(error: Exception, urls: Sequence[str]) -> TercetIndexError:
    """What went wrong, for users.

    Args:
        error: One of `Faults`.
        urls: The hosts that were asked.
    """
    where, status = ", ".join(urls), status_of(error)
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
    if isinstance(error, ResourceExhaustedResponse):
        return TOO_MANY
    if isinstance(error, UnexpectedResponse):
        return error.status_code
    if isinstance(error, RpcError):
        code = error.code()
        return None if code in GRPC_SILENT else GRPC_STATUS.get(code, 400)
    return None


def may_pass(error: Exception) -> bool:
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
