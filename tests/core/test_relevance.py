"""Scores between the bounds of their plan, by hand."""

from collections.abc import Sequence

import pytest

from tercet.callable_encoder import CallableEncoder
from tercet.documents import Document
from tercet.embeddings import Embeddings, Reduction
from tercet.plans import Plan
from tercet.relevance import score_bounds
from tercet.retriever import Retriever
from tercet.testing.hash_encoder import HashEncoder


def plan(fusion: str = "sum", normalise: str = "none", **weights: float) -> Plan:
    return Plan(dict.fromkeys(weights, 10), weights, fusion, normalise)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "own", "bounds"),
    [
        (plan(dense=1.0), "sum", (-1.0, 1.0)),
        (plan(dense=2.0, multi_vector=-0.5), "sum", (-2.5, 2.5)),
        (plan(multi_vector=1.0), "mean", (-1.0, 1.0)),
        (plan(multi_vector=1.0), "sum", None),
        (plan(sparse=1.0), "sum", None),
        (plan(dense=1.0, sparse=0.3), "sum", None),
        (plan(dense=1.0, sparse=0.0), "sum", (-1.0, 1.0)),
        (plan(dense=1.0, sparse=-0.5, normalise="min-max"), "sum", (-0.5, 1.0)),
        (plan(dense=1.0, normalise="z-score"), "sum", None),
        (plan(dense=1.0, sparse=2.0, fusion="rrf"), "sum", (0.0, 3 / 61)),
    ],
)
def test_bounds_follow_from_the_plan(
    given: Plan, own: Reduction, bounds: tuple[float, float] | None
) -> None:
    assert score_bounds(given, own) == pytest.approx(bounds)


def test_the_first_of_every_list_is_as_relevant_as_can_be() -> None:
    retriever = Retriever.create(encoder=HashEncoder())
    retriever.add([Document("a", "red"), Document("b", "blue sky")])
    hits = retriever.retrieve("red", plan="rrf")
    assert retriever.relevance(hits, plan="rrf")[0] == pytest.approx(1.0)


def test_plans_without_bounds_are_refused_by_name() -> None:
    retriever = Retriever.create(encoder=HashEncoder())
    with pytest.raises(ValueError, match="nothing bounds the scores of plan 'hybrid'"):
        retriever.relevance(retriever.retrieve("red"), plan="hybrid")


def test_the_plan_that_has_no_bounds_is_called_by_its_name() -> None:
    retriever = Retriever.create(encoder=HashEncoder())
    retriever.add([Document("a", "red")])
    with pytest.raises(ValueError, match="plan 'hybrid'"):
        retriever.relevance(retriever.retrieve("red"))


class Long(HashEncoder):
    """Makes dense vectors of length 3."""

    def encode_documents(self, texts: Sequence[str], *, show_progress: bool = False) -> Embeddings:
        made = super().encode_documents(texts)
        assert made.dense is not None
        return Embeddings(3 * made.dense, made.sparse, made.multi_vector)


def test_vectors_that_are_not_of_unit_length_have_no_relevance() -> None:
    retriever = Retriever.create(encoder=Long())
    retriever.add([Document("a", "red")])
    hits = retriever.retrieve("red", plan="dense")
    with pytest.raises(ValueError, match=r"hash-encoder .* not of unit length"):
        retriever.relevance(hits, plan="dense")


def test_what_rounding_adds_is_taken_away() -> None:
    encoder = CallableEncoder(lambda t: [[1.0]] * len(t), lambda t: [[1.0]] * len(t), name="one")
    retriever = Retriever.create(encoder=encoder)
    retriever.add([Document("a", "red")])
    assert retriever.relevance(retriever.retrieve("red")) == [1.0]
