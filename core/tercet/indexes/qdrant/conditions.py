"""Filters as Qdrant has them.

What a server cannot compare exactly (numbers beyond 2 ** 53, strings that share their first 24
bytes) is settled by looking at the few documents in question.
"""

from collections.abc import Awaitable, Callable, Sequence

from qdrant_client import models

from tercet.documents import replace_lone_surrogates
from tercet.filters import And, Comparison, Expression, Not, Operator, Or, Scalar
from tercet.indexes.qdrant.fields import (
    ORDERED_BYTES,
    canonical,
    key,
    nearest_float,
    string_parts,
)

LEVELS = 50
"""Nested levels of a filter that a request can hold: the server's reader of JSON ends at 128."""

EXACT = float(1 << 53)
"""Below it a float is every whole number."""

VALUES_AT_ONCE = 10_000
STRICT = {Operator.LT: "lt", Operator.LTE: "lt", Operator.GT: "gt", Operator.GTE: "gt"}
OR_EQUAL = frozenset({Operator.LTE, Operator.GTE})

Settle = Callable[[models.Filter, Comparison], Awaitable[Sequence[str]]]
"""Which points of those that pass the filter pass the comparison too."""

Condition = models.Condition


async def compile_filter(expression: Expression, settle: Settle) -> models.Filter:
    """The filter of a server.

    Args:
        expression: The filter.
        settle: Looks at documents where the server's own comparison is not exact.

    Raises:
        ValueError: It is nested too deep for a request.
    """
    return await _Compiler(settle).compiled(expression, 1)


def names_filter(name: str) -> models.Filter:
    """The documents that have a field."""
    return models.Filter(must=[_equal("names", key(name))])


class _Compiler:
    def __init__(self, settle: Settle) -> None:
        self._settle = settle

    async def compiled(self, expression: Expression, level: int) -> models.Filter:
        if level > LEVELS:
            raise ValueError(
                f"a filter is nested more than {LEVELS} deep, which no request to a Qdrant server "
                "can be: write it flatter"
            )
        match expression:
            case And(parts):
                return models.Filter(must=[await self.compiled(part, level + 1) for part in parts])
            case Or(parts):
                return _any([await self.compiled(part, level + 1) for part in parts])
            case Not(Not(part)):
                return await self.compiled(part, level)
            case Not(part):
                return models.Filter(must_not=[await self.compiled(part, level + 1)])
            case Comparison():
                return await self._compared(expression)
        raise TypeError(f"{expression!r} is no filter")

    async def _compared(self, comparison: Comparison) -> models.Filter:
        name, operator, value = key(comparison.field), comparison.operator, comparison.value
        if operator is Operator.EXISTS:
            return names_filter(comparison.field)
        if operator is Operator.MATCH:
            folded = replace_lone_surrogates(str(value)).casefold()
            text = models.MatchText(text=folded)
            return models.Filter(must=[models.FieldCondition(key=f"folded.{name}", match=text)])
        if operator is Operator.IN and isinstance(value, tuple):
            return _any(_one_of(f"values.{name}", [canonical(item) for item in value]))
        if operator in STRICT and not isinstance(value, tuple):
            return await self._ordered(comparison, name, value)
        room = "items" if operator is Operator.CONTAINS else "values"
        return models.Filter(must=[_equal(f"{room}.{name}", canonical(value))])

    async def _ordered(self, comparison: Comparison, name: str, value: Scalar) -> models.Filter:
        side = STRICT[comparison.operator]
        if isinstance(value, str):
            keys = [f"strings.{name}.{part}" for part in "0123"]
            numbers = string_parts(value)
            vague = len(replace_lone_surrogates(value).encode()) >= ORDERED_BYTES
        else:
            keys, numbers = [f"numbers.{name}"], [nearest_float(value or 0)]
            vague = abs(numbers[0]) >= EXACT
        passing: list[Condition] = list(_lexicographic(keys, numbers, side))
        same = [_range(k, gte=n, lte=n) for k, n in zip(keys, numbers, strict=True)]
        if vague:
            tied = models.Filter(must=[*same])
            settled = await self._settle(tied, comparison)
            passing.append(models.HasIdCondition(has_id=[*settled]))
        elif comparison.operator in OR_EQUAL:
            passing.append(models.Filter(must=[*same]))
        return _any(passing)


def _lexicographic(keys: Sequence[str], numbers: Sequence[float], side: str) -> list[models.Filter]:
    """On the right side of some numbers: in the first one that differs."""
    return [
        models.Filter(
            must=[
                *(_range(k, gte=n, lte=n) for k, n in zip(keys[:place], numbers, strict=False)),
                _range(keys[place], **{side: numbers[place]}),
            ]
        )
        for place in range(len(keys))
    ]


def _range(name: str, **ends: float) -> models.FieldCondition:
    return models.FieldCondition(key=name, range=models.Range(**ends))


def _equal(name: str, value: str) -> models.FieldCondition:
    return models.FieldCondition(key=name, match=models.MatchValue(value=value))


def _one_of(name: str, values: Sequence[str]) -> list[Condition]:
    return [
        models.FieldCondition(
            key=name, match=models.MatchAny(any=[*values[start : start + VALUES_AT_ONCE]])
        )
        for start in range(0, len(values), VALUES_AT_ONCE)
    ]


def _any(conditions: Sequence[Condition]) -> models.Filter:
    """One of them; of none, nothing."""
    if not conditions:
        return models.Filter(must=[models.HasIdCondition(has_id=[])])
    return models.Filter(should=[*conditions])
