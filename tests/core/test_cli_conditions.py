"""Filters and plans as they are written in a shell."""

import pytest
import typer

from tercet.cli.conditions import filter_of
from tercet.cli.options import plan_of
from tercet.filtering import matches
from tercet.plans import DENSE, Plan

PAPER = {"lang": "en", "year": 2020, "title": "On the Brain", "open": True, "code": "007"}


@pytest.mark.parametrize(
    "condition",
    [
        "lang=en",
        "lang==en",
        " lang = en",
        'lang="en"',
        "lang!=de",
        'lang=["de", "en"]',
        'lang!=["de", "fr"]',
        "year=2020",
        "year>=2020",
        "year<=2020",
        "year>2019.5",
        "year<2021",
        "title~brain",
        "open=true",
        "code=007",
        "missing!=1",
        '{"$or": [{"lang": "de"}, {"year": {"$gte": 2000}}]}',
    ],
)
def test_a_condition_lets_the_paper_pass(condition: str) -> None:
    expression = filter_of([condition])
    assert expression is not None
    assert matches(expression, PAPER)


@pytest.mark.parametrize(
    "condition",
    ["lang=de", 'year="2020"', "year>2020", "open=false", "title~heart", "lang=null", "lang=NaN"],
)
def test_a_condition_keeps_the_paper_out(condition: str) -> None:
    expression = filter_of([condition])
    assert expression is not None
    assert not matches(expression, PAPER)


def test_all_of_several_conditions_must_hold() -> None:
    both = filter_of(["lang=en", "year>2020"])
    assert both is not None
    assert not matches(both, PAPER)


def test_no_condition_is_no_filter() -> None:
    assert filter_of([]) is None


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("lang", "'lang' is no condition; write field=value"),
        ("=en", "'=en' is no condition"),
        ("year>[1]", "takes a string, number"),
        ('{"year": {"$near": 1}}', "no operator '\\$near'"),
        ('{"year": ', "Expecting value"),
        ("$or=1", "\\$or takes a list of filters"),
    ],
)
def test_a_bad_condition_is_a_usage_error(condition: str, message: str) -> None:
    with pytest.raises(typer.BadParameter, match=message):
        filter_of([condition])


def test_a_plan_is_a_name_or_json() -> None:
    own = Plan({DENSE: 10}, {DENSE: 1.0})
    assert plan_of("hybrid") == "hybrid"
    assert plan_of(own.to_json()) == own


@pytest.mark.parametrize(
    "given", ["best", "{", '{"depth": 3}', '{"candidates": {}, "weights": {}}']
)
def test_an_unknown_plan_is_a_usage_error(given: str) -> None:
    with pytest.raises(typer.BadParameter, match="no plan"):
        plan_of(given)


def test_json_nested_too_deep_is_a_usage_error() -> None:
    deep = '{"$not":' * 100_000
    with pytest.raises(typer.BadParameter, match="--filter"):
        filter_of([deep])
    with pytest.raises(typer.BadParameter, match="no plan"):
        plan_of(deep)
