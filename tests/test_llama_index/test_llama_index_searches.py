"""Queries of a `TercetVectorStore`: modes, filters, vectors beside a text, options."""

from typing import Any

import pytest
from llama_index.core.schema import TextNode
from llama_index.core.vector_stores import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryResult,
)
from llama_index.core.vector_stores.types import VectorStoreQueryMode

from llama_index_tercet import TercetVectorStore
from tercet.errors import MissingViewError, ModelMismatchError
from tercet.plans import Plan
from tercet.ranking import Ranking
from tercet.testing.hash_encoder import HashEncoder

OWL = "an owl hunts mice at night"
COD = "a cod swims in the cold sea"
MIXED = "the cold owl sleeps"
KNOWN = "DEFAULT, SPARSE, HYBRID, MMR"


async def both(
    store: TercetVectorStore, query: VectorStoreQuery, **options: Any
) -> VectorStoreQueryResult:
    """The answer, which is the same sync and async."""
    answer = store.query(query, **options)
    assert await store.aquery(query, **options) == answer
    return answer


def same(answer: VectorStoreQueryResult, hits: Ranking) -> bool:
    assert [node.node_id for node in answer.nodes or ()] == answer.ids
    expected = [(hit.document.id, hit.score) for hit in hits]
    return list(zip(answer.ids or (), answer.similarities or (), strict=True)) == expected


def asked(text: str | None = MIXED, *, k: int = 4, **more: Any) -> VectorStoreQuery:
    mode = VectorStoreQueryMode(more.pop("mode", "default"))
    return VectorStoreQuery(query_str=text, similarity_top_k=k, mode=mode, **more)


@pytest.mark.parametrize(
    ("mode", "plan"),
    [("default", None), ("sparse", "sparse"), ("hybrid", "hybrid")],
)
async def test_ids_order_and_scores_are_the_core_s(
    full_store: TercetVectorStore, mode: str, plan: str | None
) -> None:
    answer = await both(full_store, asked(mode=mode))
    assert same(answer, full_store.retriever.retrieve(MIXED, k=4, plan=plan))
    assert all(isinstance(score, float) for score in answer.similarities or ())


async def test_the_plan_of_the_store_or_the_query_is_that_of_the_mode_default(
    full_store: TercetVectorStore,
) -> None:
    plan = Plan({"sparse": 3}, {"multi_vector": 1.0})  # type: ignore[dict-item]  # names
    store = TercetVectorStore(retriever=full_store.retriever, plan=plan)
    assert same(await both(store, asked()), store.retriever.retrieve(MIXED, k=4, plan=plan))
    for chosen in ("rrf", None):
        answer = await both(store, asked(), plan=chosen)
        assert same(answer, store.retriever.retrieve(MIXED, k=4, plan=chosen))


@pytest.mark.parametrize(("alpha", "views"), [(0.0, ["sparse"]), (1.0, ["dense"])])
async def test_alpha_0_is_sparse_alone_and_alpha_1_dense_alone(
    full_store: TercetVectorStore, alpha: float, views: list[str]
) -> None:
    answer = await both(full_store, asked(mode="hybrid", alpha=alpha))
    alone = full_store.retriever.retrieve(MIXED, k=4, plan=views[0])
    assert answer.ids == [hit.document.id for hit in alone]


async def test_alpha_weighs_scores_that_were_moved_into_0_to_1(
    full_store: TercetVectorStore,
) -> None:
    answer = await both(full_store, asked(OWL, k=5, mode="hybrid", alpha=0.25))
    scores = dict(zip(answer.ids or (), answer.similarities or (), strict=True))
    assert scores["owl"] == pytest.approx(1.0)
    hits = full_store.retriever.retrieve(OWL, k=5, plan="dense+sparse")
    views = {hit.document.id: hit.scores for hit in hits}
    low = {view: min(v[view] for v in views.values()) for view in ("dense", "sparse")}
    high = {view: max(v[view] for v in views.values()) for view in ("dense", "sparse")}
    for name, found in views.items():
        dense, sparse = (
            (found[view] - low[view]) / (high[view] - low[view]) for view in ("dense", "sparse")
        )
        assert scores[name] == pytest.approx(0.25 * dense + 0.75 * sparse, abs=1e-5)


