"""`TercetRetriever`: what a `Retriever` finds, as LlamaIndex nodes."""

import asyncio
import copy
import pickle
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.callbacks import CallbackManager, CBEventType
from llama_index.core.schema import Document, IndexNode, NodeWithScore, QueryBundle, TextNode
from llama_index.core.vector_stores import MetadataFilter, MetadataFilters

from llama_index_tercet import TercetRetriever, TercetVectorStore
from tercet.documents import Document as TercetDocument
from tercet.embeddings import Embeddings
from tercet.errors import MissingViewError
from tercet.retriever import Retriever
from tercet.testing.hash_encoder import HashEncoder

QUERIES = ["the cat sleeps", "an owl hunts at night", "cold sea", "猫", "", "  "]
PLANS = ["dense", "sparse", "multi_vector", "hybrid", "rrf", None]


def ids(nodes: Sequence[NodeWithScore]) -> list[str]:
    return [found.node.node_id for found in nodes]


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("query", QUERIES)
async def test_ids_order_and_scores_are_the_core_s_sync_and_async(
    retriever: TercetRetriever, query: str, plan: str | None
) -> None:
    adapter = TercetRetriever(retriever.retriever, similarity_top_k=5, plan=plan)
    hits = retriever.retriever.retrieve(query.strip(), k=5, plan=plan)
    expected = [(hit.document.id, hit.score) for hit in hits]
    for found in (adapter.retrieve(query), await adapter.aretrieve(query)):
        assert [(best.node.node_id, best.score) for best in found] == expected


def test_nodes_come_back_as_they_were_given(
    retriever: TercetRetriever, animals: list[TextNode]
) -> None:
    adapter = TercetRetriever(retriever.retriever, similarity_top_k=9)
    found = {best.node.node_id: best.node for best in adapter.retrieve("cat")}
    assert found == {node.node_id: node for node in animals}


def test_no_score_is_in_the_metadata(retriever: TercetRetriever, animals: list[TextNode]) -> None:
    by_id = {node.node_id: node.metadata for node in animals}
    assert all(n.node.metadata == by_id[n.node.node_id] for n in retriever.retrieve("cat"))


def test_two_results_are_the_default(encoder: HashEncoder, animals: list[TextNode]) -> None:
    assert len(TercetRetriever.from_defaults(animals, encoder=encoder).retrieve("cat")) == 2


def test_metadata_before_the_text_is_searched_too(encoder: HashEncoder) -> None:
    shown = TextNode(id_="shown", text="body", metadata={"title": "Zebra"})
    hidden = TextNode(
        id_="hidden",
        text="body",
        metadata={"title": "Zebra"},
        excluded_embed_metadata_keys=["title"],
    )
    made = TercetRetriever.from_defaults([hidden, shown], encoder=encoder, plan="sparse")
    assert ids(made.retrieve("zebra"))[0] == "shown"


async def test_filters_are_applied_before_the_cut(retriever: TercetRetriever) -> None:
    filters = MetadataFilters(filters=[MetadataFilter(key="legs", value=6)])
    adapter = TercetRetriever(retriever.retriever, similarity_top_k=1, filters=filters)
    assert ids(adapter.retrieve("the cat sleeps")) == ["ant"]
    assert ids(await adapter.aretrieve("the cat sleeps")) == ["ant"]
    nothing = MetadataFilters(filters=[MetadataFilter(key="legs", value=100)])
    assert TercetRetriever(retriever.retriever, filters=nothing).retrieve("cat") == []


