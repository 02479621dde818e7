"""`TercetRetriever`: what a `Retriever` finds, as LangChain documents."""

import asyncio
import copy
import pickle
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from langchain_core.documents import Document
from langchain_core.load import dumps
from langchain_core.retrievers import BaseRetriever
from pydantic import ValidationError

from langchain_tercet import TercetRetriever, TercetVectorStore
from tercet.embeddings import Embeddings
from tercet.filters import F
from tercet.plans import Plan
from tercet.retriever import Retriever
from tercet.testing.hash_encoder import HashEncoder

QUERIES = ["the cat sleeps", "an owl hunts at night", "cold sea", "猫", "", "  "]
PLANS = ["dense", "sparse", "multi_vector", "hybrid", "rrf", None]


def ids(documents: Sequence[Document]) -> list[str | None]:
    return [document.id for document in documents]


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("query", QUERIES)
async def test_ids_order_and_scores_are_the_core_s_sync_and_async(
    retriever: TercetRetriever, query: str, plan: str | None
) -> None:
    adapter = TercetRetriever(retriever=retriever.retriever, k=5, plan=plan, score_key="score")
    hits = retriever.retriever.retrieve(query, k=5, plan=plan)
    expected = [(hit.document.id, hit.score) for hit in hits]
    for found in (adapter.invoke(query), await adapter.ainvoke(query)):
        assert [(d.id, d.metadata["score"]) for d in found] == expected


def test_documents_come_back_as_they_were_given(
    retriever: TercetRetriever, animals: list[Document]
) -> None:
    found = retriever.invoke("cat dog owl ant cod", k=5)
    assert sorted(found, key=lambda d: str(d.id)) == sorted(animals, key=lambda d: str(d.id))


def test_each_call_gives_objects_of_its_own(retriever: TercetRetriever) -> None:
    first = retriever.invoke("cold sea", k=1)[0]
    first.metadata["nested"]["water"].append("sweet")
    assert retriever.invoke("cold sea", k=1)[0].metadata["nested"] == {"water": ["salt"]}


def test_a_call_overrides_each_field(retriever: TercetRetriever) -> None:
    adapter = TercetRetriever(retriever=retriever.retriever, k=3, filter={"lang": "en"})
    assert set(ids(adapter.invoke("an owl"))) == {"owl", "ant"}
    assert len(adapter.invoke("an owl", filter=None)) == 3
    assert ids(adapter.invoke("an owl", k=1)) == ["owl"]
    assert ids(adapter.invoke("an owl", filter=F("legs") == 6)) == ["ant"]
    assert ids(adapter.invoke("mouse", plan=None)) == ids(adapter.invoke("mouse", plan="hybrid"))
    sparse = Plan({"sparse": 10}, {"sparse": 1.0})  # type: ignore[dict-item]  # names will do
    assert adapter.invoke("leaf", plan=sparse) == adapter.invoke("leaf", plan="sparse")


async def test_an_async_call_overrides_each_field(retriever: TercetRetriever) -> None:
    adapter = TercetRetriever(retriever=retriever.retriever, k=3, filter={"lang": "en"})
    assert set(ids(await adapter.ainvoke("an owl"))) == {"owl", "ant"}
    assert ids(await adapter.ainvoke("the cat", filter=None, k=1, plan="sparse")) == ["cat"]


def test_an_unknown_argument_of_a_call_is_a_type_error(retriever: TercetRetriever) -> None:
    with pytest.raises(TypeError, match="kk"):
        retriever.invoke("cat", kk=3)
    with pytest.raises(TypeError, match="kk"):
        asyncio.run(retriever.ainvoke("cat", kk=3))


def test_verbose_is_accepted_as_langchain_reads_it(retriever: TercetRetriever) -> None:
    assert retriever.invoke("cat", verbose=True) == retriever.invoke("cat")


def test_an_unknown_field_is_refused(retriever: TercetRetriever) -> None:
    with pytest.raises(ValidationError, match="kk"):
        TercetRetriever(retriever=retriever.retriever, kk=3)  # type: ignore[call-arg]
    with pytest.raises(ValidationError, match="search_kwargs"):
        TercetRetriever.from_texts(["a"], encoder=HashEncoder(), search_kwargs={})


