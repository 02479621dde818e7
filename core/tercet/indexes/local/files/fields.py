"""Metadata as rows of the table `fields`, and comparisons as SQL over them.

A row is (name, type, value). Types are those of `filters.kind`; items of a list have `[]` behind
theirs; a list has its length for a value, objects and nulls have 0. Numbers that no 64-bit integer
reaches have types of their own, below and above the others, and values that sort as bytes.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tercet.documents import replace_lone_surrogates
from tercet.filters import Comparison, Expression, Operator, flatten, kind

Value = str | int | float | bytes

REACH = 1 << 63
"""SQLite's integers lie in [-REACH, REACH)."""

NUMBER_TYPES = ("number-", "number", "number+")
"""Numbers by range, in ascending order."""

ITEM = "[]"
LOWER, UPPER = (Operator.GT, Operator.GTE), (Operator.LT, Operator.LTE)
SQL_OPERATORS = {Operator.LT: "<", Operator.LTE: "<=", Operator.GT: ">", Operator.GTE: ">="}

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


@dataclass(frozen=True, slots=True)
class Query:
    """A question to the table `fields`; values are bound, never part of the SQL."""

    where: str
    values: tuple[Value, ...]


def queries_of(comparison: Comparison) -> Iterator[Query]:
    """The questions of which a document answers one if it passes; each is one search of the key."""
    name = replace_lone_surrogates(comparison.field)
    operator, value = comparison.operator, comparison.value
    if operator is Operator.EXISTS:
        yield Query("name = ?", (name,))
    elif operator is Operator.MATCH:
        folded = replace_lone_surrogates(str(value)).casefold()
        yield Query("name = ? AND type = 'string' AND holds_folded(value, ?)", (name, folded))
    elif operator is Operator.IN and isinstance(value, tuple):
        yield from _one_of(name, [typed(item) for item in value])
    elif operator in SQL_OPERATORS:
        yield from _ordered(name, SQL_OPERATORS[operator], *typed(value))
    else:
        found, bound = typed(value)
        suffix = ITEM if operator is Operator.CONTAINS else ""
        yield Query("name = ? AND type = ? AND value = ?", (name, found + suffix, bound))


def between(parts: Sequence[Expression]) -> tuple[list[Query], list[Expression]]:
    """Pairs of bounds on one field as one search each, and the other parts of a conjunction.

    A search with both ends reads what lies between them; two searches would read all that lies
    above the one and below the other.
    """
    lower: dict[tuple[str, str], Comparison] = {}
    pairs: list[Query] = []
    others: list[Expression] = []
    for part in sorted(parts, key=lambda part: not _is_bound(part, LOWER)):
        if isinstance(part, Comparison) and (_is_bound(part, LOWER) or _is_bound(part, UPPER)):
            field = (part.field, typed(part.value)[0])
            if _is_bound(part, LOWER) and lower.setdefault(field, part) is part:
                continue
            if _is_bound(part, UPPER) and field in lower:
                pairs.append(_range(lower.pop(field), part))
                continue
        others.append(part)
    return pairs, [*others, *lower.values()]


def _is_bound(part: Expression, operators: Collection[Operator]) -> bool:
    return isinstance(part, Comparison) and part.operator in operators


def _range(lower: Comparison, upper: Comparison) -> Query:
    signs = f"value {SQL_OPERATORS[lower.operator]} ? AND value {SQL_OPERATORS[upper.operator]} ?"
    found, least = typed(lower.value)
    name = replace_lone_surrogates(lower.field)
    return Query(f"name = ? AND type = ? AND {signs}", (name, found, least, typed(upper.value)[1]))


def _ordered(name: str, operator: str, found: str, value: Value) -> Iterator[Query]:
    yield Query(f"name = ? AND type = ? AND value {operator} ?", (name, found, value))
    if found in NUMBER_TYPES:
        place = NUMBER_TYPES.index(found)
        beyond = NUMBER_TYPES[:place] if operator[0] == "<" else NUMBER_TYPES[place + 1 :]
        for other in beyond:
            yield Query("name = ? AND type = ?", (name, other))


def _one_of(name: str, pairs: Sequence[tuple[str, Value]]) -> Iterator[Query]:
    by_type: dict[str, list[Value]] = {}
    for found, value in pairs:
        by_type.setdefault(found, []).append(value)
    start = "name = ? AND type = ? AND value IN"
    for found, values in by_type.items():
        # SQLite reads neither every float nor NUL out of JSON as they were.
        listed = [v for v in values if len(values) > ALL_BOUND and _is_plain(v)]
        if listed:
            packed = json.dumps(listed, ensure_ascii=False)
            yield Query(f"{start} (SELECT value FROM json_each(?))", (name, found, packed))
        single = values if not listed else [v for v in values if not _is_plain(v)]
        for first in range(0, len(single), ALL_BOUND):
            some = single[first : first + ALL_BOUND]
            marks = ", ".join("?" * len(some))
            yield Query(f"{start} ({marks})", (name, found, *some))


def _is_plain(value: Value) -> bool:
    return isinstance(value, int) or (isinstance(value, str) and "\0" not in value)
