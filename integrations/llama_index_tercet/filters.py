"""LlamaIndex's filters as ours."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
)

from tercet.filters import And, Expression, F, Not, Or


def from_metadata_filters(filters: MetadataFilters | None) -> Expression | None:
    """LlamaIndex's filters as ours; without any condition they restrict nothing.

    Raises:
        TypeError: Something else, a dictionary above all.
        ValueError: A value that its operator cannot use.
    """
    if not isinstance(filters, MetadataFilters | None):
        raise TypeError(
            f"filters is {filters!r}; MetadataFilters belong there: "
            "MetadataFilters(filters=[MetadataFilter(key=..., value=...)])"
        )
    return None if filters is None or not filters.filters else _group(filters)


def _group(filters: MetadataFilters) -> Expression:
    parts = tuple(
        _group(part) if isinstance(part, MetadataFilters) else _comparison(part)
        for part in filters.filters
    )
    if not parts:
        return And(())
    if filters.condition is FilterCondition.OR:
        return Or(parts)
    if filters.condition is FilterCondition.NOT:
        return Not(Or(parts))  # none of them holds
    return And(parts)


def _comparison(given: MetadataFilter) -> Expression:
    return _OPERATORS[given.operator](given.key, given.value)


def _each_contained(field: str, values: object) -> tuple[Expression, ...]:
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise ValueError(f"any and all on {field!r} take a list, not {values!r}")
    return tuple(F(field).contains(value) for value in values)


def _is_empty(field: str) -> Expression:
    return ~F(field).exists() | F(field).is_in((None, "")) | (F(field) == [])


_OPERATORS: Mapping[FilterOperator, Callable[[str, Any], Expression]] = {
    FilterOperator.EQ: lambda field, value: F(field) == value,
    FilterOperator.NE: lambda field, value: F(field) != value,
    FilterOperator.GT: lambda field, value: F(field) > value,
    FilterOperator.GTE: lambda field, value: F(field) >= value,
    FilterOperator.LT: lambda field, value: F(field) < value,
    FilterOperator.LTE: lambda field, value: F(field) <= value,
    FilterOperator.IN: lambda field, values: F(field).is_in(values),
    FilterOperator.NIN: lambda field, values: ~F(field).is_in(values),
    FilterOperator.CONTAINS: lambda field, value: F(field).contains(value),
    FilterOperator.ANY: lambda field, values: Or(_each_contained(field, values)),
    FilterOperator.ALL: lambda field, values: And(_each_contained(field, values)),
    FilterOperator.TEXT_MATCH: lambda field, text: F(field).match(text),
    FilterOperator.TEXT_MATCH_INSENSITIVE: lambda field, text: F(field).match(text),
    FilterOperator.IS_EMPTY: lambda field, _value: _is_empty(field),
}
"""Both text matches ignore the case, as `$match` does on every engine."""
