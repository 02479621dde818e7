"""A `VectorStoreIndex` over a `TercetVectorStore`: inserts, deletes, refreshes, engines."""

from pathlib import Path
from typing import Any

import pytest
from llama_index.core import Document, StorageContext, VectorStoreIndex, load_index_from_storage
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.indices.query.query_transform.base import HyDEQueryTransform
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import CitationQueryEngine, TransformQueryEngine
from llama_index.core.retrievers import QueryFusionRetriever
from llama_index.core.schema import ImageNode, IndexNode, TextNode
from llama_index.core.vector_stores import (
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
)
from llama_index.core.vector_stores.simple import SimpleVectorStore

from llama_index_tercet import TercetEmbedding, TercetRerank, TercetVectorStore
from tercet.errors import ModelMismatchError
from tercet.testing.hash_encoder import HashEncoder

SEA = Document(id_="sea", text="a cod swims in the cold sea", metadata={"wet": 1})
NIGHT = Document(id_="night", text="an owl hunts mice at night", metadata={"wet": 0})


@pytest.fixture
def store(encoder: HashEncoder) -> TercetVectorStore:
    return TercetVectorStore.from_defaults(encoder=encoder)


@pytest.fixture
def index(store: TercetVectorStore) -> VectorStoreIndex:
    made = store.as_index()
    made.insert(SEA)
    made.insert(NIGHT)
    return made


def best(index: VectorStoreIndex, query: str, **options: Any) -> list[str]:
    found = index.as_retriever(similarity_top_k=1, **options).retrieve(query)
    return [node.node.ref_doc_id or node.node.node_id for node in found]


def texts(store: TercetVectorStore) -> list[str]:
    return sorted(node.get_content() for node in store.get_nodes())


def test_an_empty_store_is_the_store_of_its_context(store: TercetVectorStore) -> None:
    assert StorageContext.from_defaults(vector_store=store).vector_store is store
    assert (
        VectorStoreIndex.from_vector_store(store, embed_model=MockEmbedding(1)).vector_store
        is store
    )
    assert store.as_index().vector_store is store


async def test_documents_are_inserted_found_and_deleted_by_source(
    index: VectorStoreIndex, store: TercetVectorStore
) -> None:
    for mode in ("default", "sparse", "hybrid", "mmr"):
        assert best(index, "who hunts at night", vector_store_query_mode=mode) == ["night"]
        found = await index.as_retriever(
            similarity_top_k=1, vector_store_query_mode=mode
        ).aretrieve("who hunts at night")
        assert [node.node.ref_doc_id for node in found] == ["night"]
    index.delete_ref_doc("night")
    assert texts(store) == [SEA.text]
    await index.adelete_ref_doc("sea")
    assert texts(store) == []


async def test_nodes_are_inserted_and_deleted_by_id(
    index: VectorStoreIndex, store: TercetVectorStore
) -> None:
    await index.ainsert_nodes([TextNode(id_="ant", text="an ant carries a leaf")])
    assert best(index, "a leaf") == ["ant"]
    index.delete_nodes(["ant"])
    index.delete_nodes([])
    assert texts(store) == [SEA.text, NIGHT.text]


def test_documents_that_were_not_split_are_deleted_by_their_own_id(
    store: TercetVectorStore,
) -> None:
    index = store.as_index()
    index.insert_nodes([SEA])
    (node,) = store.get_nodes()
    assert type(node) is Document
    index.delete_ref_doc("sea")
    assert texts(store) == []


def test_refreshing_adds_what_is_new_and_replaces_what_has_changed(
    store: TercetVectorStore,
) -> None:
    index = store.as_index()
    assert index.refresh_ref_docs([SEA]) == [True]
    assert index.refresh_ref_docs([SEA, NIGHT]) == [False, True]
    changed = Document(id_="sea", text="a cod swims in a tank")
    assert index.refresh_ref_docs([changed, NIGHT]) == [True, False]
    assert texts(store) == [changed.text, NIGHT.text]


