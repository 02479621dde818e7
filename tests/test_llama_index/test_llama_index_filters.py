"""`MetadataFilters` mean what LlamaIndex says they mean, on our two-valued logic."""

from typing import Any

import pytest
from llama_index.core.schema import TextNode
from llama_index.core.vector_stores import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
)

from llama_index_tercet import TercetRetriever
from llama_index_tercet.filters import from_metadata_filters
from tercet.filtering import matches

ALL = {"cat", "dog", "owl", "ant", "cod"}

OPERATORS: list[tuple[str, FilterOperator, Any, set[str]]] = [
    ("legs", FilterOperator.EQ, 4, {"cat", "dog"}),
    ("legs", FilterOperator.EQ, "4", set()),
    ("legs", FilterOperator.EQ, 0.5, {"cod"}),
    ("legs", FilterOperator.NE, 4, {"owl", "ant", "cod"}),
    ("lang", FilterOperator.NE, "en", ALL - {"owl"}),
    ("legs", FilterOperator.GT, 4, {"ant"}),
    ("legs", FilterOperator.GTE, 4, {"cat", "dog", "ant"}),
    ("legs", FilterOperator.LT, 2, {"cod"}),
    ("legs", FilterOperator.LTE, 2, {"owl", "cod"}),
    ("legs", FilterOperator.GT, "a", set()),
    ("lang", FilterOperator.GTE, "a", {"owl"}),
    ("legs", FilterOperator.IN, [2, 6], {"owl", "ant"}),
    ("legs", FilterOperator.IN, [], set()),
    ("legs", FilterOperator.NIN, [2, 6], {"cat", "dog", "cod"}),
    ("lang", FilterOperator.NIN, ["en"], ALL - {"owl"}),
    ("tags", FilterOperator.CONTAINS, "pet", {"cat", "dog"}),
    ("lang", FilterOperator.CONTAINS, "e", set()),
    ("tags", FilterOperator.ANY, ["pet", "wild"], {"cat", "dog", "owl"}),
    ("tags", FilterOperator.ANY, [], set()),
    ("tags", FilterOperator.ALL, ["pet", "fur"], {"cat", "dog"}),
    ("tags", FilterOperator.ALL, ["pet", "wild"], set()),
    ("lang", FilterOperator.TEXT_MATCH, "E", {"owl", "ant"}),
    ("lang", FilterOperator.TEXT_MATCH_INSENSITIVE, "N", {"owl", "ant"}),
    ("lang", FilterOperator.IS_EMPTY, None, {"cat", "dog", "cod"}),
    ("tags", FilterOperator.IS_EMPTY, None, {"ant", "cod"}),
    ("nothing", FilterOperator.IS_EMPTY, None, ALL),
]


def passing(filters: MetadataFilters, animals: list[TextNode]) -> set[str]:
    tree = from_metadata_filters(filters)
    return {n.node_id for n in animals if tree is None or matches(tree, n.metadata)}


@pytest.mark.parametrize(("key", "operator", "value", "expected"), OPERATORS)
def test_each_operator(
    animals: list[TextNode], key: str, operator: FilterOperator, value: Any, expected: set[str]
) -> None:
    filters = MetadataFilters(filters=[MetadataFilter(key=key, value=value, operator=operator)])
    assert passing(filters, animals) == expected


@pytest.mark.filterwarnings("ignore:.*'nothing'")
@pytest.mark.parametrize(("key", "operator", "value", "expected"), OPERATORS)
def test_the_index_reads_each_operator_alike(
    retriever: TercetRetriever, key: str, operator: FilterOperator, value: Any, expected: set[str]
) -> None:
    filters = MetadataFilters(filters=[MetadataFilter(key=key, value=value, operator=operator)])
    filtered = TercetRetriever(retriever.retriever, similarity_top_k=9, filters=filters)
    assert {found.node.node_id for found in filtered.retrieve("a the")} == expected


def test_every_operator_is_there() -> None:
    assert {operator for _, operator, _, _ in OPERATORS} == set(FilterOperator)


LEGS_4 = MetadataFilter(key="legs", value=4)
WILD = MetadataFilter(key="tags", value="wild", operator=FilterOperator.CONTAINS)
ENGLISH = MetadataFilter(key="lang", value="en", operator=FilterOperator.TEXT_MATCH_INSENSITIVE)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (FilterCondition.AND, {"owl"}),
        (FilterCondition.OR, {"owl", "ant"}),
        (FilterCondition.NOT, {"cat", "dog", "cod"}),
        (None, {"owl"}),
    ],
)
def test_conditions_join_filters_and_not_means_none_of_them(
    animals: list[TextNode], condition: FilterCondition | None, expected: set[str]
) -> None:
    assert passing(MetadataFilters(filters=[WILD, ENGLISH], condition=condition), animals) == (
        expected
    )


def test_groups_nest(animals: list[TextNode]) -> None:
    inner = MetadataFilters(filters=[LEGS_4, WILD], condition=FilterCondition.OR)
    not_english = MetadataFilters(filters=[ENGLISH], condition=FilterCondition.NOT)
    assert passing(MetadataFilters(filters=[inner, not_english]), animals) == {"cat", "dog"}
    either = MetadataFilters(filters=[inner, ENGLISH], condition=FilterCondition.OR)
    assert passing(either, animals) == {"cat", "dog", "owl", "ant"}


@pytest.mark.parametrize("condition", FilterCondition)
def test_no_filters_restrict_nothing(animals: list[TextNode], condition: FilterCondition) -> None:
    empty = MetadataFilters(filters=[], condition=condition)
    assert from_metadata_filters(empty) is None
    assert passing(MetadataFilters(filters=[empty, LEGS_4]), animals) == {"cat", "dog"}
    assert from_metadata_filters(None) is None


@pytest.mark.parametrize(
    ("operator", "value", "message"),
    [
        (FilterOperator.IN, "abc", r"\$in on 'f' takes a list"),
        (FilterOperator.NIN, 1, r"\$in on 'f' takes a list"),
        (FilterOperator.ANY, "abc", "take a list"),
        (FilterOperator.ALL, 1, "take a list"),
        (FilterOperator.GT, None, "number or a string"),
        (FilterOperator.TEXT_MATCH, 1, "takes a string"),
        (FilterOperator.EQ, [1], "takes a string, number"),
    ],
)
def test_a_value_that_its_operator_cannot_use_is_refused(
    operator: FilterOperator, value: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        from_metadata_filters(
            MetadataFilters(filters=[MetadataFilter(key="f", value=value, operator=operator)])
        )


def test_filters_written_as_dictionaries_are_read(animals: list[TextNode]) -> None:
    """LlamaIndex wants a value even where the operator has none."""
    empty = {"key": "lang", "value": None, "operator": "is_empty"}
    legs = {"key": "legs", "value": 4}
    filters = MetadataFilters.from_dicts([empty, legs])
    assert passing(filters, animals) == {"cat", "dog"}


def test_what_is_no_metadata_filters_is_refused() -> None:
    for given in ({"lang": "en"}, LEGS_4, [LEGS_4]):
        with pytest.raises(TypeError, match="MetadataFilters belong there"):
            from_metadata_filters(given)  # type: ignore[arg-type]
