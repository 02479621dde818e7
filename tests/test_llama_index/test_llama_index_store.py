"""`TercetVectorStore`: nodes in, the same nodes out, deleted, persisted."""

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import fsspec
import pytest
from llama_index.core.schema import (
    Document,
    ImageNode,
    IndexNode,
    MediaResource,
    Node,
    NodeRelationship,
    RelatedNodeInfo,
    TextNode,
)
from llama_index.core.vector_stores import (
    FilterCondition,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
)
from llama_index.core.vector_stores.types import BasePydanticVectorStore
from pydantic import ValidationError

from llama_index_tercet import TercetVectorStore
from tercet.errors import ModelMismatchError
from tercet.indexes.base import Index
from tercet.testing.checkpoints.bge_m3 import write_bge_m3
from tercet.testing.hash_encoder import HashEncoder

FOUR_LEGS = MetadataFilters(filters=[MetadataFilter(key="legs", value=4)])
NO_CONDITION = MetadataFilters(filters=[])
SOURCE = {NodeRelationship.SOURCE: RelatedNodeInfo(node_id="book")}


@pytest.fixture
def store(encoder: HashEncoder, animals: list[TextNode]) -> TercetVectorStore:
    return TercetVectorStore.from_defaults(animals, encoder=encoder)


def ids(store: TercetVectorStore) -> list[str]:
    return [node.node_id for node in store.get_nodes()]


def test_it_is_a_vector_store_of_llama_index(store: TercetVectorStore) -> None:
    assert isinstance(store, BasePydanticVectorStore)
    assert store.class_name() == "TercetVectorStore"
    assert (store.stores_text, store.is_embedding_query) == (True, True)
    assert isinstance(store.client, Index)


async def test_added_nodes_come_back_as_they_were_given(encoder: HashEncoder) -> None:
    given = [
        TextNode(id_="t", text="text", metadata={"ref_doc_id": "mine", "doc_id": 1}),
        IndexNode(id_="i", text="index", index_id="there", relationships=SOURCE),
        ImageNode(id_="p", text="picture", image="AAAA"),
        Node(id_="n", text_resource=MediaResource(text="node")),
        Document(id_="d", text="document", metadata={"document_id": "mine"}),
    ]
    before = [node.model_dump() for node in given]
    store = TercetVectorStore.from_defaults(encoder=encoder)
    assert store.add(given[:3]) == ["t", "i", "p"]
    assert await store.async_add(given[3:]) == ["n", "d"]
    back = store.get_nodes(["t", "i", "p", "n", "d"])
    assert [type(node) for node in back] == [type(node) for node in given]
    assert [node.model_dump() for node in back] == before == [node.model_dump() for node in given]
    found = store.query(VectorStoreQuery(query_str="document", similarity_top_k=9))
    assert {node.node_id: node for node in found.nodes or ()} == {n.node_id: n for n in given}


async def test_ids_come_back_for_every_node_given(encoder: HashEncoder) -> None:
    store = TercetVectorStore.from_defaults(encoder=encoder)
    twice = [TextNode(id_="a", text="one"), TextNode(id_="a", text="two")]
    assert store.add(twice) == ["a", "a"]
    assert [node.get_content() for node in store.get_nodes()] == ["two"]
    assert store.add([]) == await store.async_add([]) == []


def test_a_node_of_the_same_id_is_replaced(store: TercetVectorStore) -> None:
    store.add([TextNode(id_="cat", text="a cat runs")])
    assert len(ids(store)) == 5
    assert store.get_nodes(["cat"])[0].get_content() == "a cat runs"


@pytest.mark.parametrize("text", ["", "  \n ", "猫", "🦉", "a" * 20_000])
def test_any_text_can_be_stored(encoder: HashEncoder, text: str) -> None:
    store = TercetVectorStore.from_defaults([TextNode(id_="a", text=text)], encoder=encoder)
    assert store.get_nodes()[0].get_content() == text
    assert store.query(VectorStoreQuery(query_str=text)).ids == ["a"]


def with_vector(vector: list[float] | None, text: str = "the cat sleeps") -> TextNode:
    return TextNode(id_="a", text=text, embedding=vector)


async def test_a_vector_of_another_model_is_refused_by_name(encoder: HashEncoder) -> None:
    store = TercetVectorStore.from_defaults(encoder=encoder)
    with pytest.raises(ValueError, match=r"'a' came with .* hash-encoder .* 64 .* has 3 num"):
        store.add([with_vector([1.0, 0.0, 0.0])])
    with pytest.raises(ModelMismatchError, match=r"64 numbers.*cosine of -?0\.\d+ to it"):
        await store.async_add([with_vector([1.0] + 63 * [0.0])])
    with pytest.raises(ModelMismatchError, match=r"cosine of 0\.000"):
        store.add([with_vector(64 * [0.0])])
    assert ids(store) == []


