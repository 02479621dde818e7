"""Filters: which documents a search may return, as a tree that each engine compiles.

Logic is two-valued. A comparison on a missing field, or with a value of another type, is false;
`$not` inverts, `$ne` is `$not $eq`, `$nin` is `$not $in`. A bool is no number, dates are ISO-8601
strings in UTC, and fields of nested objects are named by a dotted path.

    {"lang": "en", "year": {"$gte": 2020}}      (F("lang") == "en") & (F("year") >= 2020)
    {"lang": ["en", "de"]}                      one of them
    {"$or": [{"tags": {"$contains": "a"}}, {"$not": {"title": {"$match": "draft"}}}]}
    {"$parent": "book-7"}                       chunks of the document book-7
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NoReturn

Scalar = str | int | float | bool | None

PARENT = "$parent"
"""The field that holds a document's `parent`."""

DEPTH = 100
"""Levels of a filter; Python's own stack ends at some hundreds."""


class Operator(StrEnum):
    """What a comparison asks of a field; every other operator is made of these and `Not`."""

    EQ = "$eq"
    LT = "$lt"
    LTE = "$lte"
    GT = "$gt"
    GTE = "$gte"
    IN = "$in"
    CONTAINS = "$contains"
    MATCH = "$match"
    EXISTS = "$exists"


NEGATIONS = {"$ne": Operator.EQ, "$nin": Operator.IN}
ORDERINGS = frozenset({Operator.LT, Operator.LTE, Operator.GT, Operator.GTE})


class Expression:
    """A node of the tree; nodes join with `&`, `|` and `~`."""

    __slots__ = ()

    def __and__(self, other: "Expression") -> "Expression":
        return And((*(self.parts if isinstance(self, And) else (self,)), other))

    def __or__(self, other: "Expression") -> "Expression":
        return Or((*(self.parts if isinstance(self, Or) else (self,)), other))

    def __invert__(self) -> "Expression":
        return Not(self)

    def __bool__(self) -> NoReturn:
        """Refuse to be true or false: `and`, `or`, `not` and `1 < F("year") < 3` lose a part.

        Raises:
            TypeError: Always.
        """
        raise TypeError(
            "a filter is neither true nor false: join filters with &, | and ~, each in "
            'parentheses, as (F("year") >= 2000) & (F("year") < 2020)'
        )


@dataclass(frozen=True, slots=True)
class Comparison(Expression):
    """One field against one value; for IN a tuple of values, for EXISTS always True.

    EQ also takes the empty tuple, which stands for a list without items.
    """

    field: str
    operator: Operator
    value: Scalar | tuple[Scalar, ...]

    def __post_init__(self) -> None:
        """Check the field's name, and that the operator can use the value."""
        if not isinstance(self.field, str) or not self.field:
            raise ValueError(f"a filter names the field {self.field!r}; strings name them")
        if self.field.startswith("$") and self.field != PARENT:
            raise ValueError(
                f"a filter names the field {self.field!r}; there are {PARENT}, fields of the "
                "metadata, and the connectives $and, $or, $not"
            )
        values = self.value if isinstance(self.value, tuple) else (self.value,)
        for value in values:
            _check_scalar(self.field, self.operator, value)


@dataclass(frozen=True, slots=True)
class And(Expression):
    """True where every part is; an empty one is true."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Or(Expression):
    """True where some part is; an empty one is false."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Not(Expression):
    """True where the part is false."""

    part: Expression


