"""`TercetSparseEmbedding`: the lexical weights of an encoder, for LlamaIndex."""

import copy
import pickle

import pytest
from llama_index.core.base.embeddings.base_sparse import BaseSparseEmbedding
from pydantic import ValidationError

from llama_index_tercet import TercetEmbedding, TercetSparseEmbedding
from tercet.testing.hash_encoder import HashEncoder


async def test_every_hook_gives_the_encoder_s_lexical_weights(encoder: HashEncoder) -> None:
    model = TercetSparseEmbedding(encoder=encoder)
    assert isinstance(model, BaseSparseEmbedding)
    views = encoder.encode_documents(["one", "two two"]).sparse
    assert views is not None
    one, two = views.to_dicts()
    assert model.get_text_embedding("one") == one
    assert model.get_text_embedding_batch(["one", "two two"]) == [one, two]
    assert model.get_query_embedding("two two") == two
    assert await model.aget_text_embedding("one") == one
    assert await model.aget_text_embedding_batch(["one", "two two"]) == [one, two]
    assert await model.aget_query_embedding("two two") == two
    assert all(type(k) is int and type(v) is float for k, v in two.items())


def test_an_empty_batch_has_no_weights(encoder: HashEncoder) -> None:
    assert TercetSparseEmbedding(encoder=encoder).get_text_embedding_batch([]) == []


def test_its_json_is_read_again(encoder: HashEncoder) -> None:
    model = TercetSparseEmbedding(encoder=encoder, embed_batch_size=7)
    written = model.model_dump()
    assert (written["class_name"], written["model_name"]) == (
        "TercetSparseEmbedding",
        "hash-encoder",
    )
    assert "encoder" not in written
    again = TercetSparseEmbedding.model_validate({**written, "encoder": encoder})
    assert again.embed_batch_size == 7
    with pytest.raises(ValidationError, match="document_id is"):
        TercetSparseEmbedding.model_validate({**written, "encoder": HashEncoder(dense_dim=8)})


def test_copies_share_the_encoder_and_pickling_is_refused(encoder: HashEncoder) -> None:
    model = TercetSparseEmbedding(encoder=encoder)
    assert copy.deepcopy(model).encoder is encoder
    with pytest.raises(TypeError, match="TercetSparseEmbedding holds a loaded model"):
        pickle.dumps(model)


def test_bad_arguments_are_refused_by_name(encoder: HashEncoder) -> None:
    with pytest.raises(ValidationError, match=r"the sparse view.*it has dense: use a Tercet"):
        TercetSparseEmbedding(encoder=HashEncoder(representations=["dense"]))
    with pytest.raises(ValidationError, match="top_k"):
        TercetSparseEmbedding(encoder=encoder, top_k=3)  # type: ignore[call-arg]
    with pytest.raises(ValidationError, match="neither model nor encoder"):
        TercetSparseEmbedding()


class Broken(HashEncoder):
    def encode_queries(self, *args: object, **kwargs: object) -> None:  # type: ignore[override]
        raise RuntimeError("out of memory")

    encode_documents = encode_queries  # type: ignore[assignment]


@pytest.mark.parametrize("model", [TercetEmbedding, TercetSparseEmbedding])
async def test_events_of_an_encoding_are_balanced_on_errors(
    model: type[TercetEmbedding], recorder: object
) -> None:
    broken = model(encoder=Broken())
    for call in (broken.get_query_embedding, broken.get_text_embedding):
        with pytest.raises(RuntimeError, match="out of memory"):
            call("a")
    for acall in (broken.aget_query_embedding, broken.aget_text_embedding):
        with pytest.raises(RuntimeError, match="out of memory"):
            await acall("a")
    with pytest.raises(RuntimeError, match="out of memory"):
        broken.get_text_embedding_batch(["a"])
    names = recorder.names  # type: ignore[attr-defined]  # the fixture's own class
    assert len(names) == 10
    assert all(name.endswith("StartEvent") for name in names[::2])
    assert names[1::2] == [name.replace("Start", "End") for name in names[::2]]
