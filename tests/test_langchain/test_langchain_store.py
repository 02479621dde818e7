"""`TercetVectorStore`: what is put in, how it is kept, and how it is refused."""

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings

from langchain_tercet import TercetEmbeddings, TercetVectorStore
from tercet.embeddings import Representation
from tercet.errors import ModelMismatchError
from tercet.filters import F
from tercet.retriever import Retriever
from tercet.testing.hash_encoder import HashEncoder


class Planar(Embeddings):
    """Texts are pairs of numbers, as "0 2"."""

    model = "planar"

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        numbers = [float(word) for word in text.split() if word.lstrip("-").isdigit()]
        return numbers if len(numbers) == 2 else [1.0, 0.0]


@pytest.fixture
def store(encoder: HashEncoder, animals: list[Document]) -> TercetVectorStore:
    return TercetVectorStore.from_documents(animals, TercetEmbeddings(encoder=encoder))


def size(store: TercetVectorStore) -> int:
    return len(store.retriever.index)


def test_our_embeddings_bring_all_views(store: TercetVectorStore, encoder: HashEncoder) -> None:
    assert store.retriever.index.representations == tuple(Representation)
    assert isinstance(store.embeddings, TercetEmbeddings)
    assert store.embeddings.encoder is encoder


def test_a_retriever_gives_its_encoder_as_embeddings(encoder: HashEncoder) -> None:
    retriever = Retriever.create(encoder=encoder)
    store = TercetVectorStore.from_texts(["red"], ids=["r"], retriever=retriever)
    assert isinstance(store.embeddings, TercetEmbeddings)
    assert store.embeddings.encoder is encoder
    assert store.retriever is retriever
    assert len(retriever.index) == 1


def test_a_store_without_a_dense_view_has_no_embeddings(encoder: HashEncoder) -> None:
    retriever = Retriever.create(encoder=encoder, representations=["sparse"])
    store = TercetVectorStore.from_texts(["red"], ids=["r"], retriever=retriever)
    assert store.embeddings is None
    assert store.similarity_search("red")[0].id == "r"
    with pytest.raises(ValueError, match="dense"):
        store.similarity_search_by_vector([1.0] * 64)


def test_other_embeddings_are_compared_by_cosine() -> None:
    texts = ["10 10", "0 1", "-3 0"]
    store = TercetVectorStore.from_texts(texts, Planar(), ids=texts)
    assert store.retriever.index.representations == (Representation.DENSE,)
    assert isinstance(store.embeddings, Planar)
    found = store.similarity_search_with_score("0 2")
    assert [document.id for document, _ in found] == ["0 1", "10 10", "-3 0"]
    assert [score for _, score in found] == pytest.approx([1.0, 0.5**0.5, 0.0], abs=1e-6)
    by_vector = store.similarity_search_by_vector([0.0, 2.0])
    assert by_vector == [document for document, _ in found]


class Remote(Planar):
    """Answers queries asynchronously, as clients of a service do."""

    async def aembed_query(self, text: str) -> list[float]:
        return super().embed_query(text)

    def embed_query(self, text: str) -> list[float]:
        if text == "0 2":
            raise AssertionError("a query was embedded on a thread")
        return super().embed_query(text)


async def test_other_embeddings_answer_asynchronously_in_their_own_way() -> None:
    store = TercetVectorStore.from_texts(["10 10", "0 1"], Remote(), ids=["a", "b"])
    assert [d.id for d in await store.asimilarity_search("0 2")] == ["b", "a"]
    scored = await store.asimilarity_search_with_score("0 2", k=1)
    assert scored[0][1] == pytest.approx(1.0)
    relevant = await store.asimilarity_search_with_relevance_scores("0 2", k=1)
    assert relevant[0][1] == pytest.approx(1.0)
    assert [d.id for d in await store.amax_marginal_relevance_search("0 2", k=1)] == ["b"]


