"""The plain reading of filters: whether one document passes, as every engine must find it."""

from collections.abc import Callable, Mapping
from typing import Any

from tercet.filters import And, Comparison, Expression, Not, Operator, Or, flatten, kind


def matches(
    expression: Expression, metadata: Mapping[str, Any], *, parent: str | None = None
) -> bool:
    """Whether a document passes: the plain reading that engines are tested against."""
    return _holds(expression, dict(flatten(metadata, parent=parent)))


def _holds(expression: Expression, fields: Mapping[str, Any]) -> bool:
    match expression:
        case And(parts):
            return all(_holds(part, fields) for part in parts)
        case Or(parts):
            return any(_holds(part, fields) for part in parts)
        case Not(part):
            return not _holds(part, fields)
        case Comparison(field, operator, value):
            return field in fields and _TESTS[operator](fields[field], value)
    raise TypeError(f"{expression!r} is no filter")


def _equal(left: object, right: object) -> bool:
    if kind(left) == kind(right) == "list":
        return not left and not right  # a filter names no list but the empty one
    return kind(left) == kind(right) and left == right


def _ordered(test: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    return lambda left, right: kind(left) == kind(right) and test(left, right)


_TESTS: Mapping[Operator, Callable[[Any, Any], bool]] = {
    Operator.EQ: _equal,
    Operator.LT: _ordered(lambda left, right: left < right),
    Operator.LTE: _ordered(lambda left, right: left <= right),
    Operator.GT: _ordered(lambda left, right: left > right),
    Operator.GTE: _ordered(lambda left, right: left >= right),
    Operator.IN: lambda left, right: any(_equal(left, item) for item in right),
    Operator.CONTAINS: lambda left, right: (
        kind(left) == "list" and any(_equal(item, right) for item in left)
    ),
    Operator.MATCH: lambda left, right: (
        isinstance(left, str) and right.casefold() in left.casefold()
    ),
    Operator.EXISTS: lambda _left, _right: True,
}
