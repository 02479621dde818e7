"""Candidates in, the same candidates re-ordered out."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from tercet.documents import Document
from tercet.embeddings import Embeddings
from tercet.errors import MissingViewError, ModelMismatchError
from tercet.indexes.base import Index
from tercet.reranker import Reranker
from tercet.testing import HashEncoder

TEXTS = ["the sun is a star", "fish swim in the deep blue sea", "a blue car"]


class CountingEncoder(HashEncoder):
    """Remembers which documents it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def encode_documents(self, texts: Sequence[str], *, show_progress: bool = False) -> Embeddings:
        self.asked += texts
        return super().encode_documents(texts)


@pytest.mark.parametrize("plan", ["dense", "sparse", "multi_vector", "hybrid", "rrf"])
def test_the_best_document_comes_first(plan: str) -> None:
    ranking = Reranker(HashEncoder(), plan=plan).rerank("deep blue sea", TEXTS)
    assert ranking[0].document.text == TEXTS[1]
    assert [hit.document.id for hit in ranking][:2] == ["1", "2"]
    assert len(ranking) == len(TEXTS)


def test_k_cuts_the_ranking() -> None:
    assert len(Reranker(HashEncoder()).rerank("blue", TEXTS, k=2)) == 2


def test_the_score_does_not_depend_on_the_other_candidates() -> None:
    reranker = Reranker(HashEncoder())
    alone = reranker.rerank("deep blue sea", [TEXTS[2]])[0].score
    together = {hit.document.text: hit.score for hit in reranker.rerank("deep blue sea", TEXTS)}
    assert together[TEXTS[2]] == pytest.approx(alone)


def test_ties_keep_the_order_given() -> None:
    same = [Document(id=name, text="one text") for name in ("z", "a", "m")]
    ranking = Reranker(HashEncoder()).rerank("one", same)
    assert [hit.document.id for hit in ranking] == ["z", "a", "m"]


def test_no_candidates_give_no_hits() -> None:
    assert len(Reranker(HashEncoder()).rerank("one", [])) == 0


def test_stored_vectors_are_used_where_the_text_is_the_same(tmp_path: Path) -> None:
    encoder = CountingEncoder()
    documents = [Document(id=str(n), text=text) for n, text in enumerate(TEXTS)]
    with Index.open(tmp_path / "idx", spec=encoder.spec) as index:
        index.add(documents, encoder.encode_documents([d.content for d in documents]))
        encoder.asked.clear()
        changed = [documents[0], Document(id="1", text="fish in the blue sea"), documents[2]]
        with_index = Reranker(encoder, index=index).rerank("blue sea", changed)
    assert encoder.asked == ["fish in the blue sea"]
    without = Reranker(encoder).rerank("blue sea", changed)
    assert [h.document.id for h in with_index] == [h.document.id for h in without]
    assert [h.score for h in with_index] == pytest.approx([h.score for h in without], abs=1e-2)


def test_an_index_that_lacks_the_view_is_not_asked(tmp_path: Path) -> None:
    encoder = CountingEncoder()
    documents = [Document(id=str(n), text=text) for n, text in enumerate(TEXTS)]
    with Index.open(tmp_path / "i", spec=encoder.spec, representations=("dense",)) as index:
        index.add(documents, encoder.encode_documents(TEXTS))
        encoder.asked.clear()
        assert Reranker(encoder, index=index).rerank("blue sea", documents)[0].document.id == "1"
    assert encoder.asked == TEXTS


def test_another_models_index_is_refused(tmp_path: Path) -> None:
    with (
        Index.open(tmp_path / "idx", spec=HashEncoder(dense_dim=8).spec) as index,
        pytest.raises(ModelMismatchError, match="model"),
    ):
        Reranker(HashEncoder(), index=index)


def test_a_model_without_the_view_is_refused() -> None:
    with pytest.raises(MissingViewError, match="multi_vector"):
        Reranker(HashEncoder(representations=("dense",)))


def test_wrong_types_are_refused() -> None:
    reranker = Reranker(HashEncoder())
    with pytest.raises(TypeError, match="one string"):
        reranker.rerank(["q"], TEXTS)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="sequence of documents"):
        reranker.rerank("q", "one text")
    with pytest.raises(ValueError, match="at least 1"):
        reranker.rerank("q", TEXTS, k=0)


def test_the_asynchronous_form_gives_the_same() -> None:
    reranker = Reranker(HashEncoder())
    found = asyncio.run(reranker.arerank("deep blue sea", TEXTS, k=1))
    assert found[0].document.text == TEXTS[1]