class F:
    """A field of the metadata, for filters written in Python: `(F("year") >= 2020) & ...`."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __eq__(self, value: object) -> Expression:  # type: ignore[override]
        return _compare(self._name, "$eq", value)

    def __ne__(self, value: object) -> Expression:  # type: ignore[override]
        return _compare(self._name, "$ne", value)

    __hash__ = None  # type: ignore[assignment]

    def __lt__(self, value: Scalar) -> Expression:
        return _compare(self._name, "$lt", value)

    def __le__(self, value: Scalar) -> Expression:
        return _compare(self._name, "$lte", value)

    def __gt__(self, value: Scalar) -> Expression:
        return _compare(self._name, "$gt", value)

    def __ge__(self, value: Scalar) -> Expression:
        return _compare(self._name, "$gte", value)

    def is_in(self, values: Sequence[Scalar]) -> Expression:
        """One of the values."""
        return _compare(self._name, "$in", values)

    def contains(self, value: Scalar) -> Expression:
        """A list that holds the value."""
        return _compare(self._name, "$contains", value)

    def match(self, text: str) -> Expression:
        """A string in which the text stands, whatever the case."""
        return _compare(self._name, "$match", text)

    def exists(self) -> Expression:
        """The document has the field, be it null."""
        return _compare(self._name, "$exists", True)


Filter = Mapping[str, Any] | Expression
"""What a caller may give: the dictionary form or the tree."""


def parse_filter(given: Filter | None) -> Expression | None:
    """Make the tree of what a caller gave.

    Raises:
        TypeError: Neither a dictionary nor a tree.
        ValueError: An unknown operator, a value that its operator cannot use, or too many levels.
    """
    if given is None:
        return None
    expression = _parsed(given, 1)
    fields_of(expression)  # the walk counts the levels of what F(...) built
    return expression


def fields_of(expression: Expression) -> list[str]:
    """The fields that a filter names, each once, in the order of the filter."""
    return list(dict.fromkeys(comparison.field for comparison in _comparisons(expression)))


def _comparisons(expression: Expression) -> Iterator[Comparison]:
    """The comparisons of a tree, from left to right.

    Raises:
        ValueError: The tree has too many levels.
    """
    stack = [(expression, 1)]
    while stack:
        node, depth = stack.pop()
        _check_depth(depth)
        if isinstance(node, Comparison):
            yield node
        elif isinstance(node, Not):
            stack.append((node.part, depth + 1))
        elif isinstance(node, And | Or):
            stack.extend((part, depth + 1) for part in reversed(node.parts))


def _check_depth(depth: int) -> None:
    if depth > DEPTH:
        raise ValueError(f"a filter is nested more than {DEPTH} deep: write it flatter")


def _parsed(given: Filter, depth: int) -> Expression:
    if isinstance(given, Expression):
        return given
    if not isinstance(given, Mapping):
        raise TypeError(f"a filter is a dictionary or built with F(...), not {given!r}")
    _check_depth(depth)
    return _join([_clause(name, value, depth) for name, value in given.items()])


def _join(parts: list[Expression]) -> Expression:
    return parts[0] if len(parts) == 1 else And(tuple(parts))


def _clause(name: str, value: Any, depth: int) -> Expression:
    if name in ("$and", "$or"):
        if isinstance(value, str | Mapping) or not isinstance(value, Sequence):
            raise ValueError(f"{name} takes a list of filters, not {value!r}")
        parts = tuple(_required(part, depth) for part in value)
        return And(parts) if name == "$and" else Or(parts)
    if name == "$not":
        return Not(_required(value, depth))
    if isinstance(value, Mapping):
        if not value:
            raise ValueError(f"the filter on {name!r} is empty; it takes {_operators()}")
        return _join([_compare(name, operator, operand) for operator, operand in value.items()])
    return _compare(name, "$eq" if not _is_list(value) else "$in", value)


def _required(given: Any, depth: int) -> Expression:
    if given is None:
        raise ValueError("a filter is None inside $and, $or or $not")
    return _parsed(given, depth + 1)


def _compare(field: str, operator: str, value: Any) -> Expression:
    if operator == "$exists":
        if not isinstance(value, bool):
            raise ValueError(f"$exists takes true or false, not {value!r}")
        exists = Comparison(field, Operator.EXISTS, True)
        return exists if value else Not(exists)
    if operator in NEGATIONS:
        return Not(_compare(field, NEGATIONS[operator], value))
    try:
        known = Operator(operator)
    except ValueError:
        raise ValueError(
            f"no operator {operator!r} (in the filter on {field!r}); there are: {_operators()}"
        ) from None
    if known is Operator.IN:
        if not _is_list(value):
            raise ValueError(f"$in on {field!r} takes a list, not {value!r}")
        return Comparison(field, known, tuple(value))
    if known is Operator.EQ and _is_list(value) and not value:
        return Comparison(field, known, ())
    return Comparison(field, known, value)


def _operators() -> str:
    return ", ".join([*Operator, *NEGATIONS])


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence | set | frozenset) and not isinstance(value, str | bytes)


def _check_scalar(field: str, operator: Operator, value: object) -> None:
    if value is not None and not isinstance(value, str | bool | int | float):
        raise ValueError(
            f"{operator} on {field!r} takes a string, number, boolean or null, not {value!r}"
        )
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{operator} on {field!r} has the value {value!r}, which no JSON holds")
    if operator in ORDERINGS and kind(value) not in ("number", "string"):
        raise ValueError(f"{operator} on {field!r} takes a number or a string, not {value!r}")
    if operator is Operator.MATCH and not isinstance(value, str):
        raise ValueError(f"$match on {field!r} takes a string, not {value!r}")


def kind(value: object) -> str:
    """The type of a JSON value, as comparisons see it; ints and floats are both numbers."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "list" if isinstance(value, list | tuple) else "object"


def flatten(metadata: Mapping[str, Any], *, parent: str | None = None) -> Iterator[tuple[str, Any]]:
    """The fields of a document by name: scalars and lists, nested objects by dotted path."""
    if parent is not None:
        yield PARENT, parent
    stack = [item for item in list(metadata.items())[::-1] if item[0] != PARENT]
    while stack:
        name, value = stack.pop()
        yield name, value
        if isinstance(value, Mapping):
            stack.extend((f"{name}.{key}", item) for key, item in value.items())
