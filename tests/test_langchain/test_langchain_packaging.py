"""What comes along with one framework: never the other."""

from functools import cache
from importlib.metadata import PackageNotFoundError, requires

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


@cache
def needed(name: str, extra: str = "") -> set[str]:
    """The distributions that an installed one asks for, directly."""
    try:
        lines = requires(name) or []
    except PackageNotFoundError:  # for another platform
        return set()
    found = map(Requirement, lines)
    return {
        canonicalize_name(requirement.name)
        for requirement in found
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra})
    }


def everything(extra: str) -> set[str]:
    """All that `pip install tercet[extra]` brings."""
    found: set[str] = set()
    waiting = needed("tercet", extra)
    while waiting:
        found |= waiting
        waiting = set().union(*(needed(name) for name in waiting)) - found
    return found


@pytest.mark.parametrize(
    ("extra", "own", "other"),
    [
        ("langchain", "langchain-core", "llama-index"),
        ("llama-index", "llama-index-core", "langchain"),
    ],
)
def test_installing_one_framework_never_pulls_the_other(extra: str, own: str, other: str) -> None:
    found = everything(extra)
    assert own in found
    assert not {name for name in found if name.startswith(other)}


def test_without_an_extra_there_is_no_framework() -> None:
    found = everything("")
    assert "numpy" in found
    assert not {name for name in found if name.startswith(("langchain", "llama-index"))}