def test_a_document_deleted_from_the_index_is_refreshed_once_the_docstore_forgot_it(
    store: TercetVectorStore,
) -> None:
    index = store.as_index()
    index.refresh_ref_docs([SEA])
    index.delete_ref_doc("sea", delete_from_docstore=True)
    assert index.refresh_ref_docs([SEA]) == [False]  # LlamaIndex kept the hash of a stored text
    index.docstore.delete_document("sea", raise_error=False)
    assert index.refresh_ref_docs([SEA]) == [True]
    assert texts(store) == [SEA.text]


def test_a_document_inserted_twice_is_there_twice(
    index: VectorStoreIndex, store: TercetVectorStore
) -> None:
    index.insert(SEA)  # nodes of a splitter have new ids each time; a docstore compares hashes
    assert texts(store) == [SEA.text, SEA.text, NIGHT.text]


def test_index_and_image_nodes_hide_no_text(
    index: VectorStoreIndex, store: TercetVectorStore
) -> None:
    picture = ImageNode(id_="picture", text="a photo of a dog", image="AAAA")
    pointer = IndexNode(id_="pointer", text="about cats", index_id="cats")
    index.insert_nodes([picture, pointer])
    assert best(index, "who hunts at night") == ["night"]
    assert best(index, "a photo of a dog") == ["picture"]
    assert set(index.index_struct.nodes_dict.values()) == {"picture", "pointer"}
    for node_ids in (None, [], ["pointer"], ["nobody"]):
        query = VectorStoreQuery(query_str="who hunts at night", node_ids=node_ids)
        assert store.query(query).nodes[0].get_content() == NIGHT.text  # type: ignore[index]


def test_an_index_node_leads_to_what_it_stands_for(
    index: VectorStoreIndex, store: TercetVectorStore, animals: list[TextNode]
) -> None:
    inner = TercetVectorStore.from_defaults(animals, encoder=store.retriever.encoder).as_index()
    target = inner.as_retriever(similarity_top_k=1)
    index.insert_nodes(
        [IndexNode(id_="pointer", text="an ant carries a leaf", index_id="x", obj=target)]
    )
    found = index.as_retriever(similarity_top_k=1).retrieve("an ant carries a leaf")
    assert [node.node.node_id for node in found] == ["ant"]


def test_metadata_filters_reach_the_store(index: VectorStoreIndex) -> None:
    dry = MetadataFilters(filters=[MetadataFilter(key="wet", value=0)])
    assert best(index, "a cod swims in the cold sea", filters=dry) == ["night"]
    assert best(index, "a cod swims", doc_ids=["night"]) == ["night"]
    assert best(index, "a cod swims", vector_store_kwargs={"plan": "sparse"}) == ["sea"]
    with pytest.raises(TypeError, match="mode DEFAULT takes plan"):
        best(index, "a cod swims", vector_store_kwargs={"mode": "sparse"})


async def test_a_query_engine_with_a_reranker_answers(
    index: VectorStoreIndex, encoder: HashEncoder
) -> None:
    engine = index.as_query_engine(
        llm=MockLLM(),
        similarity_top_k=2,
        vector_store_query_mode="hybrid",
        node_postprocessors=[TercetRerank(encoder=encoder, top_n=1)],
    )
    for response in (
        engine.query("who hunts at night?"),
        await engine.aquery("who hunts at night?"),
    ):
        assert NIGHT.text in str(response)
        assert [node.node.ref_doc_id for node in response.source_nodes] == ["night"]
    citing = CitationQueryEngine.from_args(index, llm=MockLLM(), similarity_top_k=1)
    cited = citing.query("who hunts at night?").source_nodes[0].node.get_content()
    assert cited.startswith("Source 1:")
    assert NIGHT.text in cited


