"""`TercetCrossEncoder`: scores of pairs."""

import copy
import pickle

import pytest
from langchain_core.cross_encoders import BaseCrossEncoder
from pydantic import ValidationError

from langchain_tercet import TercetCrossEncoder, TercetReranker
from tercet.plans import Plan
from tercet.testing.hash_encoder import HashEncoder

PAIRS = [
    ("an owl at night", "an owl hunts mice at night"),
    ("the cold sea", "a cod swims in the cold sea"),
    ("an owl at night", "the dog barks"),
    ("an owl at night", "an owl hunts mice at night"),
    ("", "nothing asked"),
]


@pytest.mark.parametrize("plan", ["multi_vector", "dense", "sparse", "hybrid"])
def test_each_pair_has_the_score_of_the_reranker_in_the_order_given(
    encoder: HashEncoder, plan: str
) -> None:
    cross_encoder = TercetCrossEncoder(encoder=encoder, plan=plan)
    assert isinstance(cross_encoder, BaseCrossEncoder)
    reranker = TercetReranker(encoder=encoder, plan=plan)
    alone = [reranker.rerank([text], query)[0]["relevance_score"] for query, text in PAIRS]
    scores = cross_encoder.score(PAIRS)
    assert scores == pytest.approx(alone, abs=1e-6)
    assert all(type(score) is float for score in scores)
    assert scores[0] == pytest.approx(scores[3], abs=1e-6)


def test_no_pairs_have_no_scores(encoder: HashEncoder) -> None:
    assert TercetCrossEncoder(encoder=encoder).score([]) == []


def test_plans_that_compare_texts_are_refused(encoder: HashEncoder) -> None:
    min_max = Plan({"dense": 9}, {"dense": 1.0}, normalise="min-max")  # type: ignore[dict-item]
    for plan in ("rrf", min_max):
        with pytest.raises(ValueError, match="a pair alone has no score"):
            TercetCrossEncoder(encoder=encoder, plan=plan)
    with pytest.raises(ValueError, match="no plan 'best'"):
        TercetCrossEncoder(encoder=encoder, plan="best")
    with pytest.raises(ValidationError, match="topn"):
        TercetCrossEncoder(encoder=encoder, topn=3)  # type: ignore[call-arg]


def test_copies_share_the_encoder_and_pickling_is_refused(encoder: HashEncoder) -> None:
    cross_encoder = TercetCrossEncoder(encoder=encoder)
    assert copy.deepcopy(cross_encoder).encoder is encoder
    assert repr(cross_encoder) == "TercetCrossEncoder(model=None, plan='multi_vector')"
    with pytest.raises(TypeError, match="TercetCrossEncoder holds a loaded model"):
        pickle.dumps(cross_encoder)
