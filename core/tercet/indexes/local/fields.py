"""Metadata as rows of the table `fields`, and filters as SQL over them.

A row is (name, type, value). Types are those of `filters.kind`; items of a list have `[]` behind
theirs; a list has its length for a value, objects and nulls have 0. Numbers that no 64-bit integer
reaches have types of their own, below and above the others, and values that sort as bytes.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tercet.documents import replace_lone_surrogates
from tercet.filters import And, Comparison, Expression, Not, Operator, Or, flatten, kind

Value = str | int | float | bytes

REACH = 1 << 63
"""SQLite's integers lie in [-REACH, REACH)."""

NUMBER_TYPES = ("number-", "number", "number+")
"""Numbers by range, in ascending order."""

ITEM = "[]"
SQL_OPERATORS = {Operator.LT: "<", Operator.LTE: "<=", Operator.GT: ">", Operator.GTE: ">="}
DEPTH = 12
"""Levels of a filter: SQLite's parser ends at about 16 in the worst case."""

CHAIN = 100
"""Conditions joined at one level of SQL."""

ALL_BOUND = 500
"""So many values of an $in are bound one by one; more go as one JSON array."""


def field_rows(metadata: Mapping[str, Any], parent: str | None) -> set[tuple[str, str, Value]]:
    """The rows of one document."""
    rows: set[tuple[str, str, Value]] = set()
    for name, value in dict(flatten(metadata, parent=parent)).items():
        rows.add((name, *typed(value)))
        if isinstance(value, list):
            rows.update((name, found + ITEM, item) for found, item in map(typed, value))
    return rows


def typed(value: Any) -> tuple[str, Value]:
    """Type and value as the table has them."""
    found = kind(value)
    if found == "number":
        return _number(value)
    if found == "string":
        return found, replace_lone_surrogates(value)
    if found == "list":
        return found, len(value)
    return found, int(value) if found == "bool" else 0


def _number(value: int | float) -> tuple[str, Value]:
    if -REACH <= value < REACH:
        return "number", value
    whole = abs(int(value))  # floats of this size have no fraction
    size = (whole.bit_length() + 7) // 8
    ascending = size.to_bytes(4, "big") + whole.to_bytes(size, "big")
    if value > 0:
        return "number+", ascending
    return "number-", bytes(255 - byte for byte in ascending)


class Condition:
    """A filter as a condition on `documents.key`, with the values to bind."""

    def __init__(self, expression: Expression) -> None:
        self.values: list[Value] = []
        self.names: dict[str, None] = {}
        self.sql = self._compile(expression, depth=1)

    def _compile(self, expression: Expression, *, depth: int) -> str:
        if depth > DEPTH:
            raise ValueError(f"a filter is nested more than {DEPTH} deep: write it flatter")
        match expression:
            case And(parts):
                return self._join(parts, "AND", empty="1", depth=depth)
            case Or(parts):
                return self._join(parts, "OR", empty="0", depth=depth)
            case Not(part):
                return f"NOT {self._compile(part, depth=depth + 1)}"
            case Comparison():
                return self._comparison(expression)
        raise TypeError(f"{expression!r} is no filter")

    def _join(self, parts: Sequence[Expression], word: str, *, empty: str, depth: int) -> str:
        """Join in groups of groups: SQLite bounds how long a chain may be."""
        joined = [self._compile(part, depth=depth + 1) for part in parts]
        while len(joined) > 1:
            groups = [joined[i : i + CHAIN] for i in range(0, len(joined), CHAIN)]
            joined = [f"({f' {word} '.join(group)})" for group in groups]
        return joined[0] if joined else empty

    def _comparison(self, comparison: Comparison) -> str:
        self.names[comparison.field] = None
        tests = " OR ".join(self._tests(comparison))
        return f"key IN (SELECT document FROM fields WHERE {tests or '0'})"

    def _tests(self, comparison: Comparison) -> Iterator[str]:
        operator, value = comparison.operator, comparison.value
        if operator is Operator.EXISTS:
            yield self._bind("name = ?", comparison.field)
        elif operator is Operator.MATCH:
            yield self._bind(
                "name = ? AND type = 'string' AND holds_folded(value, ?)",
                comparison.field,
                replace_lone_surrogates(str(value)).casefold(),
            )
        elif operator is Operator.IN and isinstance(value, tuple):
            yield from self._one_of(comparison.field, [typed(item) for item in value])
        elif operator in SQL_OPERATORS:
            yield from self._ordered(comparison.field, SQL_OPERATORS[operator], *typed(value))
        else:
            found, bound = typed(value)
            suffix = ITEM if operator is Operator.CONTAINS else ""
            yield self._equal(comparison.field, found + suffix, bound)

    def _equal(self, name: str, found: str, value: Value) -> str:
        return self._bind("name = ? AND type = ? AND value = ?", name, found, value)

    def _ordered(self, name: str, operator: str, found: str, value: Value) -> Iterator[str]:
        yield self._bind(f"name = ? AND type = ? AND value {operator} ?", name, found, value)
        if found in NUMBER_TYPES:
            place = NUMBER_TYPES.index(found)
            beyond = NUMBER_TYPES[:place] if operator[0] == "<" else NUMBER_TYPES[place + 1 :]
            for other in beyond:
                yield self._bind("name = ? AND type = ?", name, other)

    def _one_of(self, name: str, pairs: Sequence[tuple[str, Value]]) -> Iterator[str]:
        by_type: dict[str, list[Value]] = {}
        for found, value in pairs:
            by_type.setdefault(found, []).append(value)
        for found, values in by_type.items():
            # SQLite reads neither every float nor NUL out of JSON as they were.
            listed = [v for v in values if len(values) > ALL_BOUND and _is_plain(v)]
            if listed:
                array = "SELECT value FROM json_each(?)"
                packed = json.dumps(listed, ensure_ascii=False)
                yield self._bind(
                    f"name = ? AND type = ? AND value IN ({array})", name, found, packed
                )
            single = values if not listed else [v for v in values if not _is_plain(v)]
            if single:
                marks = ", ".join("?" * len(single))
                yield self._bind(
                    f"name = ? AND type = ? AND value IN ({marks})", name, found, *single
                )

    def _bind(self, sql: str, *values: Value) -> str:
        self.values.extend(values)
        return f"({sql})"


def _is_plain(value: Value) -> bool:
    return isinstance(value, int) or (isinstance(value, str) and "\0" not in value)
