"""`TercetReranker`: LangChain documents in a better order."""

import copy
import pickle
from datetime import UTC, datetime

import pytest
from langchain_core.documents import Document
from pydantic import ValidationError

from langchain_tercet import TercetReranker
from tercet.reranker import Reranker
from tercet.testing.hash_encoder import HashEncoder

QUERY = "an owl at night"


@pytest.fixture
def reranker(encoder: HashEncoder) -> TercetReranker:
    return TercetReranker(encoder=encoder)


@pytest.mark.parametrize("plan", ["multi_vector", "dense", "sparse", "hybrid", "rrf"])
async def test_order_and_scores_are_the_core_s_sync_and_async(
    encoder: HashEncoder, animals: list[Document], plan: str
) -> None:
    adapter = TercetReranker(encoder=encoder, plan=plan, top_n=4)
    texts = [document.page_content for document in animals]
    hits = Reranker(encoder, plan=plan).rerank(QUERY, texts, k=4)
    expected = [(animals[int(hit.document.id)].id, hit.score) for hit in hits]
    for found in (
        adapter.compress_documents(animals, QUERY),
        await adapter.acompress_documents(animals, QUERY),
    ):
        assert [(d.id, d.metadata["relevance_score"]) for d in found] == expected


def test_the_best_come_first_with_python_floats(
    reranker: TercetReranker, animals: list[Document]
) -> None:
    found = reranker.compress_documents(animals, QUERY)
    scores = [document.metadata["relevance_score"] for document in found]
    assert found[0].id == "owl"
    assert len(found) == 3
    assert all(type(score) is float for score in scores)
    assert scores == sorted(scores, reverse=True)


def test_documents_given_are_left_as_they_were(
    reranker: TercetReranker, animals: list[Document]
) -> None:
    before = copy.deepcopy(animals)
    found = reranker.compress_documents(animals, QUERY)
    found[0].metadata["tags"].append("changed")
    assert animals == before


def test_metadata_of_other_stores_need_not_be_json(reranker: TercetReranker) -> None:
    when = datetime(2020, 1, 1, tzinfo=UTC)
    found = reranker.compress_documents([Document(page_content="owl", metadata={"at": when})], "a")
    assert found[0].metadata["at"] == when


def test_no_ids_and_equal_ids_are_no_obstacle(reranker: TercetReranker) -> None:
    given = [Document(page_content="a fish", id="x"), Document(page_content="an owl", id="x")]
    found = reranker.compress_documents(given, "owl")
    assert [document.page_content for document in found] == ["an owl", "a fish"]
    nameless = [Document(page_content="one"), Document(page_content="two")]
    assert [d.id for d in reranker.compress_documents(nameless, "two")] == [None, None]


def test_ties_keep_the_order_given(reranker: TercetReranker) -> None:
    given = [Document(page_content="same", metadata={"n": n}) for n in range(12)]
    found = TercetReranker(encoder=reranker.encoder, top_n=None).compress_documents(given, "same")
    assert [document.metadata["n"] for document in found] == list(range(12))


def test_nothing_in_nothing_out(reranker: TercetReranker) -> None:
    assert reranker.compress_documents([], QUERY) == []
    assert reranker.rerank([], QUERY) == []


def test_top_n_may_exceed_what_there_is(encoder: HashEncoder, animals: list[Document]) -> None:
    assert len(TercetReranker(encoder=encoder, top_n=50).compress_documents(animals, "a")) == 5
    assert len(TercetReranker(encoder=encoder, top_n=None).compress_documents(animals, "a")) == 5


def test_rerank_gives_places_and_scores(reranker: TercetReranker, animals: list[Document]) -> None:
    by_text = reranker.rerank([document.page_content for document in animals], QUERY)
    assert by_text == reranker.rerank(animals, QUERY)
    assert by_text[0]["index"] == 2
    assert [set(row) for row in by_text] == [{"index", "relevance_score"}] * 3
    assert len(reranker.rerank(animals, QUERY, top_n=1)) == 1
    assert len(reranker.rerank(animals, QUERY, top_n=9)) == 5


def test_bad_arguments_are_refused_by_name(
    reranker: TercetReranker, animals: list[Document], encoder: HashEncoder
) -> None:
    with pytest.raises(ValueError, match="k is 0"):
        reranker.rerank(animals, QUERY, top_n=0)
    with pytest.raises(TypeError, match="documents is one str"):
        reranker.rerank("text", QUERY)
    with pytest.raises(TypeError, match="documents is one Document"):
        reranker.compress_documents(animals[0], QUERY)  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="topn"):
        TercetReranker(encoder=encoder, topn=3)  # type: ignore[call-arg]
    with pytest.raises(ValidationError, match="greater than 0"):
        TercetReranker(encoder=encoder, top_n=0)
    with pytest.raises(ValidationError, match="neither model nor encoder"):
        TercetReranker()


def test_an_encoder_wins_and_copies_share_it(encoder: HashEncoder) -> None:
    adapter = TercetReranker(model="no/such-model", encoder=encoder)
    assert adapter.encoder is encoder
    assert copy.deepcopy(adapter).encoder is encoder
    assert "HashEncoder" not in repr(adapter)
    with pytest.raises(TypeError, match="TercetReranker holds a loaded model"):
        pickle.dumps(adapter)


def test_what_is_neither_text_nor_document_is_refused(reranker: TercetReranker) -> None:
    with pytest.raises(TypeError, match="3 is neither a text nor a LangChain Document"):
        reranker.rerank([3], QUERY)  # type: ignore[list-item]
