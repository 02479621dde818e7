"""What a `TercetVectorStore` finds, by itself and behind `as_retriever`."""

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from langchain_core.documents import Document
from pydantic import ValidationError

from langchain_tercet import TercetEmbeddings, TercetVectorStore, TercetVectorStoreRetriever
from tercet.embeddings import Embeddings
from tercet.filters import F
from tercet.plans import Plan
from tercet.retriever import Retriever
from tercet.testing.hash_encoder import HashEncoder

QUERIES = ["the cat sleeps", "an owl hunts at night", "猫", "", "  "]
PLANS = ["dense", "sparse", "multi_vector", "hybrid", "rrf", None]
QUERY = "an owl at night"


@pytest.fixture(scope="module")
def store(encoder: HashEncoder, animals: list[Document]) -> TercetVectorStore:
    return TercetVectorStore.from_documents(animals, TercetEmbeddings(encoder=encoder))


def ids(documents: Sequence[Document]) -> list[str | None]:
    return [document.id for document in documents]


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("query", QUERIES)
async def test_ids_order_and_scores_are_the_core_s_sync_and_async(
    store: TercetVectorStore, query: str, plan: str | None
) -> None:
    hits = store.retriever.retrieve(query, k=4, plan=plan)
    expected = [(hit.document.id, hit.score) for hit in hits]
    for scored in (
        store.similarity_search_with_score(query, plan=plan),
        await store.asimilarity_search_with_score(query, plan=plan),
    ):
        assert [(document.id, score) for document, score in scored] == expected
    for found in (
        store.similarity_search(query, plan=plan),
        await store.asimilarity_search(query, plan=plan),
        store.search(query, "similarity", plan=plan),
    ):
        assert ids(found) == [id_ for id_, _ in expected]


def test_scores_are_python_floats_and_never_in_the_metadata(
    store: TercetVectorStore, animals: list[Document]
) -> None:
    document, score = store.similarity_search_with_score(QUERY, k=1)[0]
    assert type(score) is float
    assert document == animals[2]


async def test_filters_come_before_the_cut(store: TercetVectorStore) -> None:
    assert ids(store.similarity_search(QUERY, k=1, filter={"legs": 6})) == ["ant"]
    assert ids(await store.asimilarity_search(QUERY, k=1, filter=F("legs") == 6)) == ["ant"]
    assert store.similarity_search(QUERY, filter={"legs": 100}) == []
    found = store.max_marginal_relevance_search(QUERY, filter={"lang": "en"})
    assert set(ids(found)) == {"owl", "ant"}
    vector = store.retriever.encoder.encode_queries([QUERY]).dense
    assert vector is not None
    by_vector = store.similarity_search_by_vector(vector[0].tolist(), filter={"legs": 6})
    assert ids(by_vector) == ["ant"]


async def test_a_vector_finds_what_its_text_finds_in_the_dense_view(
    store: TercetVectorStore,
) -> None:
    assert store.embeddings is not None
    vector = [3 * number for number in store.embeddings.embed_query(QUERY)]
    expected = store.similarity_search(QUERY, plan="dense")
    assert store.similarity_search_by_vector(vector) == expected
    assert await store.asimilarity_search_by_vector(vector) == expected
    diverse = store.max_marginal_relevance_search(QUERY, k=3, plan="dense")
    assert store.max_marginal_relevance_search_by_vector(vector, k=3) == diverse
    assert await store.amax_marginal_relevance_search_by_vector(vector, k=3) == diverse
    assert len(store.similarity_search_by_vector([0.0] * len(vector))) == 4
    with pytest.raises(ValueError, match="have 64 dimensions, those of the queries 2"):
        store.similarity_search_by_vector([1.0, 0.0])
    with pytest.raises(TypeError, match="without a plan"):
        store.similarity_search_by_vector(vector, plan="hybrid")