def test_an_index_of_other_embeddings_knows_them_again(tmp_path: Path) -> None:
    path = tmp_path / "index"
    made = TercetVectorStore.from_texts(["0 1"], Planar(), ids=["a"], path=path)
    made.retriever.close()
    again = TercetVectorStore(embedding=Planar(), path=path)
    assert again.similarity_search("0 2")[0].id == "a"
    other = Planar()
    other.model = "planar-2"
    with pytest.raises(ModelMismatchError, match=r"Planar planar .* opened for Planar planar-2"):
        TercetVectorStore(embedding=other, path=path)


def test_what_a_store_is_made_of_is_checked(encoder: HashEncoder, tmp_path: Path) -> None:
    retriever = Retriever.create(encoder=encoder)
    for given in (
        {},
        {"path": tmp_path},
        {"retriever": retriever, "embedding": Planar()},
        {"retriever": retriever, "path": tmp_path},
    ):
        with pytest.raises(TypeError, match="made of retriever=, or of embedding="):
            TercetVectorStore(**given)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="retriever is a HashEncoder, without retrieve"):
        TercetVectorStore(retriever=encoder)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="embedding is a str, without embed_documents"):
        TercetVectorStore(embedding="tercet/mini")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"our HashEncoder, .* give TercetEmbeddings\(encoder="):
        TercetVectorStore(embedding=encoder)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="unexpected keyword argument 'collection'"):
        TercetVectorStore(retriever=retriever, collection="x")  # type: ignore[call-arg]


def test_documents_given_are_left_as_they_were(
    store: TercetVectorStore, animals: list[Document]
) -> None:
    before = copy.deepcopy(animals)
    store.add_documents(animals, ids=[f"new-{n}" for n in range(5)])
    found = store.get_by_ids(["cod"])[0]
    found.metadata["nested"]["water"].append("sweet")
    assert animals == before
    assert store.get_by_ids(["cod"]) == [animals[4]]


def test_ids_given_come_first_then_the_document_s_own_then_random_ones(
    store: TercetVectorStore,
) -> None:
    given = [
        Document(id="mine", page_content="one"),
        Document(page_content="two"),
        Document(page_content="three"),
    ]
    added = store.add_documents(given, ids=[None, "b", None])
    assert added[:2] == ["mine", "b"]
    assert [d.page_content for d in store.get_by_ids(added)] == ["one", "two", "three"]
    assert store.add_texts(["x"], ids=["b"], batch_size=7) == ["b"]
    assert store.get_by_ids(["b"])[0].page_content == "x"
    assert size(store) == 8


def test_lengths_that_differ_are_refused_before_anything_is_written(
    store: TercetVectorStore,
) -> None:
    with pytest.raises(ValueError, match="3 texts, but 1 ids: give one for each"):
        store.add_texts(["a", "b", "c"], ids=["1"])
    with pytest.raises(ValueError, match="2 texts, but 1 metadatas"):
        store.add_texts(["a", "b"], [{}])
    with pytest.raises(ValueError, match="1 documents, but 2 ids"):
        store.add_documents([Document(page_content="a")], ids=["1", "2"])
    assert size(store) == 5


def test_bare_strings_and_single_documents_are_refused(store: TercetVectorStore) -> None:
    with pytest.raises(TypeError, match="texts is one string"):
        store.add_texts("text")
    with pytest.raises(TypeError, match="ids is one string"):
        store.add_texts(["a"], ids="a")
    with pytest.raises(TypeError, match="ids is one string"):
        store.add_documents([Document(page_content="a")], ids="a")
    with pytest.raises(TypeError, match="documents is one Document"):
        store.add_documents(Document(page_content="a"))
    with pytest.raises(TypeError, match="'a' is no LangChain Document"):
        store.add_documents(["a"])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="ids is one string"):
        store.delete("cat")
    with pytest.raises(TypeError, match="ids is one string"):
        store.get_by_ids("cat")


