"""`TercetSparseEmbeddings`: lexical weights in the shapes of two hybrid stores."""

import copy
import importlib
import pickle
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from types import ModuleType

import pytest
from pydantic import ValidationError

from langchain_tercet import TercetSparseEmbeddings, sparse_embeddings
from tercet.errors import MissingExtraError
from tercet.testing.hash_encoder import HashEncoder


@pytest.fixture
def sparse(encoder: HashEncoder) -> TercetSparseEmbeddings:
    return TercetSparseEmbeddings(encoder=encoder)


def weights(encoder: HashEncoder, *texts: str) -> list[dict[int, float]]:
    found = encoder.encode_documents(texts).sparse
    assert found is not None
    return found.to_dicts()


async def test_weights_are_the_encoder_s_in_qdrant_s_shape(
    sparse: TercetSparseEmbeddings, encoder: HashEncoder
) -> None:
    texts = ["the cat sleeps", "", "an owl"]
    found = sparse.embed_documents(texts)
    as_dicts = [dict(zip(v.indices, v.values, strict=True)) for v in found]
    assert as_dicts == weights(encoder, *texts)
    assert type(found[0].indices) is list
    assert type(found[0].indices[0]) is int
    assert type(found[0].values[0]) is float
    assert sparse.embed_query("an owl") == found[2]
    assert await sparse.aembed_documents(texts) == found
    assert await sparse.aembed_query("an owl") == found[2]
    assert sparse.embed_documents([]) == []


def test_a_model_without_lexical_weights_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"sparse was asked of .* makes dense"):
        TercetSparseEmbeddings(encoder=HashEncoder(representations=["dense"]))


def test_copies_share_the_encoder_and_pickling_is_refused(
    sparse: TercetSparseEmbeddings, encoder: HashEncoder
) -> None:
    assert copy.deepcopy(sparse).encoder is encoder
    assert repr(sparse) == "TercetSparseEmbeddings(model=None)"
    with pytest.raises(TypeError, match="TercetSparseEmbeddings holds a loaded model"):
        pickle.dumps(sparse)


class Base(ABC):
    """The shape of langchain-milvus's `BaseSparseEmbedding`, version 0.4."""

    @abstractmethod
    def embed_query(self, query: str) -> dict[int, float]: ...

    @abstractmethod
    def embed_documents(self, texts: list[str]) -> list[dict[int, float]]: ...


@pytest.fixture
def milvus(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("langchain_milvus", "langchain_milvus.utils", "langchain_milvus.utils.sparse"):
        module = ModuleType(name)
        module.__spec__ = ModuleSpec(name, None)
        module.__dict__["BaseSparseEmbedding"] = Base
        monkeypatch.setitem(sys.modules, name, module)
    sparse_embeddings._milvus_class.cache_clear()
    yield
    sparse_embeddings._milvus_class.cache_clear()


@pytest.mark.usefixtures("milvus")
async def test_milvus_gets_an_instance_of_its_own_class(
    sparse: TercetSparseEmbeddings, encoder: HashEncoder
) -> None:
    made = sparse.for_milvus()
    assert isinstance(made, Base)
    texts = ["the cat sleeps", "an owl"]
    expected = weights(encoder, *texts)
    assert made.embed_documents(texts) == expected
    assert await made.aembed_documents(texts) == expected
    assert made.embed_query("an owl") == expected[1]
    assert await made.aembed_query("an owl") == expected[1]
    assert copy.deepcopy(made) is made
    with pytest.raises(TypeError, match="TercetMilvusSparseEmbeddings holds a loaded model"):
        pickle.dumps(made)


def test_without_milvus_the_message_says_what_to_install(
    sparse: TercetSparseEmbeddings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "langchain_milvus", None)
    monkeypatch.setattr(sparse_embeddings, "find_spec", lambda name: None)
    importlib.invalidate_caches()
    with pytest.raises(MissingExtraError, match="pip install langchain-milvus"):
        sparse.for_milvus()