@pytest.mark.parametrize("lambda_mult", [0.0, 0.3, 1.0])
async def test_diversity_is_the_core_s(store: TercetVectorStore, lambda_mult: float) -> None:
    hits = store.retriever.retrieve_diverse(QUERY, k=3, fetch_k=5, diversity=1 - lambda_mult)
    expected = [hit.document.id for hit in hits]
    given: dict[str, Any] = {"k": 3, "fetch_k": 5, "lambda_mult": lambda_mult}
    assert ids(store.max_marginal_relevance_search(QUERY, **given)) == expected
    assert ids(await store.amax_marginal_relevance_search(QUERY, **given)) == expected
    assert ids(store.search(QUERY, "mmr", **given)) == expected


def test_diversity_passes_over_what_is_said_twice(encoder: HashEncoder) -> None:
    texts = ["an owl at night", "an owl at night", "the cold sea"]
    store = TercetVectorStore.from_texts(
        texts, TercetEmbeddings(encoder=encoder), ids=["a", "b", "c"]
    )
    assert ids(store.similarity_search("owl", k=2, plan="dense")) == ["a", "b"]
    assert ids(store.max_marginal_relevance_search("owl", k=2, plan="dense")) == ["a", "c"]


async def test_relevance_lies_between_0_and_1_in_the_plan_s_order(store: TercetVectorStore) -> None:
    min_max = Plan(
        {"dense": 10, "sparse": 10},  # type: ignore[dict-item]  # names will do
        {"dense": 1.0, "sparse": -0.5},  # type: ignore[dict-item]
        normalise="min-max",
    )
    for plan in ("dense", "rrf", "dense>multi_vector", min_max):
        scored = store.similarity_search_with_relevance_scores(QUERY, plan=plan)
        relevance = [value for _, value in scored]
        assert ids([d for d, _ in scored]) == ids(store.similarity_search(QUERY, plan=plan))
        assert relevance == sorted(relevance, reverse=True)
        assert 0 <= relevance[-1] < relevance[0] <= 1
        assert await store.asimilarity_search_with_relevance_scores(QUERY, plan=plan) == scored


def test_relevance_of_a_cosine_is_half_of_one_more(store: TercetVectorStore) -> None:
    scored = store.similarity_search_with_score(QUERY, plan="dense")
    relevant = store.similarity_search_with_relevance_scores(QUERY, plan="dense")
    assert [value for _, value in relevant] == pytest.approx([(1 + s) / 2 for _, s in scored])


@pytest.mark.parametrize("plan", [None, "hybrid", "sparse"])
async def test_relevance_is_refused_where_nothing_bounds_the_scores(
    store: TercetVectorStore, plan: str | None
) -> None:
    with pytest.raises(ValueError, match="nothing bounds the scores of plan"):
        store.similarity_search_with_relevance_scores(QUERY, plan=plan)
    with pytest.raises(ValueError, match="plans 'dense' and 'rrf' have bounds"):
        await store.asimilarity_search_with_relevance_scores(QUERY, plan=plan)


def test_a_threshold_keeps_what_is_relevant(store: TercetVectorStore) -> None:
    scored = store.similarity_search_with_relevance_scores(QUERY, k=5, plan="dense")
    threshold = scored[1][1]
    retriever = store.as_retriever(
        search_type="similarity_score_threshold",
        search_kwargs={"k": 5, "plan": "dense", "score_threshold": threshold},
    )
    assert retriever.invoke(QUERY) == [d for d, value in scored if value >= threshold]


async def test_search_kwargs_reach_the_search(store: TercetVectorStore) -> None:
    retriever = store.as_retriever(search_kwargs={"k": 2, "plan": "sparse", "filter": {"legs": 4}})
    expected = store.similarity_search("the cat", k=2, plan="sparse", filter={"legs": 4})
    assert retriever.invoke("the cat") == expected
    assert await retriever.ainvoke("the cat") == expected
    assert ids(retriever.invoke("the cat", k=1)) == ids(expected)[:1]
    assert len(retriever.invoke("the cat", k=5, filter=None, plan="dense")) == 5
    diverse = store.as_retriever(search_type="mmr", search_kwargs={"k": 2, "lambda_mult": 0.1})
    expected = store.max_marginal_relevance_search("the cat", k=2, lambda_mult=0.1)
    assert diverse.invoke("the cat") == expected
    assert await diverse.ainvoke("the cat", verbose=True) == expected


