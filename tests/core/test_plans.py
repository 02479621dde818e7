from dataclasses import replace
from typing import Any

import pytest

from tercet.embeddings import EncoderSpec, Representation
from tercet.errors import MissingViewError
from tercet.plans import NAMED_PLANS, Plan, deepened, plans_of, resolve_plan

DENSE, SPARSE, MULTI_VECTOR = Representation
ALL = EncoderSpec(family="f", representations=tuple(Representation), model_id="m", document_id="d")


def spec(*views: Representation) -> EncoderSpec:
    return replace(ALL, representations=views)


def test_names_of_views_become_views() -> None:
    plan = Plan({"dense": 10}, {"multi_vector": 2.0, "sparse": 0.0})  # type: ignore[dict-item]
    assert plan.candidates == {DENSE: 10}
    assert plan.scored == (MULTI_VECTOR,)
    assert plan.views == (DENSE, MULTI_VECTOR)


@pytest.mark.parametrize("name", NAMED_PLANS)
def test_every_named_plan_survives_json(name: str) -> None:
    plan = resolve_plan(name, ALL)
    assert Plan.from_json(plan.to_json()) == plan


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"candidates": {}}, "at least one view"),
        ({"candidates": {"dense": 0}}, "positive whole number"),
        ({"candidates": {"dense": True}}, "positive whole number"),
        ({"candidates": {"dense": 2.5}}, "positive whole number"),
        ({"candidates": {"colbert": 5}}, "candidates of a plan.*there are: dense"),
        ({"weights": {"dense": 0.0}}, "not all 0"),
        ({"weights": {"dense": float("nan")}}, "finite"),
        ({"weights": {"token": 1.0}}, "weights of a plan"),
        ({"fusion": "max"}, "no fusion 'max'"),
        ({"normalise": "l2"}, "no normalisation 'l2'"),
        ({"fusion": "rrf", "weights": {"sparse": 1.0}}, "must bring candidates"),
        ({"version": 9}, "version 9"),
    ],
)
def test_plans_that_cannot_work_are_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Plan(**{"candidates": {"dense": 5}, "weights": {"dense": 1.0}, **fields})


@pytest.mark.parametrize(
    ("views", "name"),
    [
        (tuple(Representation), "hybrid"),
        ((DENSE, SPARSE), "dense+sparse"),
        ((DENSE, MULTI_VECTOR), "dense>multi_vector"),
        ((DENSE,), "dense"),
        ((SPARSE,), "sparse"),
        ((MULTI_VECTOR,), "multi_vector"),
        ((SPARSE, MULTI_VECTOR), "rrf"),
    ],
)
def test_each_set_of_views_has_a_default(views: tuple[Representation, ...], name: str) -> None:
    assert resolve_plan(None, spec(*views)) == resolve_plan(name, spec(*views))


def test_hybrid_takes_the_weights_of_the_spec() -> None:
    assert resolve_plan("hybrid", ALL).weights == {DENSE: 1.0, SPARSE: 0.3, MULTI_VECTOR: 1.0}
    own = replace(ALL, weights={DENSE: 0.2, SPARSE: 0.1, MULTI_VECTOR: 0.7})
    assert resolve_plan("hybrid", own).weights[MULTI_VECTOR] == 0.7
    assert resolve_plan("dense+sparse", own).weights == {DENSE: 0.2, SPARSE: 0.1}


def test_a_missing_view_is_named_with_the_plans_that_work() -> None:
    with pytest.raises(MissingViewError, match=r"plans dense, sparse, dense.sparse, rrf work"):
        resolve_plan("hybrid", spec(DENSE, SPARSE))
    with pytest.raises(MissingViewError, match="uses sparse"):
        resolve_plan(Plan({SPARSE: 5}, {SPARSE: 1.0}), spec(DENSE))
    assert plans_of(spec(DENSE)) == ["dense", "rrf"]


def test_an_unknown_name_is_an_error_that_lists_the_names() -> None:
    with pytest.raises(ValueError, match="no plan 'best'; there are: dense, sparse"):
        resolve_plan("best", ALL)
    with pytest.raises(TypeError, match="a name or a Plan"):
        resolve_plan(3, ALL)  # type: ignore[arg-type]


def test_lists_are_at_least_k_deep() -> None:
    assert deepened(Plan({DENSE: 5, SPARSE: 50}, {DENSE: 1.0}), 10).candidates == {
        DENSE: 10,
        SPARSE: 50,
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "a JSON object"),
        ('{"version": 9, "later": 1}', "a plan of version 9; this library reads 1"),
        ('{"candidates": {"dense": 1}}', "a plan has: candidates, weights"),
        ('{"candidates": ["dense"], "weights": {"dense": 1}}', "a mapping from views"),
        ('{"candidates": {"dense": 1}, "weights": null}', "a mapping from views"),
        ('{"candidates": {"dense": 1}, "weights": {"dense": "1"}}', "weight of dense is '1'"),
    ],
)
def test_json_that_is_no_plan_is_a_value_error_that_says_why(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Plan.from_json(text)