async def test_a_vector_of_the_query_takes_the_dense_place(
    retriever: TercetRetriever, encoder: HashEncoder
) -> None:
    dense = encoder.encode_queries(["a cod swims in the cold sea"]).dense
    assert dense is not None
    bundle = QueryBundle("the cat sleeps", embedding=dense[0].tolist())
    by_dense = TercetRetriever(retriever.retriever, plan="dense", similarity_top_k=1)
    by_sparse = TercetRetriever(retriever.retriever, plan="sparse", similarity_top_k=1)
    assert ids(by_dense.retrieve(bundle)) == ids(await by_dense.aretrieve(bundle)) == ["cod"]
    assert ids(by_sparse.retrieve(bundle)) == ["cat"]
    hyde = QueryBundle("the cat sleeps", custom_embedding_strs=["a cod swims in the cold sea"])
    assert ids(by_dense.retrieve(hyde)) == ids(await by_dense.aretrieve(hyde)) == ["cod"]


def test_documents_of_other_users_come_as_text_nodes(encoder: HashEncoder) -> None:
    core = Retriever.create(encoder=encoder)
    core.add([TercetDocument(id="a", text="red", header="Title\n", parent="book")])
    node = TercetRetriever(core).retrieve("red")[0].node
    assert (type(node), node.get_content(), node.ref_doc_id) == (TextNode, "red", "book")


def test_llama_index_documents_are_indexed_as_they_are(encoder: HashEncoder) -> None:
    made = TercetRetriever.from_defaults([Document(text="red", id_="d")], encoder=encoder)
    assert type(made.retrieve("red")[0].node) is Document


def test_an_index_node_leads_to_its_object(
    encoder: HashEncoder, retriever: TercetRetriever
) -> None:
    pointer = IndexNode(text="animals of land and sea", index_id="animals")
    made = TercetRetriever.from_defaults([pointer], encoder=encoder)
    assert ids(made.retrieve("animals")) == [pointer.node_id]
    entered = TercetRetriever(made.retriever, object_map={"animals": retriever})
    assert ids(entered.retrieve("the cat sleeps")) == ids(retriever.retrieve("the cat sleeps"))
    target = IndexNode(text="", index_id="animals", obj=retriever)
    by_objects = TercetRetriever(made.retriever, objects=[target])
    assert ids(by_objects.retrieve("cold sea")) == ids(retriever.retrieve("cold sea"))


def test_an_index_with_a_path_stays(tmp_path: Path, encoder: HashEncoder) -> None:
    folder = tmp_path / "index"
    node = TextNode(text="red", id_="r")
    TercetRetriever.from_defaults([node], encoder=encoder, path=folder).retriever.close()
    again = TercetRetriever.from_defaults(encoder=encoder, path=folder)
    assert [found.node for found in again.retrieve("red")] == [node]
    again.retriever.close()


def test_bad_arguments_are_refused_by_name(retriever: TercetRetriever) -> None:
    with pytest.raises(ValueError, match="similarity_top_k is 0"):
        TercetRetriever(retriever.retriever, similarity_top_k=0)
    with pytest.raises(TypeError, match="retriever is a HashEncoder, without retrieve"):
        TercetRetriever(HashEncoder())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="top_k"):
        TercetRetriever(retriever.retriever, top_k=3)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="mode"):
        TercetRetriever.from_defaults([], mode="x")  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="no plan 'best'"):
        TercetRetriever(retriever.retriever, plan="best").retrieve("cat")


def test_copies_share_the_index_and_pickling_is_refused(retriever: TercetRetriever) -> None:
    assert copy.deepcopy(retriever).retriever is retriever.retriever
    assert copy.copy(retriever).retriever is retriever.retriever
    with pytest.raises(TypeError, match="holds a loaded model and an open index"):
        pickle.dumps(retriever)


async def test_its_events_are_balanced(
    retriever: TercetRetriever,
    callback_manager: CallbackManager,
    old_recorder: object,
    recorder: object,
) -> None:
    adapter = TercetRetriever(retriever.retriever, callback_manager=callback_manager)
    adapter.retrieve("cat")
    await adapter.aretrieve("cat")
    names = recorder.names  # type: ignore[attr-defined]  # the fixture's own class
    assert names == ["RetrievalStartEvent", "RetrievalEndEvent"] * 2
    old = old_recorder.of(CBEventType.RETRIEVE)  # type: ignore[attr-defined]
    assert [place for place, _ in old] == ["start", "end"] * 2


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
    made = TercetRetriever.from_defaults([TextNode(text="red")], encoder=encoder)
    await made.aretrieve("red")
    await made.aretrieve(QueryBundle("red", custom_embedding_strs=["blue"]))
    assert encoder.threads
    assert threading.get_ident() not in encoder.threads