def test_the_retriever_of_a_store_swallows_nothing(store: TercetVectorStore) -> None:
    with pytest.raises(TypeError, match=r"as_retriever\(\) takes .*go into search_kwargs.* got k,"):
        store.as_retriever(k=2)
    with pytest.raises(ValidationError, match="kk"):
        TercetVectorStoreRetriever(vectorstore=store, kk=2)  # type: ignore[call-arg]
    with pytest.raises(ValidationError, match="search_type of hybrid not allowed"):
        store.as_retriever(search_type="hybrid")
    with pytest.raises(TypeError, match="it got kk"):
        store.as_retriever(search_kwargs={"kk": 2}).invoke("cat")
    with pytest.raises(TypeError, match="it got score_threshold"):
        store.as_retriever(search_kwargs={"score_threshold": 0.5}).invoke("cat")


def test_the_retriever_of_a_store_has_its_tags_and_says_which_model(
    store: TercetVectorStore,
) -> None:
    retriever = store.as_retriever(tags=["mine"], metadata={"a": 1}, name="animals")
    assert retriever.tags == ["mine"]
    assert retriever.metadata == {"a": 1}
    assert retriever.get_name() == "animals"
    assert store.as_retriever().tags == ["TercetVectorStore", "TercetEmbeddings"]
    assert store.as_retriever()._get_ls_params() == {
        "ls_retriever_name": "tercetvectorstore",
        "ls_vector_store_provider": "TercetVectorStore",
        "ls_embedding_provider": "TercetEmbeddings",
        "ls_embedding_model": "hash-encoder",
    }


def test_bad_values_are_refused_by_name(store: TercetVectorStore) -> None:
    with pytest.raises(ValueError, match="k is 0"):
        store.similarity_search("cat", k=0)
    with pytest.raises(ValueError, match="fetch_k is 0"):
        store.max_marginal_relevance_search("cat", fetch_k=0)
    with pytest.raises(ValueError, match=r"diversity is -0\.5"):
        store.max_marginal_relevance_search("cat", lambda_mult=1.5)
    with pytest.raises(ValueError, match="no plan 'best'"):
        store.similarity_search("cat", plan="best")
    with pytest.raises(TypeError, match="a query is one string"):
        store.similarity_search(["cat"])  # type: ignore[arg-type]


def test_k_beyond_the_corpus_gives_all(store: TercetVectorStore) -> None:
    assert len(store.similarity_search("cat", k=100)) == 5
    assert len(store.max_marginal_relevance_search("cat", k=100)) == 5


def test_an_empty_store_finds_nothing(encoder: HashEncoder) -> None:
    store = TercetVectorStore(retriever=Retriever.create(encoder=encoder))
    assert store.similarity_search_with_score("cat") == []
    assert store.max_marginal_relevance_search("cat") == []
    assert store.similarity_search_with_relevance_scores("cat", plan="dense") == []


def test_eight_threads_find_what_one_finds(store: TercetVectorStore) -> None:
    queries = [f"what does the {word} do?" for word in ("cat", "dog", "owl", "ant", "cod")] * 8
    alone = [store.similarity_search_with_score(query) for query in queries]
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(store.similarity_search_with_score, queries)) == alone


class Watching(HashEncoder):
    """Knows on which threads queries were encoded."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: set[int] = set()

    def encode_queries(self, texts: Sequence[str], *, show_progress: bool = False) -> Embeddings:
        self.threads.add(threading.get_ident())
        return super().encode_queries(texts)


async def test_async_searches_leave_the_event_loop_alone() -> None:
    encoder = Watching()
    store = TercetVectorStore(retriever=Retriever.create(encoder=encoder))
    await store.aadd_texts(["red", "blue"], ids=["r", "b"])
    await asyncio.gather(
        store.asimilarity_search("red"),
        store.asimilarity_search_with_score("red"),
        store.asimilarity_search_with_relevance_scores("red", plan="dense"),
        store.amax_marginal_relevance_search("red"),
        store.as_retriever().ainvoke("red"),
    )
    assert encoder.threads
    assert threading.get_ident() not in encoder.threads