def test_a_vector_of_the_same_model_is_welcome_at_any_scale(encoder: HashEncoder) -> None:
    dense = encoder.encode_documents(["the cat sleeps"]).dense
    assert dense is not None
    store = TercetVectorStore.from_defaults(encoder=encoder)
    node = with_vector((3 * dense[0] + 0.001).tolist())
    store.add([node])
    assert len(node.embedding or ()) == 64
    assert store.get_nodes()[0].embedding is None


def test_a_node_that_is_there_already_is_compared_too(encoder: HashEncoder) -> None:
    store = TercetVectorStore.from_defaults([with_vector(None)], encoder=encoder)
    with pytest.raises(ModelMismatchError, match="came with a dense vector of another model"):
        store.add([with_vector([1.0] + 63 * [0.0])])


def test_without_a_dense_view_there_is_no_vector_to_compare() -> None:
    sparse = HashEncoder(representations=["sparse", "multi_vector"])
    store = TercetVectorStore.from_defaults([with_vector([1.0])], encoder=sparse)
    query = VectorStoreQuery(query_str="cat", query_embedding=[1.0])
    assert store.query(query).ids == ["a"]


async def test_deletion_by_source_leaves_the_others(encoder: HashEncoder) -> None:
    def fresh() -> TercetVectorStore:
        return TercetVectorStore.from_defaults(
            [
                TextNode(id_="1", text="one", relationships=SOURCE),
                TextNode(id_="2", text="two", relationships=SOURCE),
                TextNode(id_="None", text="three"),
                TextNode(id_="4", text="four", metadata={"ref_doc_id": "book"}),
                Document(id_="5", text="five"),
                TextNode(
                    id_="6",
                    text="six",
                    relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id="5")},
                ),
            ],
            encoder=encoder,
        )

    store = fresh()
    store.delete("book")
    assert ids(store) == ["4", "5", "6", "None"]
    store.delete("nobody")
    store.delete("6")  # a chunk's id is no source
    assert ids(store) == ["4", "5", "6", "None"]
    await store.adelete("5")  # the document that was indexed whole, and its chunk
    assert ids(store) == ["4", "None"]


def test_nodes_without_a_source_share_none(encoder: HashEncoder) -> None:
    nodes = [TextNode(text=text) for text in ("one", "two")]
    store = TercetVectorStore.from_defaults(nodes, encoder=encoder)
    store.delete("None")
    assert len(ids(store)) == 2


async def test_nodes_are_deleted_by_ids_by_filters_and_by_both(store: TercetVectorStore) -> None:
    store.delete_nodes([])
    store.delete_nodes(["nobody"])
    assert len(ids(store)) == 5
    store.delete_nodes(["cat", "owl"], FOUR_LEGS)
    assert ids(store) == ["ant", "cod", "dog", "owl"]
    await store.adelete_nodes(filters=FOUR_LEGS)
    assert ids(store) == ["ant", "cod", "owl"]
    await store.adelete_nodes(["cod"])
    assert ids(store) == ["ant", "owl"]
    for filters in (None, NO_CONDITION):
        with pytest.raises(ValueError, match=r"neither node_ids nor a filter.*clear\(\)"):
            store.delete_nodes(filters=filters)


async def test_nodes_are_got_by_ids_by_filters_and_all(
    store: TercetVectorStore, animals: list[TextNode]
) -> None:
    by_id = {node.node_id: node for node in animals}
    assert store.get_nodes() == [by_id[i] for i in sorted(by_id)]
    assert store.get_nodes(["owl", "nobody", "cat"]) == [by_id["owl"], by_id["cat"]]
    assert store.get_nodes(filters=FOUR_LEGS) == [by_id["cat"], by_id["dog"]]
    assert await store.aget_nodes(["owl", "dog"], FOUR_LEGS) == [by_id["dog"]]
    wild = MetadataFilters(filters=[FOUR_LEGS], condition=FilterCondition.NOT)
    assert {n.node_id for n in await store.aget_nodes(filters=wild)} == {"owl", "ant", "cod"}
    assert store.get_nodes([]) == []


async def test_a_cleared_store_is_empty_and_usable(store: TercetVectorStore) -> None:
    store.clear()
    assert ids(store) == []
    assert store.query(VectorStoreQuery(query_str="cat")).nodes == []
    store.add([TextNode(id_="a", text="cat")])
    await store.aclear()
    assert ids(store) == []


def test_an_empty_store_is_true(encoder: HashEncoder) -> None:
    assert TercetVectorStore.from_defaults(encoder=encoder)


