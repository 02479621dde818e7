"""Filters as they are written in a shell.

lang=en   lang!=en   year>=2020   year<2020   title~brain        values are JSON where they can
lang=["en","de"]                                                 be, else strings
{"$or": [{"lang": "en"}, {"year": {"$gte": 2020}}]}              the whole language of filters
"""

import json
import re
from collections.abc import Sequence
from typing import Any

import typer

from tercet.filters import Expression, parse_filter

OPERATORS = {
    "=": "$eq",
    "==": "$eq",
    "!=": "$ne",
    ">": "$gt",
    ">=": "$gte",
    "<": "$lt",
    "<=": "$lte",
    "~": "$match",
}

CONDITION = re.compile(r"\s*([^=<>!~]+?)\s*([=<>!]=|[=<>~])\s*(.*)", re.DOTALL)


def filter_of(conditions: Sequence[str]) -> Expression | None:
    """The filter that all of some conditions make; None where there is none.

    Raises:
        typer.BadParameter: A condition is malformed.
    """
    if not conditions:
        return None
    try:
        return parse_filter({"$and": [_condition(given) for given in conditions]})
    except (ValueError, RecursionError) as error:
        raise typer.BadParameter(f"--filter: {error}") from error


def _condition(given: str) -> dict[str, Any]:
    if given.lstrip().startswith("{"):
        tree: dict[str, Any] = json.loads(given)
        return tree
    found = CONDITION.fullmatch(given)
    if found is None:
        raise ValueError(f"{given!r} is no condition; write field=value, field>=value or JSON")
    field, operator, text = found.groups()
    value = _value(text)
    if operator in ("=", "==", "!=") and isinstance(value, list | dict):
        return {field: value} if operator != "!=" else {"$not": {field: value}}
    return {field: {OPERATORS[operator]: text if operator == "~" else value}}


def _value(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse)
    except ValueError:
        return text


def _refuse(name: str) -> None:
    """NaN and the infinities are no JSON: take them as words."""
    raise ValueError(name)
