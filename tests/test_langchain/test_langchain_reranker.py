"""`TercetReranker`: LangChain documents in a better order."""

import copy
import pickle
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from pydantic import ValidationError

from langchain_tercet import (
    TercetContextCompressor,
    TercetEmbeddings,
    TercetReranker,
    TercetVectorStore,
)
from tercet.embeddings import Embeddings
from tercet.errors import ModelMismatchError
from tercet.reranker import Reranker
from tercet.retriever import Retriever
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


async def test_texts_are_refused_where_documents_belong(reranker: TercetReranker) -> None:
    with pytest.raises(TypeError, match=r"documents\[0\] is a str, not a LangChain Document"):
        reranker.compress_documents(["text"], QUERY)  # type: ignore[list-item]
    with pytest.raises(TypeError, match=r"documents\[0\] is a str"):
        await reranker.acompress_documents(["text"], QUERY)  # type: ignore[list-item]
    with pytest.raises(TypeError, match="a query is one string"):
        reranker.compress_documents([Document(page_content="a")], None)  # type: ignore[arg-type]


class Counting(HashEncoder):
    """Knows which documents were encoded."""

    def __init__(self) -> None:
        super().__init__()
        self.encoded: list[str] = []

    def encode_documents(self, texts: Sequence[str], *, show_progress: bool = False) -> Embeddings:
        self.encoded += texts
        return super().encode_documents(texts)


async def test_stored_vectors_are_used_where_the_index_has_the_same_text(
    animals: list[Document],
) -> None:
    encoder = Counting()
    store = TercetVectorStore.from_documents(animals, TercetEmbeddings(encoder=encoder))
    plain = TercetReranker(encoder=encoder, top_n=None, index=None)
    stored = TercetReranker(encoder=encoder, top_n=None, index=store.retriever.index)
    given = [*animals, Document(page_content="an owl too"), Document(id="cat", page_content="new")]
    expected = plain.compress_documents(given, QUERY)
    encoder.encoded.clear()
    found = stored.compress_documents(given, QUERY)
    assert [d.id for d in found] == [d.id for d in expected]
    assert sorted(encoder.encoded) == ["an owl too", "new", animals[0].page_content]
    encoder.encoded.clear()
    assert stored.rerank([*animals, "an owl too"], QUERY)[0]["index"] == 2
    assert encoder.encoded == ["an owl too"]
    assert [d.id for d in await stored.acompress_documents(given, QUERY)] == [d.id for d in found]


def test_what_is_no_index_is_refused(encoder: HashEncoder) -> None:
    with pytest.raises(TypeError, match="index is a str, without get, embeddings"):
        TercetReranker(encoder=encoder, index="./my-index")
    other = Retriever.create(encoder=HashEncoder(dense_dim=8)).index
    with pytest.raises(ModelMismatchError):
        TercetReranker(encoder=encoder, index=other).rerank(["a"], "b")


class Runs(BaseCallbackHandler):
    """Writes down the runs that are reported."""

    def __init__(self) -> None:
        self.said: list[tuple[str, object]] = []

    def on_chain_start(self, serialized: Any, inputs: Any, **kwargs: Any) -> None:
        self.said.append(("start", kwargs["name"]))

    def on_chain_end(self, outputs: Any, **kwargs: Any) -> None:
        self.said.append(("end", len(outputs)))

    def on_chain_error(self, error: BaseException, **kwargs: Any) -> None:
        self.said.append(("error", str(error)[:15]))


@pytest.mark.parametrize(("name", "kept"), [("TercetReranker", 3), ("TercetContextCompressor", 5)])
async def test_runs_are_reported_and_always_end(
    encoder: HashEncoder, animals: list[Document], name: str, kept: int
) -> None:
    made = {
        "TercetReranker": TercetReranker(encoder=encoder),
        "TercetContextCompressor": TercetContextCompressor(encoder=encoder, budget=999),
    }[name]
    runs = Runs()
    made.compress_documents(animals, QUERY, callbacks=[runs])
    made.compress_documents([], QUERY, callbacks=[runs])
    await made.acompress_documents(animals, QUERY, callbacks=[runs])
    with pytest.raises(TypeError):
        await made.acompress_documents(animals, 3, callbacks=[runs])  # type: ignore[arg-type]
    ends = [("end", kept), ("end", 0), ("end", kept), ("error", "a query is one ")]
    assert runs.said == [said for end in ends for said in (("start", name), end)]


def test_what_is_neither_text_nor_document_is_refused(reranker: TercetReranker) -> None:
    with pytest.raises(TypeError, match="3 is neither a text nor a LangChain Document"):
        reranker.rerank([3], QUERY)  # type: ignore[list-item]