def test_a_permanent_index_is_persisted_as_its_place(
    tmp_path: Path, encoder: HashEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = TercetVectorStore.from_defaults(
        [TextNode(id_="a", text="cat")], encoder=encoder, path="index"
    )
    made.persist("storage/default__vector_store.json")
    made.retriever.close()
    assert [path.name for path in (tmp_path / "storage").iterdir()] == [
        "default__vector_store.json"
    ]
    monkeypatch.chdir("/")
    again = TercetVectorStore.from_persist_dir(tmp_path / "storage", encoder=encoder, plan="sparse")
    assert (ids(again), again.plan) == (["a"], "sparse")
    assert again.retriever.index.address == str(tmp_path / "index")
    again.retriever.close()


def test_a_temporary_index_is_persisted_as_a_copy_that_may_move(
    tmp_path: Path, store: TercetVectorStore, encoder: HashEncoder
) -> None:
    asked = VectorStoreQuery(query_str="an owl hunts", similarity_top_k=5)
    before = store.query(asked)
    file = tmp_path / "here" / "default__vector_store.json"
    store.persist(str(file))
    store.delete_nodes(["cat"])
    store.persist(str(file), fs=fsspec.filesystem("file"))  # again, after a change
    (tmp_path / "here").rename(tmp_path / "there")
    again = TercetVectorStore.from_persist_dir(tmp_path / "there", encoder=encoder)
    assert ids(again) == ["ant", "cod", "dog", "owl"]
    best = again.query(asked)
    assert (best.ids or [])[0] == (before.ids or [])[0] == "owl"
    assert (best.similarities or [])[0] == pytest.approx((before.similarities or [])[0], abs=1e-2)
    again.retriever.close()


def test_what_cannot_be_persisted_or_read_is_refused(
    tmp_path: Path, store: TercetVectorStore
) -> None:
    with pytest.raises(ValueError, match="an index stands on a local disk"):
        store.persist("x.json", fs=fsspec.filesystem("memory"))
    with pytest.raises(FileNotFoundError):
        TercetVectorStore.from_persist_dir(tmp_path)
    (tmp_path / "default__vector_store.json").write_text(json.dumps({"embedding_dict": {}}))
    with pytest.raises(ValueError, match="was not written by a TercetVectorStore"):
        TercetVectorStore.from_persist_dir(tmp_path)


async def test_unknown_arguments_are_refused(store: TercetVectorStore, encoder: Any) -> None:
    for call in (
        lambda: store.add([], batch=3),
        lambda: store.delete("a", soft=True),
        lambda: store.delete_nodes(["a"], soft=True),
        lambda: store.query(VectorStoreQuery(query_str="a"), k=3),
    ):
        with pytest.raises(TypeError, match=r"batch|soft|k"):
            call()
    with pytest.raises(TypeError, match="batch"):
        await store.async_add([], batch=3)
    with pytest.raises(TypeError, match="soft"):
        await store.adelete("a", soft=True)
    with pytest.raises(ValidationError, match="Extra inputs"):
        TercetVectorStore(retriever=store.retriever, mode="dense")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="retriever is a HashEncoder, without retrieve"):
        TercetVectorStore(retriever=encoder)
    with pytest.raises(TypeError, match="MetadataFilters belong there"):
        store.get_nodes(filters={"legs": 4})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="MetadataFilters belong there"):
        store.query(VectorStoreQuery(query_str="a", filters={"legs": 4}))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="'text' is no LlamaIndex node"):
        store.add(["text"])  # type: ignore[list-item]


def test_copies_share_the_index_and_pickling_is_refused(store: TercetVectorStore) -> None:
    assert copy.deepcopy(store).retriever is store.retriever
    assert store.model_copy(update={"plan": "dense"}).query(
        VectorStoreQuery(query_str="an owl hunts")
    ).ids == ["owl"]
    with pytest.raises(TypeError, match="TercetVectorStore holds a loaded model"):
        pickle.dumps(store)


def test_its_json_holds_no_index_and_is_read_again(store: TercetVectorStore) -> None:
    written = store.to_dict()
    assert set(written) == {"plan", "stores_text", "is_embedding_query", "class_name"}
    again = TercetVectorStore.from_dict({**written, "retriever": store.retriever})
    assert again.retriever is store.retriever
    assert "retriever" not in repr(store)


def test_a_model_name_makes_a_store_that_opens_again_without_one(tmp_path: Path) -> None:
    write_bge_m3(tmp_path / "model")
    store = TercetVectorStore.from_defaults(
        [TextNode(id_="a", text="red")], model=str(tmp_path / "model"), path=tmp_path / "index"
    )
    store.persist(str(tmp_path / "default__vector_store.json"))
    store.retriever.close()
    again = TercetVectorStore.from_persist_dir(tmp_path)
    assert again.query(VectorStoreQuery(query_str="red")).ids == ["a"]
    again.retriever.close()


def test_sources_that_no_node_has_are_asked_for_without_a_warning(encoder: HashEncoder) -> None:
    store = TercetVectorStore.from_defaults(encoder=encoder)
    store.add(TextNode(id_=text, text=text) for text in ("one", "two"))
    assert store.query(VectorStoreQuery(query_str="one", doc_ids=["book"])).ids == []
    store.delete("book")
    assert ids(store) == ["one", "two"]


def test_vectors_are_compared_whatever_iterable_brings_the_nodes(encoder: HashEncoder) -> None:
    store = TercetVectorStore.from_defaults(encoder=encoder)
    with pytest.raises(ModelMismatchError):
        store.add(with_vector([1.0]) for _ in range(1))
