"""Spans for OpenTelemetry where it is installed; nothing where it is not."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import cache, wraps
from importlib import import_module
from importlib.util import find_spec
from inspect import iscoroutinefunction
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

OPTIONS = ("plan", "k", "exact")
"""The arguments that become attributes; texts and filters never do."""


def traced(name: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """A method whose calls are spans of that name; an error that leaves it stands in its span.

    An application that sets up no tracer provider records nothing.
    """

    def decorate(method: Callable[P, T]) -> Callable[P, T]:
        if iscoroutinefunction(method):
            return _traced_coroutine(name, method)

        @wraps(method)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            with _span(name, kwargs):
                return method(*args, **kwargs)

        return call

    return decorate


def _traced_coroutine(name: str, method: Callable[P, Any]) -> Callable[P, Any]:
    @wraps(method)
    async def call(*args: P.args, **kwargs: P.kwargs) -> Any:
        with _span(name, kwargs):
            return await method(*args, **kwargs)

    return call


def _span(name: str, given: Mapping[str, object]) -> AbstractContextManager[object]:
    """A span with the options of a call; nothing without OpenTelemetry."""
    tracer = _tracer()
    if tracer is None:
        return nullcontext()
    said = {
        option: value for option in OPTIONS if isinstance(value := given.get(option), str | int)
    }
    span: AbstractContextManager[object] = tracer.start_as_current_span(name, attributes=said)
    return span


@cache
def _tracer() -> Any | None:
    """Tercet's tracer; None without OpenTelemetry, which is imported at the first call only."""
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.trace") is None:
        return None
    return import_module("opentelemetry.trace").get_tracer("tercet")