async def test_each_mode_has_its_own_number_of_hits(full_store: TercetVectorStore) -> None:
    the = "the a an in at to"
    sparse = asked(the, k=1, mode="sparse", sparse_top_k=3, hybrid_top_k=2)
    assert len((await both(full_store, sparse)).ids or ()) == 3
    hybrid = asked(the, k=1, mode="hybrid", sparse_top_k=3, hybrid_top_k=2)
    assert len((await both(full_store, hybrid)).ids or ()) == 2
    assert len((await both(full_store, asked(the, k=1, sparse_top_k=3))).ids or ()) == 1
    assert len((await both(full_store, asked(the, k=99))).ids or ()) == 5
    with pytest.raises(ValueError, match="k is 0"):
        full_store.query(asked(k=0))


@pytest.mark.parametrize(("threshold", "diversity"), [(0.0, 1.0), (0.3, 0.7), (1.0, 0.0)])
async def test_mmr_trades_relevance_for_difference(
    full_store: TercetVectorStore, threshold: float, diversity: float
) -> None:
    expected = full_store.retriever.retrieve_diverse(MIXED, k=3, fetch_k=5, diversity=diversity)
    query = asked(k=3, mode="mmr", mmr_threshold=threshold)
    assert same(await both(full_store, query, mmr_prefetch_k=5), expected)
    option = await both(full_store, asked(k=3, mode="mmr"), mmr_threshold=threshold)
    assert same(option, expected)


async def test_mmr_takes_half_of_each_and_four_times_the_nodes(
    full_store: TercetVectorStore,
) -> None:
    expected = full_store.retriever.retrieve_diverse(MIXED, k=1, fetch_k=4, diversity=0.5)
    assert same(await both(full_store, asked(k=1, mode="mmr")), expected)


async def test_a_vector_beside_the_text_is_the_dense_view_and_the_text_makes_the_others(
    full_store: TercetVectorStore, encoder: HashEncoder
) -> None:
    views = encoder.encode_queries([COD])
    assert views.dense is not None
    vector = views.dense[0].tolist()
    for plan, best in (("dense", "cod"), ("sparse", "owl"), ("multi_vector", "owl")):
        answer = await both(full_store, asked(OWL, k=1, query_embedding=vector), plan=plan)
        assert answer.ids == [best]
    hybrid = await both(full_store, asked(OWL, k=5, query_embedding=vector, mode="hybrid"))
    alone = full_store.retriever.retrieve(OWL, k=5, plan="hybrid")
    for hit in alone:  # the dense part of each score is the vector's, the rest is the text's
        by_vector = float(views.dense[0] @ stored_dense(full_store, hit.document.id))
        place = (hybrid.ids or []).index(hit.document.id)
        assert (hybrid.similarities or [])[place] == pytest.approx(
            hit.score - hit.scores["dense"] + by_vector, abs=1e-4
        )


def stored_dense(store: TercetVectorStore, node_id: str) -> Any:
    dense = store.retriever.index.embeddings([node_id]).dense
    assert dense is not None
    return dense[0]


async def test_a_vector_alone_asks_the_dense_view(
    full_store: TercetVectorStore, encoder: HashEncoder
) -> None:
    dense = encoder.encode_queries([COD]).dense
    assert dense is not None
    query = asked(None, k=3, query_embedding=dense[0].tolist())
    expected = full_store.retriever.retrieve(COD, k=3, plan="dense")
    assert same(await both(full_store, query), expected)
    assert same(await both(full_store, query, plan="dense"), expected)
    query.mode = VectorStoreQueryMode.MMR
    assert (await both(full_store, query)).ids[0] == "cod"  # type: ignore[index]
    for mode in ("sparse", "hybrid"):
        query.mode = VectorStoreQueryMode(mode)
        with pytest.raises(ValueError, match=f"{mode}.* needs query_str"):
            full_store.query(query)


