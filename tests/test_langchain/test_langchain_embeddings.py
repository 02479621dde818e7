"""`TercetEmbeddings`: the dense view of an encoder."""

import copy
import pickle
from pathlib import Path

import pytest
from langchain_core.embeddings import Embeddings as LangChainEmbeddings
from pydantic import ValidationError

from langchain_tercet import TercetEmbeddings, TercetReranker
from tercet.embeddings import Embeddings
from tercet.errors import MissingViewError
from tercet.testing.checkpoints.bge_m3 import write_bge_m3
from tercet.testing.hash_encoder import HashEncoder


class Asymmetric(HashEncoder):
    """Sees a marker before each query."""

    def encode_queries(self, texts: list[str], *, show_progress: bool = False) -> Embeddings:  # type: ignore[override]  # narrower on purpose
        return super().encode_queries([f"query {text}" for text in texts])


def test_documents_and_queries_are_the_encoder_s(encoder: HashEncoder) -> None:
    embeddings = TercetEmbeddings(encoder=encoder)
    assert isinstance(embeddings, LangChainEmbeddings)
    dense = encoder.encode_documents(["one", "two"]).dense
    assert dense is not None
    assert embeddings.embed_documents(["one", "two"]) == dense.tolist()
    assert embeddings.embed_query("one") == dense[0].tolist()
    assert embeddings.embed_documents([]) == []


def test_queries_and_documents_are_told_apart() -> None:
    embeddings = TercetEmbeddings(encoder=Asymmetric())
    assert embeddings.embed_query("one") != embeddings.embed_documents(["one"])[0]


async def test_async_gives_the_same(encoder: HashEncoder) -> None:
    embeddings = TercetEmbeddings(encoder=encoder)
    assert await embeddings.aembed_query("one") == embeddings.embed_query("one")
    assert await embeddings.aembed_documents(["a", "b"]) == embeddings.embed_documents(["a", "b"])


def test_an_encoder_wins_over_a_model_name(encoder: HashEncoder) -> None:
    assert TercetEmbeddings(model="no/such-model", encoder=encoder).encoder is encoder


def test_one_of_both_is_needed() -> None:
    with pytest.raises(ValidationError, match="neither model nor encoder"):
        TercetEmbeddings()


def test_something_else_is_no_encoder() -> None:
    with pytest.raises(TypeError, match="encoder is a str, without encode_queries"):
        TercetEmbeddings(encoder="tercet/mini")
    with pytest.raises(TypeError, match="encoder is the class HashEncoder"):
        TercetEmbeddings(encoder=HashEncoder)


def test_an_unknown_argument_is_refused(encoder: HashEncoder) -> None:
    with pytest.raises(ValidationError, match="model_kwargs"):
        TercetEmbeddings(encoder=encoder, model_kwargs={})  # type: ignore[call-arg]


def test_a_model_without_a_dense_view_is_refused_by_what_it_has() -> None:
    embeddings = TercetEmbeddings(encoder=HashEncoder(representations=["sparse"]))
    with pytest.raises(MissingViewError, match="it has sparse"):
        embeddings.embed_query("one")


def test_a_bare_string_is_no_list_of_documents(encoder: HashEncoder) -> None:
    with pytest.raises(TypeError, match="one string"):
        TercetEmbeddings(encoder=encoder).embed_documents("one")  # type: ignore[arg-type]


def test_copies_share_the_encoder_and_pickling_is_refused(encoder: HashEncoder) -> None:
    embeddings = TercetEmbeddings(encoder=encoder)
    assert copy.deepcopy(embeddings).encoder is encoder
    assert copy.copy(embeddings).encoder is encoder
    with pytest.raises(TypeError, match="TercetEmbeddings holds a loaded model"):
        pickle.dumps(embeddings)


def test_neither_its_repr_nor_its_json_shows_the_encoder(encoder: HashEncoder) -> None:
    embeddings = TercetEmbeddings(model="name", encoder=encoder)
    assert repr(embeddings) == "TercetEmbeddings(model='name')"
    assert embeddings.model_dump() == {"model": "name"}


def test_a_model_is_loaded_by_its_name(tmp_path: Path) -> None:
    write_bge_m3(tmp_path)
    embeddings = TercetEmbeddings(model=str(tmp_path))
    assert len(embeddings.embed_query("one")) == embeddings.encoder.spec.dense_dim
    shared = TercetReranker(encoder=embeddings.encoder, plan="dense", top_n=1)
    assert shared.rerank(["one", "two"], "two")[0]["index"] == 1
