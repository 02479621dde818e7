"""Filters on a real Qdrant server, with `filtering.matches` as the oracle."""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tercet.documents import Document
from tercet.embeddings import Embeddings, EncoderSpec, Representation
from tercet.filtering import matches
from tercet.filters import Expression, F, Filter, Not, parse_filter
from tercet.indexes.base import Index

SPEC = EncoderSpec(
    family="own",
    representations=(Representation.DENSE,),
    model_id="m",
    document_id="d",
    dense_dim=1,
)
PREFIX = "https://example.org/a/very/long/way/"
VALUES: list[Any] = [
    *(None, True, False, 0, 1, 1.0, -1, 0.5, -0.0, 5e-324, 1e300, 2**53, 2**53 + 1, float(2**53)),
    *(2**63, -(2**63) - 1, 2**64, 2**2000, -(2**2000), "", "a", "A", "aß", "ASS", "İ", "\0", "a\0"),
    *("a\0b", "é", "😀", "true", "1", "null", PREFIX, PREFIX + "a", PREFIX + "b", PREFIX[:24]),
    *([], [1], [True, "a"], [[]], [None, 2**53 + 1], "x" * 300, "x" * 301, {}, {"g": 1}),
]
NAMES = ["f", "g", "f.g", "a.b", "'; --", '"', "ключ", "0", "[0]"]


@pytest.fixture(scope="module")
def filled(qdrant_server: Any) -> Iterator[tuple[Index, list[Document]]]:
    """One document a value and name, and some with several fields."""
    docs = [Document(f"v{n:03d}", "", {"f": value}) for n, value in enumerate(VALUES)]
    docs += [Document(f"n{n}", "", {name: "a"}, parent="p") for n, name in enumerate(NAMES)]
    docs += [Document("both", "", {"f": "a", "g": 1, "ключ": [1]}, parent="q"), Document("z", "")]
    with Index.open(f"qdrant://{qdrant_server.host}/filters?fields=f,g", spec=SPEC) as index:
        index.add(docs, Embeddings(dense=np.ones((len(docs), 1))))
        yield index, sorted(docs, key=lambda document: document.id)


def agrees(filled: tuple[Index, list[Document]], asked: Filter) -> None:
    index, docs = filled
    expression = parse_filter(asked)
    assert expression is not None
    expected = [d.id for d in docs if matches(expression, d.metadata, parent=d.parent)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of fields that no document has
        assert index.ids(expression) == expected, expression


SCALARS = [value for value in VALUES if not isinstance(value, list | dict)]
ORDERED = [v for v in SCALARS if v is not None and not isinstance(v, bool)]


@pytest.mark.parametrize("operator", ["$eq", "$in", "$contains"])
def test_a_value_equals_what_it_equals_in_python(filled: Any, operator: str) -> None:
    for value in SCALARS:
        given = {"f": {operator: [value, "a"] if operator == "$in" else value}}
        agrees(filled, given)


@pytest.mark.parametrize("operator", ["$lt", "$lte", "$gt", "$gte"])
def test_numbers_and_strings_order_as_in_python(filled: Any, operator: str) -> None:
    for value in ORDERED:
        agrees(filled, {"f": {operator: value}})


def test_a_substring_matches_whatever_the_case(filled: Any) -> None:
    for text in ("", "a", "A", "SS", "ß", "i̇", "EXAMPLE", "x" * 299, "\0", "no"):
        agrees(filled, F("f").match(text))


def test_every_name_of_a_field_can_be_asked_for(filled: Any) -> None:
    for name in [*NAMES, "$parent"]:
        agrees(filled, F(name).exists())
        agrees(filled, F(name) == "a")
        agrees(filled, ~(F(name) == "p"))
    agrees(filled, F("f") == "a\ud800")


COMPARISONS = st.one_of(
    st.builds(lambda n, v: F(n) == v, st.sampled_from(NAMES), st.sampled_from(SCALARS)),
    st.builds(lambda n, v: F(n) >= v, st.sampled_from(NAMES), st.sampled_from(ORDERED)),
    st.builds(
        lambda n, v: F(n).is_in(v), st.sampled_from(NAMES), st.lists(st.sampled_from(SCALARS))
    ),
)
EXPRESSIONS = st.recursive(
    COMPARISONS,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.lists(inner, max_size=3).map(lambda parts: parse_filter({"$and": parts})),
        st.lists(inner, max_size=3).map(lambda parts: parse_filter({"$or": parts})),
    ),
    max_leaves=6,
)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(expression=EXPRESSIONS)
def test_connectives_join_as_in_the_plain_reading(filled: Any, expression: Any) -> None:
    agrees(filled, expression)


def test_a_filter_may_be_nested_fifty_deep_and_no_deeper(filled: Any) -> None:
    index, _ = filled
    deep: Expression = F("f") == "a"
    for _ in range(24):
        deep = F("f").exists() & (deep | (F("f") == "A"))
    agrees(filled, deep)
    with pytest.raises(ValueError, match="nested more than 50 deep"):
        index.ids(~(F("f").exists() & (F("f").exists() & (deep | F("g").exists()))))


def test_thousands_of_values_can_be_asked_for(filled: Any) -> None:
    index, _ = filled
    assert index.ids({"f": [*range(25_000), "a"]}) == index.ids({"f": [0, 1, 1.0, "a"]})


def test_filters_apply_to_searches(filled: Any, qdrant_address: Callable[[], str]) -> None:
    index, _ = filled
    query = Embeddings(dense=np.ones((1, 1)))
    found = index.search(query, k=50, filter={"f": {"$gte": PREFIX}})[0]
    assert [hit.document.id for hit in found] == index.ids(F("f") >= PREFIX)
