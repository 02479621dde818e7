"""Examples check themselves, and say what they lack."""

import math
from collections.abc import Callable

import pytest

from tercet.errors import SourceError
from tercet.training.datasets.examples import Demand, Example, make_example

PLAIN = Example("what is it?", ("an answer",), ("another thing", "a third"))


def test_scores_stand_in_the_order_of_the_documents() -> None:
    scored = PLAIN.scored([3, 1.5, -2])
    assert PLAIN.scores is None
    assert scored.documents == ("an answer", "another thing", "a third")
    assert scored.scores == (3, 1.5, -2)
    assert (scored.positive_scores, scored.negative_scores) == ((3,), (1.5, -2))


def test_other_numbers_of_scores_than_documents_are_refused() -> None:
    with pytest.raises(ValueError, match="2 scores for 3 documents"):
        PLAIN.scored([1, 2])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Example(3, ("a",)), "the query is 3, not a string"),  # type: ignore[arg-type]
        (lambda: Example("q", ("a", 4)), "positive 1 is 4, not a string"),  # type: ignore[arg-type]
        (lambda: Example("q", ("a",), (None,)), "negative 0 is None"),  # type: ignore[arg-type]
        (lambda: Example("q", ["a"]), "positives is a list; a tuple"),  # type: ignore[arg-type]
        (
            lambda: Example("q", ("a",), (), (True,), ()),
            "the score of positive 0 is True, not a number",
        ),
    ],
)
def test_texts_and_scores_of_other_types_are_refused(
    make: Callable[[], Example], message: str
) -> None:
    with pytest.raises(TypeError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Example(" ", ("a",)), "the query is empty"),
        (lambda: Example("q", ()), "no positive"),
        (lambda: Example("q", ("a", "\n")), "a positive is empty"),
        (lambda: Example("q", ("a",), ("b",), (1.0,)), "positives have scores, the negatives have"),
        (
            lambda: Example("q", ("a",), ("b",), None, (1.0,)),
            "negatives have scores, the positives have",
        ),
        (lambda: Example("q", ("a",), ("b",), (1.0,), (1.0, 2.0)), "2 scores for 1 negatives"),
        (lambda: Example("q", ("a",), (), (math.nan,), ()), "positive 0 is nan: it must be finite"),
    ],
)
def test_examples_that_say_nothing_are_refused(make: Callable[[], Example], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_an_error_says_where_the_example_stands() -> None:
    with pytest.raises(SourceError, match=r"^pairs\.jsonl, line 3: no positive"):
        make_example("q", [], place="pairs.jsonl, line 3")


def test_a_demand_names_what_an_example_lacks_and_what_to_do() -> None:
    Demand().check(PLAIN, place="here")
    Demand(negatives=2).check(PLAIN, place="here")
    with pytest.raises(SourceError, match=r"^here: 2 negatives, and this training needs 3: mine"):
        Demand(negatives=3).check(PLAIN, place="here")
    with pytest.raises(SourceError, match=r"^here: no scores, and this training needs those of a"):
        Demand(scores=True).check(PLAIN, place="here")
    Demand(negatives=1, scores=True).check(PLAIN.scored([1, 2, 3]), place="here")