async def test_metadata_filters_and_sources_restrict_a_query(
    full_store: TercetVectorStore,
) -> None:
    legs = MetadataFilter(key="legs", value=4)
    wild = MetadataFilter(key="tags", value="wild", operator=FilterOperator.CONTAINS)
    either = MetadataFilters(filters=[legs, wild], condition=FilterCondition.OR)
    neither = MetadataFilters(filters=[either], condition=FilterCondition.NOT)
    for filters, expected in ((either, {"cat", "dog", "owl"}), (neither, {"ant", "cod"})):
        for mode in ("default", "hybrid", "mmr"):
            answer = await both(full_store, asked(k=9, filters=filters, mode=mode))
            assert set(answer.ids or ()) == expected
    everywhere = await both(full_store, asked(k=9, doc_ids=["animals", "plants"]))
    assert len(everywhere.ids or ()) == 5
    assert (await both(full_store, asked(doc_ids=["plants"], filters=either))).ids == []
    assert len((await both(full_store, asked(k=9, doc_ids=[]))).ids or ()) == 5


@pytest.mark.parametrize(
    "mode",
    set(VectorStoreQueryMode)
    - set(map(VectorStoreQueryMode, ["default", "sparse", "hybrid", "mmr"])),
)
async def test_a_mode_that_cannot_be_had_is_refused(
    full_store: TercetVectorStore, mode: VectorStoreQueryMode
) -> None:
    with pytest.raises(ValueError, match=rf"no query mode.*{KNOWN}"):
        full_store.query(asked(mode=mode))
    with pytest.raises(ValueError, match=rf"no query mode.*{KNOWN}"):
        await full_store.aquery(asked(mode=mode))


@pytest.mark.parametrize(
    ("query", "options", "message"),
    [
        (asked(), {"mode": "sparse"}, "has mode; mode DEFAULT takes plan"),
        (asked(mode="sparse"), {"plan": "rrf"}, "has plan; mode SPARSE takes nothing"),
        (asked(), {"mmr_threshold": 1}, "has mmr_threshold; mode DEFAULT"),
        (asked(mode="mmr"), {"top": 1}, "mode MMR takes plan, mmr_threshold, mmr_prefetch_k"),
        (asked(None), {}, "neither query_str nor query_embedding"),
        (asked(mode="hybrid", alpha=1.5), {}, r"alpha is 1.5; it lies between 0"),
        (asked(output_fields=["text"]), {}, "output_fields is given"),
        (asked(embedding_field="dense"), {}, "embedding_field is given"),
        (asked(), {"plan": "best"}, "no plan 'best'"),
        (asked(mode="mmr", mmr_threshold=2.0), {}, "diversity is -1.0"),
    ],
)
def test_what_a_query_cannot_mean_is_refused(
    full_store: TercetVectorStore, query: VectorStoreQuery, options: dict[str, Any], message: str
) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        full_store.query(query, **options)


def test_the_name_of_a_mode_will_do(full_store: TercetVectorStore) -> None:
    query = VectorStoreQuery(query_str=OWL, mode="sparse")  # type: ignore[arg-type]  # its string
    assert full_store.query(query).ids == ["owl"]


def test_a_vector_of_another_length_is_refused(full_store: TercetVectorStore) -> None:
    with pytest.raises(ModelMismatchError, match="64 dimensions, those of the queries 3"):
        full_store.query(asked(query_embedding=[1.0, 2.0, 3.0]))


def test_a_mode_whose_view_is_missing_is_refused() -> None:
    dense = HashEncoder(representations=["dense"])
    store = TercetVectorStore.from_defaults([TextNode(text="a")], encoder=dense)
    assert len(store.query(asked("a")).ids or ()) == 1
    for mode in ("sparse", "hybrid"):
        with pytest.raises(MissingViewError, match="sparse"):
            store.query(asked("a", mode=mode))
    two = HashEncoder(representations=["dense", "sparse"])
    pair = TercetVectorStore.from_defaults([TextNode(text="a")], encoder=two)
    assert same(
        pair.query(asked("a", mode="hybrid")), pair.retriever.retrieve("a", plan="dense+sparse")
    )
    without = TercetVectorStore.from_defaults(
        [TextNode(text="a")], encoder=HashEncoder(representations=["sparse"])
    )
    with pytest.raises(MissingViewError, match="dense"):
        without.query(asked("a", mode="mmr"))
    with pytest.raises(MissingViewError, match="dense"):
        without.query(asked(None, query_embedding=[1.0]))
