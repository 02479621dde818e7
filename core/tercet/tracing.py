"""Spans for OpenTelemetry where it is installed; nothing where it is not."""

from collections.abc import Callable
from functools import cache, wraps
from importlib import import_module
from importlib.util import find_spec
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
        @wraps(method)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            tracer = _tracer()
            if tracer is None:
                return method(*args, **kwargs)
            said = {
                option: value
                for option in OPTIONS
                if isinstance(value := kwargs.get(option), str | int)
            }
            with tracer.start_as_current_span(name, attributes=said):
                return method(*args, **kwargs)

        return call

    return decorate


@cache
def _tracer() -> Any | None:
    """Tercet's tracer; None without OpenTelemetry, which is imported at the first call only."""
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.trace") is None:
        return None
    return import_module("opentelemetry.trace").get_tracer("tercet")
