from typing import Any

import pytest

from tercet.filtering import matches
from tercet.filters import (
    And,
    Comparison,
    F,
    Not,
    Operator,
    Or,
    fields_of,
    flatten,
    parse_filter,
)

DOCUMENT = {
    "lang": "en",
    "year": 2021,
    "score": 0.5,
    "draft": False,
    "tags": ["a", 1, None],
    "nothing": None,
    "book": {"title": "Die Straße", "pages": {"count": 10}},
}


def passes(given: Any, metadata: Any = DOCUMENT, parent: Any = None) -> bool:
    expression = parse_filter(given)
    assert expression is not None
    return matches(expression, metadata, parent=parent)


@pytest.mark.parametrize(
    "given",
    [
        {"lang": "en"},
        {"lang": ["de", "en"]},
        {"lang": {"$in": {"en"}}},
        {"lang": {"$ne": "de"}},
        {"lang": {"$nin": ["de", "fr"]}},
        {"lang": {"$nin": []}},
        {"year": {"$gt": 2020, "$lt": 2022}},
        {"year": 2021.0},
        {"year": {"$gte": 2021, "$lte": 2021}},
        {"draft": False},
        {"nothing": None},
        {"nothing": {"$exists": True}},
        {"missing": {"$exists": False}},
        {"missing": {"$ne": 1}},
        {"tags": {"$contains": "a"}},
        {"tags": {"$contains": None}},
        {"book": {"$exists": True}},
        {"book.pages.count": {"$gt": 9}},
        {"book.title": {"$match": "STRASSE"}},
        {"lang": {"$gt": "de"}},
        {"$or": [{"lang": "de"}, {"year": 2021}]},
        {"$and": [{"lang": "en"}, {"year": 2021}]},
        {"$not": {"lang": "de"}},
        {"$and": []},
        {},
    ],
)
def test_these_filters_pass(given: Any) -> None:
    assert passes(given)


@pytest.mark.parametrize(
    "given",
    [
        {"lang": "EN"},
        {"lang": []},
        {"missing": 1},
        {"missing": None},
        {"year": "2021"},
        {"year": {"$lt": "3"}},
        {"draft": 0},
        {"year": True},
        {"score": {"$gt": 0.5}},
        {"lang": {"$contains": "e"}},
        {"tags": "a"},
        {"tags": {"$match": "a"}},
        {"tags": {"$contains": True}},
        {"year": {"$match": "2021"}},
        {"$or": []},
        {"lang": "en", "year": 1},
    ],
)
def test_these_filters_do_not_pass(given: Any) -> None:
    assert not passes(given)


def test_python_filters_build_the_same_tree() -> None:
    year = F("year")
    assert (year >= 2020) == parse_filter({"year": {"$gte": 2020}})
    assert (year != 3) == Not(Comparison("year", Operator.EQ, 3))
    assert year.is_in([1, 2]) == parse_filter({"year": [1, 2]})
    assert ((year < 3) & (year > 1)) == And((year < 3, year > 1))
    assert ~(year <= 3) == parse_filter({"$not": {"year": {"$lte": 3}}})
    assert ((year == 1) | (year == 2) | (year == 3)) == Or((year == 1, year == 2, year == 3))
    assert ((year == 1) & (year == 2) & (year == 3)) == And((year == 1, year == 2, year == 3))
    assert F("t").contains("x") == parse_filter({"t": {"$contains": "x"}})
    assert F("t").match("x") == parse_filter({"t": {"$match": "x"}})
    assert F("t").exists() == parse_filter({"t": {"$exists": True}})
    with pytest.raises(TypeError, match="unhashable"):
        hash(year)


def test_no_filter_is_none_and_a_tree_is_itself() -> None:
    assert parse_filter(None) is None
    tree = F("a") == 1
    assert parse_filter(tree) is tree


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"year": {"$near": 3}}, r"no operator '\$near' .* there are: \$eq"),
        ({"year": {}}, "is empty"),
        ({"": 1}, "names the field ''"),
        ({"$parents": 1}, "connectives"),
        ({"year": {"$in": 3}}, "takes a list"),
        ({"year": {"$exists": 1}}, "takes true or false"),
        ({"year": {"$lt": None}}, "takes a number or a string"),
        ({"year": {"$gt": True}}, "takes a number or a string"),
        ({"t": {"$match": 3}}, "takes a string"),
        ({"t": float("inf")}, "which no JSON holds"),
        ({"t": {"$eq": [1]}}, "takes a string, number, boolean or null"),
        ({"t": [object()]}, "takes a string, number"),
        ({"$and": {"a": 1}}, "takes a list of filters"),
        ({"$or": "a"}, "takes a list of filters"),
        ({"$not": None}, "None inside"),
    ],
)
def test_unusable_filters_say_why(given: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_filter(given)


@pytest.mark.parametrize("given", ["lang = en", [("a", 1)], 7])
def test_a_filter_is_a_dictionary_or_a_tree(given: Any) -> None:
    with pytest.raises(TypeError, match="dictionary or built with F"):
        parse_filter(given)


def test_the_parent_is_a_field_that_metadata_cannot_take() -> None:
    assert passes({"$parent": "book-7"}, {}, parent="book-7")
    assert not passes({"$parent": "book-7"}, {"$parent": "book-7"})
    assert not passes({"$parent": "other"}, {"$parent": "other"}, parent="book-7")


def test_nested_objects_are_flattened_by_dotted_path() -> None:
    assert dict(flatten({"a": {"b": {"c": 1}}, "d": [1]}, parent="p")) == {
        "$parent": "p",
        "a": {"b": {"c": 1}},
        "a.b": {"c": 1},
        "a.b.c": 1,
        "d": [1],
    }


def test_deep_filters_are_refused_in_either_form() -> None:
    dictionary: Any = {"a": 1}
    tree = F("a") == 1
    for _ in range(2000):
        dictionary, tree = {"$not": dictionary}, ~tree
    for given in (dictionary, tree, {"$and": [tree]}, {"$or": [dictionary]}):
        with pytest.raises(ValueError, match="nested more than 100 deep: write it flatter"):
            parse_filter(given)


def test_the_fields_of_a_filter_are_told_once_each() -> None:
    given = parse_filter({"$or": [{"a": 1, "b": 2}, {"$not": {"a": 3}}], "c": 4})
    assert given is not None
    assert fields_of(given) == ["a", "b", "c"]


def test_what_is_no_expression_is_refused() -> None:
    with pytest.raises(TypeError, match="is no filter"):
        matches("lang", {})  # type: ignore[arg-type]


def test_a_filter_is_neither_true_nor_false_so_and_never_drops_a_part() -> None:
    with pytest.raises(TypeError, match="join filters with &"):
        F("lang") == "en" and F("year") >= 2020
    with pytest.raises(TypeError, match="join filters with &"):
        2000 <= F("year") < 2020  # noqa: B015
