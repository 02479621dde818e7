"""`TercetEmbedding`: the dense view of an encoder, for LlamaIndex."""

import copy
import pickle
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.callbacks import CallbackManager, CBEventType
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.schema import MetadataMode, TextNode
from llama_index.core.storage.kvstore import SimpleKVStore
from pydantic import ValidationError

from llama_index_tercet import TercetEmbedding
from tercet.embeddings import Embeddings
from tercet.testing.checkpoints.bge_m3 import write_bge_m3
from tercet.testing.hash_encoder import HashEncoder


class Spy(HashEncoder):
    """Tells queries from documents, and knows its calls and their threads."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []
        self.threads: set[int] = set()

    def encode_queries(self, texts: Sequence[str], *, show_progress: bool = False) -> Embeddings:
        self.threads.add(threading.get_ident())
        return super().encode_queries([f"query {text}" for text in texts])

    def encode_documents(self, texts: Sequence[str], *, show_progress: bool = False) -> Embeddings:
        self.threads.add(threading.get_ident())
        self.batches.append(len(texts))
        return super().encode_documents(texts)


@pytest.fixture
def spy() -> Spy:
    return Spy()


async def test_every_hook_gives_the_encoder_s_vectors(encoder: HashEncoder) -> None:
    model = TercetEmbedding(encoder=encoder)
    assert isinstance(model, BaseEmbedding)
    dense = encoder.encode_documents(["one", "two"]).dense
    assert dense is not None
    one, two = dense.tolist()
    assert model.get_text_embedding("one") == one
    assert model.get_text_embedding_batch(["one", "two"]) == [one, two]
    assert model.get_query_embedding("two") == two
    assert await model.aget_text_embedding("one") == one
    assert await model.aget_text_embedding_batch(["one", "two"]) == [one, two]
    assert await model.aget_query_embedding("two") == two


def test_queries_and_documents_are_told_apart(spy: Spy) -> None:
    model = TercetEmbedding(encoder=spy)
    assert model.get_query_embedding("one") != model.get_text_embedding("one")
    assert model.get_query_embedding("one") == model.get_text_embedding("query one")


def test_batches_are_large(spy: Spy) -> None:
    model = TercetEmbedding(encoder=spy)
    assert model.embed_batch_size == 256
    model.get_text_embedding_batch([f"text {n}" for n in range(600)])
    assert sum(spy.batches) == 600
    assert len(spy.batches) < 25  # 60 with LlamaIndex's own size


async def test_async_hooks_leave_the_event_loop_alone(spy: Spy) -> None:
    model = TercetEmbedding(encoder=spy)
    await model.aget_query_embedding("one")
    await model.aget_text_embedding("one")
    await model.aget_text_embedding_batch(["one", "two"])
    assert spy.threads
    assert threading.get_ident() not in spy.threads


def test_a_cache_by_text_alone_is_refused(spy: Spy) -> None:
    with pytest.raises(ValidationError, match="embeddings_cache keys by the text alone"):
        TercetEmbedding(encoder=spy, embeddings_cache=SimpleKVStore())


def test_an_encoder_sets_the_model_s_name(encoder: HashEncoder) -> None:
    model = TercetEmbedding(model_name="no/such-model", encoder=encoder)
    assert model.encoder is encoder
    assert model.model_name == "hash-encoder"


def test_nodes_are_embedded_with_their_metadata(encoder: HashEncoder) -> None:
    node = TextNode(text="one", metadata={"title": "Two"})
    TercetEmbedding(encoder=encoder)([node])
    dense = encoder.encode_documents([node.get_content(MetadataMode.EMBED)]).dense
    assert dense is not None
    assert node.embedding == dense[0].tolist()


def test_a_pipeline_s_cache_knows_the_model(spy: Spy) -> None:
    nodes = [TextNode(id_="n", text="one")]
    pipeline = IngestionPipeline(transformations=[TercetEmbedding(encoder=spy)])
    pipeline.run(nodes=nodes)
    pipeline.run(nodes=nodes)
    assert spy.batches == [1]
    other = IngestionPipeline(
        transformations=[TercetEmbedding(encoder=HashEncoder(dense_dim=8))], cache=pipeline.cache
    )
    assert [len(node.embedding or []) for node in other.run(nodes=nodes)] == [8]


def test_it_is_loaded_by_name_and_comes_back_from_json(tmp_path: Path) -> None:
    write_bge_m3(tmp_path)
    model = TercetEmbedding(model_name=str(tmp_path), embed_batch_size=7)
    for back in (
        TercetEmbedding.from_dict(model.to_dict()),
        TercetEmbedding.model_validate_json(model.model_dump_json()),
    ):
        assert back.embed_batch_size == 7
        assert back.model_name == model.model_name
        assert back.get_query_embedding("one") == model.get_query_embedding("one")


def test_another_encoder_than_the_one_written_down_is_refused(encoder: HashEncoder) -> None:
    written = TercetEmbedding(encoder=encoder).to_dict()
    again = TercetEmbedding.from_dict(written, encoder=encoder)
    assert again.document_id == encoder.spec.document_id
    with pytest.raises(ValidationError, match="pass the encoder that was used"):
        TercetEmbedding.from_dict(written, encoder=HashEncoder(dense_dim=8))


def test_bad_arguments_are_refused_by_name(encoder: HashEncoder) -> None:
    with pytest.raises(ValidationError, match="neither model nor encoder"):
        TercetEmbedding()
    with pytest.raises(TypeError, match="encoder is a str, without encode_queries"):
        TercetEmbedding(encoder="tercet/mini")
    with pytest.raises(ValidationError, match="cache_folder"):
        TercetEmbedding(encoder=encoder, cache_folder="x")  # type: ignore[call-arg]
    with pytest.raises(ValidationError, match="valid dictionary"):
        TercetEmbedding.model_validate(3)
    with pytest.raises(ValidationError, match=r"dense view.*it has sparse: use a TercetRetriever"):
        TercetEmbedding(encoder=HashEncoder(representations=["sparse"]))


def test_copies_share_the_encoder_and_pickling_is_refused(encoder: HashEncoder) -> None:
    model = TercetEmbedding(encoder=encoder)
    assert copy.deepcopy(model).encoder is encoder
    assert "HashEncoder" not in repr(model)
    with pytest.raises(TypeError, match="TercetEmbedding holds a loaded model"):
        pickle.dumps(model)


def test_its_events_are_balanced(
    encoder: HashEncoder, callback_manager: CallbackManager, old_recorder: object, recorder: object
) -> None:
    model = TercetEmbedding(encoder=encoder, callback_manager=callback_manager)
    model.get_query_embedding("one")
    names = recorder.names  # type: ignore[attr-defined]  # the fixture's own class
    assert names == ["EmbeddingStartEvent", "EmbeddingEndEvent"]
    old = old_recorder.of(CBEventType.EMBEDDING)  # type: ignore[attr-defined]
    assert [place for place, _ in old] == ["start", "end"]