def test_metadata_that_is_not_json_is_refused(store: TercetVectorStore) -> None:
    with pytest.raises(TypeError, match="metadata of document 'p' is not JSON"):
        store.add_texts(["a"], [{"path": Path()}], ids=["p"])


async def test_async_writing_equals_sync_writing(encoder: HashEncoder) -> None:
    embedding = TercetEmbeddings(encoder=encoder)
    store = await TercetVectorStore.afrom_texts(["a"], embedding, [{"n": 1}], ids=["1"])
    assert await store.aadd_texts(["b", "c"], ids=["2", None]) != ["2", None]
    assert await store.aadd_documents([Document(id="4", page_content="d")]) == ["4"]
    assert await store.aget_by_ids(["1"]) == [Document(id="1", page_content="a", metadata={"n": 1})]
    assert await store.adelete(["1", "none"]) is True
    with pytest.raises(ValueError, match="texts, but 1 ids"):
        await store.aadd_texts(["b", "c"], ids=["2"])
    assert size(store) == 3
    documents = [Document(id="z", page_content="z")]
    other = await TercetVectorStore.afrom_documents(documents, retriever=store.retriever)
    assert size(other) == 4


def test_delete_takes_ids_or_a_filter_and_never_nothing(store: TercetVectorStore) -> None:
    assert store.delete(["cat", "no such id"]) is True
    assert store.delete([]) is True
    assert size(store) == 4
    assert store.delete(filter=F("legs") == 4) is True
    assert size(store) == 3
    with pytest.raises(ValueError, match=r"clear\(\) removes every document"):
        store.delete()
    with pytest.raises(ValueError, match="ids or a filter, one of them"):
        store.delete(["ant"], filter={"legs": 6})
    assert size(store) == 3
    store.clear()
    assert size(store) == 0
    assert store.similarity_search("ant") == []


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("add_documents", ([],)),
        ("add_texts", ([],)),
        ("delete", (["a"],)),
        ("similarity_search", ("q",)),
        ("similarity_search_with_score", ("q",)),
        ("similarity_search_with_relevance_scores", ("q",)),
        ("similarity_search_by_vector", ([1.0],)),
        ("max_marginal_relevance_search", ("q",)),
        ("max_marginal_relevance_search_by_vector", ([1.0],)),
    ],
)
async def test_unknown_arguments_are_type_errors(
    store: TercetVectorStore, method: str, arguments: tuple[Any, ...]
) -> None:
    with pytest.raises(TypeError, match="kk"):
        getattr(store, method)(*arguments, kk=3)
    with pytest.raises(TypeError, match="kk"):
        await getattr(store, f"a{method}")(*arguments, kk=3)


def test_unknown_arguments_of_the_constructors_are_type_errors() -> None:
    with pytest.raises(TypeError, match="it got kk, which nothing would read"):
        TercetVectorStore.from_texts(["a"], Planar(), kk=3)
    with pytest.raises(TypeError, match=r"from_documents\(\) takes .*; it got kk"):
        TercetVectorStore.from_documents([], Planar(), kk=3)


def test_copies_share_the_index_and_pickling_is_refused(store: TercetVectorStore) -> None:
    assert copy.deepcopy(store).retriever is store.retriever
    assert copy.deepcopy(store.as_retriever()).vectorstore is store
    for adapter in (store, store.as_retriever()):
        with pytest.raises(TypeError, match="TercetVectorStore holds a loaded model"):
            pickle.dumps(adapter)


def test_its_repr_is_short(store: TercetVectorStore) -> None:
    assert repr(store) == "TercetVectorStore('hash-encoder')"
    assert "vectorstore" not in repr(store.as_retriever())
    assert "vectorstore" not in store.as_retriever().model_dump()


def test_embeddings_without_a_named_model_are_named_by_their_class() -> None:
    store = TercetVectorStore(embedding=DeterministicFakeEmbedding(size=6))
    assert store.retriever.encoder.spec.family == "DeterministicFakeEmbedding"