def test_fusion_merges_what_two_modes_find(index: VectorStoreIndex) -> None:
    both = [index.as_retriever(vector_store_query_mode=mode) for mode in ("default", "sparse")]
    fused = QueryFusionRetriever(
        both, llm=MockLLM(), num_queries=1, mode="reciprocal_rerank", use_async=False
    ).retrieve("an owl hunts mice at night")
    assert fused[0].node.ref_doc_id == "night"
    assert fused[0].score == pytest.approx(2 / 60)  # first in both lists: nodes were merged


def test_hyde_searches_with_the_vector_of_the_answer_and_the_words_of_the_question(
    index: VectorStoreIndex,
) -> None:
    hyde = HyDEQueryTransform(llm=MockLLM(), include_original=False)
    for plan, expected in (("dense", "night"), ("sparse", "sea")):
        retriever = index.as_retriever(similarity_top_k=1, vector_store_kwargs={"plan": plan})
        bundle = hyde("cod")
        bundle.custom_embedding_strs = ["an owl hunts mice at night"]  # what a model might write
        assert [node.node.ref_doc_id for node in retriever.retrieve(bundle)] == [expected]
    engine = TransformQueryEngine(index.as_query_engine(llm=MockLLM()), hyde)
    assert engine.query("cod").source_nodes[0].node.ref_doc_id == "sea"


def test_vectors_of_a_foreign_embedding_model_are_refused(store: TercetVectorStore) -> None:
    index = store.as_index(embed_model=MockEmbedding(embed_dim=64))
    with pytest.raises(ModelMismatchError, match="leave it out, or make it with the encoder"):
        index.insert(SEA)
    assert texts(store) == []


def test_a_model_without_a_dense_view_has_an_index_too() -> None:
    sparse = HashEncoder(representations=["sparse"])
    store = TercetVectorStore.from_defaults(encoder=sparse)
    index = store.as_index()
    index.insert(SEA)
    index.insert(NIGHT)
    assert best(index, "who hunts at night") == ["night"]


def test_a_storage_context_with_another_store_is_refused(store: TercetVectorStore) -> None:
    own = StorageContext.from_defaults(vector_store=store)
    assert store.as_index(storage_context=own).storage_context is own
    with pytest.raises(ValueError, match="storage_context has a SimpleVectorStore of its own"):
        store.as_index(storage_context=StorageContext.from_defaults())
    with pytest.raises(TypeError, match="nodes"):
        store.as_index(nodes=[])  # type: ignore[call-arg]


def test_what_a_context_persists_is_loaded_again(
    tmp_path: Path, index: VectorStoreIndex, encoder: HashEncoder
) -> None:
    index.insert_nodes([IndexNode(id_="pointer", text="about cats", index_id="cats")])
    index.storage_context.persist(tmp_path)
    store = TercetVectorStore.from_persist_dir(tmp_path, encoder=encoder)
    context = StorageContext.from_defaults(persist_dir=str(tmp_path), vector_store=store)
    loaded = load_index_from_storage(context, embed_model=TercetEmbedding(encoder=encoder))
    assert best(loaded, "who hunts at night") == ["night"]
    assert best(loaded, "about cats") == ["pointer"]
    # without the store, LlamaIndex reads the file itself: it must not come out as an empty store
    with pytest.raises(AttributeError):
        SimpleVectorStore.from_persist_dir(str(tmp_path))
    store.retriever.close()


def test_blank_nodes_are_indexed_and_empty_ones_are_left_out_by_llama_index(
    store: TercetVectorStore, capsys: pytest.CaptureFixture[str]
) -> None:
    nodes = [TextNode(id_="blank", text="  "), TextNode(id_="empty", text="")]
    VectorStoreIndex(
        nodes,
        storage_context=StorageContext.from_defaults(vector_store=store),
        embed_model=TercetEmbedding(encoder=store.retriever.encoder),
    )
    assert [node.node_id for node in store.get_nodes()] == ["blank"]
    assert "missing content" in capsys.readouterr().out