def test_bad_values_are_refused_by_name(retriever: TercetRetriever) -> None:
    with pytest.raises(ValidationError, match="greater than 0"):
        TercetRetriever(retriever=retriever.retriever, k=0)
    with pytest.raises(ValueError, match="k is 0"):
        retriever.invoke("cat", k=0)
    with pytest.raises(ValueError, match="no plan 'best'"):
        retriever.invoke("cat", plan="best")
    with pytest.raises(ValueError, match=r"no operator '\$near'"):
        retriever.invoke("cat", filter={"legs": {"$near": 4}})
    with pytest.raises(TypeError, match="retriever is a HashEncoder, without retrieve"):
        TercetRetriever(retriever=HashEncoder())  # type: ignore[arg-type]


def test_k_beyond_the_corpus_gives_all(retriever: TercetRetriever) -> None:
    assert len(retriever.invoke("cat", k=100)) == 5


def test_an_empty_index_gives_nothing(encoder: HashEncoder) -> None:
    assert TercetRetriever.from_texts([], encoder=encoder).invoke("cat") == []


def test_texts_keep_their_ids_and_metadata(encoder: HashEncoder) -> None:
    made = TercetRetriever.from_texts(
        ["red", "blue"], [{"n": 1}, {"n": 2}], ["r", None], encoder=encoder, k=1, plan="sparse"
    )
    assert made.invoke("red") == [Document(id="r", page_content="red", metadata={"n": 1})]
    blue = made.invoke("blue")[0]
    assert blue.id is not None
    assert blue.metadata == {"n": 2}


def test_equal_texts_under_different_ids_are_all_kept(encoder: HashEncoder) -> None:
    made = TercetRetriever.from_texts(["same", "same"], encoder=encoder)
    assert len(set(ids(made.invoke("same")))) == 2


def test_documents_given_are_left_as_they_were(encoder: HashEncoder) -> None:
    given = [Document(page_content="red", metadata={"n": [1]})]
    before = copy.deepcopy(given)
    TercetRetriever.from_documents(iter(given), encoder=encoder, score_key="s").invoke("red")
    assert given == before


def test_an_index_with_a_path_stays(tmp_path: Path, encoder: HashEncoder) -> None:
    folder = tmp_path / "index"
    made = TercetRetriever.from_texts(["red"], ids=["r"], encoder=encoder, path=folder)
    made.retriever.close()
    with Retriever.open(folder, encoder=encoder) as opened:
        assert ids(TercetRetriever(retriever=opened).invoke("red")) == ["r"]


def test_copies_share_the_index_and_pickling_is_refused(retriever: TercetRetriever) -> None:
    assert copy.deepcopy(retriever).retriever is retriever.retriever
    assert copy.copy(retriever).retriever is retriever.retriever
    with pytest.raises(TypeError, match="holds a loaded model and an open index"):
        pickle.dumps(retriever)


@pytest.mark.parametrize("kind", ["retriever", "store"])
def test_what_langchain_writes_of_it_shows_neither_model_nor_index(
    retriever: TercetRetriever, kind: str
) -> None:
    adapter: BaseRetriever = retriever
    if kind == "store":
        adapter = TercetVectorStore(retriever=retriever.retriever).as_retriever()
    for written in (dumps(adapter), repr(adapter), str(adapter.model_dump())):
        assert "encoder" not in written
        assert "vectorstore=" not in written
        assert "Index" not in written


def test_its_repr_is_short(retriever: TercetRetriever) -> None:
    assert "HashEncoder" not in repr(retriever)
    assert "k=3" in repr(retriever)


class Counting(HashEncoder):
    """Knows on which threads queries were encoded."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: set[int] = set()

    def encode_queries(self, texts: Sequence[str], *, show_progress: bool = False) -> Embeddings:
        self.threads.add(threading.get_ident())
        return super().encode_queries(texts)


async def test_async_calls_leave_the_event_loop_alone() -> None:
    encoder = Counting()
    made = TercetRetriever.from_texts(["red"], encoder=encoder)
    await made.abatch(["red", "blue", "green"])
    assert encoder.threads
    assert threading.get_ident() not in encoder.threads