def test_filters_of_another_kind_are_refused_at_construction_and_at_call(
    retriever: TercetRetriever, encoder: HashEncoder
) -> None:
    dictionary: Any = {"year": 2}
    with pytest.raises(TypeError, match=r"filters is \{'year': 2\}; MetadataFilters belong there"):
        TercetRetriever(retriever.retriever, filters=dictionary)
    with pytest.raises(TypeError, match="MetadataFilters belong there"):
        TercetRetriever.from_defaults([], encoder=encoder, filters=dictionary)
    adapter = TercetRetriever(retriever.retriever)
    adapter.filters = dictionary
    with pytest.raises(TypeError, match="MetadataFilters belong there"):
        adapter.retrieve("cat")
    unusable = MetadataFilters(filters=[MetadataFilter(key="f", value="a", operator="in")])
    with pytest.raises(ValueError, match="takes a list"):
        TercetRetriever(retriever.retriever, filters=unusable)


async def test_its_events_are_balanced_on_errors_and_on_empty_results(
    retriever: TercetRetriever, recorder: Any, old_recorder: Any, callback_manager: CallbackManager
) -> None:
    wrong = TercetRetriever(retriever.retriever, plan="best", callback_manager=callback_manager)
    with pytest.raises(ValueError, match="no plan 'best'"):
        wrong.retrieve("cat")
    with pytest.raises(ValueError, match="no plan 'best'"):
        await wrong.aretrieve("cat")
    nothing = MetadataFilters(filters=[MetadataFilter(key="legs", value=100)])
    empty = TercetRetriever(retriever.retriever, filters=nothing, callback_manager=callback_manager)
    assert empty.retrieve("cat") == await empty.aretrieve("cat") == []
    assert recorder.names == ["RetrievalStartEvent", "RetrievalEndEvent"] * 4
    places = [place for place, _ in old_recorder.of(CBEventType.RETRIEVE)]
    assert places == ["start", "end"] * 4


def test_nothing_is_printed_or_logged(
    full_store: TercetVectorStore,
    animals: list[TextNode],
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = TercetVectorStore.from_defaults(animals, encoder=full_store.retriever.encoder)
    store.as_index().as_retriever(vector_store_query_mode="hybrid").retrieve("cat")
    TercetRetriever(store.retriever).retrieve("cat")
    assert capfd.readouterr() == ("", "")
    assert [r for r in caplog.records if "tercet" in r.name] == []


async def test_many_threads_and_tasks_find_what_one_does(full_store: TercetVectorStore) -> None:
    adapter = TercetRetriever(full_store.retriever, similarity_top_k=3)
    queries = [f"{QUERIES[n % 3]} {n}" for n in range(40)]
    expected = [adapter.retrieve(query) for query in queries]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(adapter.retrieve, queries)) == expected
    assert await asyncio.gather(*map(adapter.aretrieve, queries)) == expected
    index = full_store.as_index().as_retriever(similarity_top_k=3)
    assert await asyncio.gather(*map(index.aretrieve, queries)) == expected
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(index.retrieve, queries)) == expected


async def test_hypothetical_documents_need_a_model_with_a_dense_view() -> None:
    sparse = HashEncoder(representations=["sparse"])
    made = TercetRetriever.from_defaults([TextNode(text="red")], encoder=sparse)
    hyde = QueryBundle("red", custom_embedding_strs=["blue"])
    with pytest.raises(MissingViewError, match="does not make; it has sparse"):
        made.retrieve(hyde)
    with pytest.raises(MissingViewError, match="does not make; it has sparse"):
        await made.aretrieve(hyde)
