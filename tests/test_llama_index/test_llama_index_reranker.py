"""`TercetRerank`: LlamaIndex nodes in a better order, and the events about it."""

import copy
import pickle
from collections.abc import Sequence
from typing import Any

import pytest
from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload
from llama_index.core.schema import ImageNode, MetadataMode, NodeWithScore, QueryBundle, TextNode
from pydantic import ValidationError

from llama_index_tercet import TercetRerank, TercetVectorStore
from tercet.embeddings import Embeddings
from tercet.reranker import Reranker
from tercet.testing.hash_encoder import HashEncoder

QUERY = "an owl at night"


@pytest.fixture
def scored(animals: list[TextNode]) -> list[NodeWithScore]:
    return [NodeWithScore(node=node, score=0.5) for node in animals]


@pytest.mark.parametrize("plan", ["multi_vector", "dense", "sparse", "hybrid", "rrf"])
async def test_order_and_scores_are_the_core_s_sync_and_async(
    encoder: HashEncoder, scored: list[NodeWithScore], plan: str
) -> None:
    adapter = TercetRerank(encoder=encoder, plan=plan, top_n=4)
    texts = [found.node.get_content(MetadataMode.EMBED) for found in scored]
    hits = Reranker(encoder, plan=plan).rerank(QUERY, texts, k=4)
    expected = [(scored[int(hit.document.id)].node.node_id, hit.score) for hit in hits]
    for found in (
        adapter.postprocess_nodes(scored, query_str=QUERY),
        await adapter.apostprocess_nodes(scored, QueryBundle(f"\n{QUERY}\n")),
    ):
        assert [(best.node.node_id, best.score) for best in found] == expected


def test_nodes_given_are_left_as_they_were(
    encoder: HashEncoder, scored: list[NodeWithScore]
) -> None:
    before = copy.deepcopy(scored)
    found = TercetRerank(encoder=encoder).postprocess_nodes(scored, query_str=QUERY)
    assert scored == before
    assert len(found) == 3
    assert all(best not in scored for best in found)
    assert all(best.node in [given.node for given in scored] for best in found)


def test_the_score_before_is_kept_on_request_out_of_every_prompt(
    encoder: HashEncoder, scored: list[NodeWithScore]
) -> None:
    before = copy.deepcopy(scored)
    adapter = TercetRerank(encoder=encoder, keep_retrieval_score=True, top_n=1)
    node = adapter.postprocess_nodes(scored, query_str=QUERY)[0].node
    assert node.node_id == "owl"
    assert node.metadata["retrieval_score"] == 0.5
    for mode in (MetadataMode.EMBED, MetadataMode.LLM):
        assert "retrieval_score" not in node.get_content(mode)
    node.metadata["tags"].append("changed")
    assert scored == before


def test_nodes_of_any_class_are_ordered(encoder: HashEncoder) -> None:
    class Mine(TextNode):
        more: int = 0

    given = [
        NodeWithScore(node=ImageNode(text="a fish", image="AAAA")),
        NodeWithScore(
            node=Mine(text="an owl", metadata={"k": {1}}, text_template="{content} {metadata_str}")
        ),
    ]
    found = TercetRerank(encoder=encoder).postprocess_nodes(given, query_str="an owl")
    assert [type(best.node) for best in found] == [Mine, ImageNode]


def test_ties_keep_the_order_given(encoder: HashEncoder) -> None:
    given = [NodeWithScore(node=TextNode(text="same", id_=str(n))) for n in range(12, 0, -1)]
    found = TercetRerank(encoder=encoder, top_n=20).postprocess_nodes(given, query_str="same")
    assert [best.node.node_id for best in found] == [str(n) for n in range(12, 0, -1)]


def test_bad_arguments_are_refused_by_name(
    encoder: HashEncoder, scored: list[NodeWithScore]
) -> None:
    with pytest.raises(ValueError, match="a reranker needs the query"):
        TercetRerank(encoder=encoder).postprocess_nodes(scored)
    with pytest.raises(ValidationError, match="topn"):
        TercetRerank(encoder=encoder, topn=3)  # type: ignore[call-arg]
    with pytest.raises(ValidationError, match="greater than 0"):
        TercetRerank(encoder=encoder, top_n=0)
    with pytest.raises(ValidationError, match="neither model nor encoder"):
        TercetRerank()
    with pytest.raises(TypeError, match="encoder is the class HashEncoder"):
        TercetRerank(encoder=HashEncoder)


def test_copies_share_the_encoder_and_pickling_is_refused(encoder: HashEncoder) -> None:
    adapter = TercetRerank(model="no/such-model", encoder=encoder)
    assert adapter.encoder is encoder
    assert copy.deepcopy(adapter).encoder is encoder
    assert "HashEncoder" not in repr(adapter)
    assert TercetRerank.from_dict(adapter.to_dict(), encoder=encoder).top_n == 3
    with pytest.raises(TypeError, match="TercetRerank holds a loaded model"):
        pickle.dumps(adapter)


def reranking(old_recorder: Any) -> list[tuple[str, dict[Any, Any]]]:
    found: list[tuple[str, dict[Any, Any]]] = old_recorder.of(CBEventType.RERANKING)
    return found


async def test_start_and_end_are_reported_to_both_systems(
    encoder: HashEncoder,
    scored: list[NodeWithScore],
    callback_manager: CallbackManager,
    old_recorder: Any,
    recorder: Any,
) -> None:
    adapter = TercetRerank(encoder=encoder, callback_manager=callback_manager)
    found = adapter.postprocess_nodes(scored, query_str=QUERY)
    await adapter.apostprocess_nodes(scored, query_str=QUERY)
    assert recorder.names == ["ReRankStartEvent", "ReRankEndEvent"] * 2
    start, end = recorder.events[:2]
    assert (start.query, start.top_n, start.model_name) == (QUERY, 3, "hash-encoder")
    assert (start.nodes, end.nodes) == (scored, found)
    old = reranking(old_recorder)
    assert [place for place, _ in old] == ["start", "end"] * 2
    assert old[0][1] == {
        EventPayload.NODES: scored,
        EventPayload.MODEL_NAME: "hash-encoder",
        EventPayload.QUERY_STR: QUERY,
        EventPayload.TOP_K: 3,
    }
    assert old[1][1] == {EventPayload.NODES: found}


def test_events_are_balanced_on_empty_input(
    encoder: HashEncoder, callback_manager: CallbackManager, old_recorder: Any, recorder: Any
) -> None:
    adapter = TercetRerank(encoder=encoder, callback_manager=callback_manager)
    assert adapter.postprocess_nodes([], query_str=QUERY) == []
    assert recorder.names == ["ReRankStartEvent", "ReRankEndEvent"]
    assert [place for place, _ in reranking(old_recorder)] == ["start", "end"]


class Broken(HashEncoder):
    """Cannot encode documents."""

    def encode_documents(self, texts: Any, *, show_progress: bool = False) -> Embeddings:
        raise RuntimeError("out of memory")


async def test_events_are_balanced_on_errors(
    scored: list[NodeWithScore],
    callback_manager: CallbackManager,
    old_recorder: Any,
    recorder: Any,
) -> None:
    adapter = TercetRerank(encoder=Broken(), callback_manager=callback_manager)
    with pytest.raises(RuntimeError, match="out of memory"):
        adapter.postprocess_nodes(scored, query_str=QUERY)
    with pytest.raises(RuntimeError, match="out of memory"):
        await adapter.apostprocess_nodes(scored, query_str=QUERY)
    assert recorder.names == ["ReRankStartEvent", "ReRankEndEvent"] * 2
    assert recorder.events[1].nodes == []
    old = reranking(old_recorder)
    assert [place for place, _ in old] == ["start", "end"] * 2
    assert isinstance(old[1][1][EventPayload.EXCEPTION], RuntimeError)


class CountingEncoder(HashEncoder):
    """Knows which documents it encoded."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def encode_documents(self, texts: Sequence[str], *, show_progress: bool = False) -> Embeddings:
        self.seen += texts
        return super().encode_documents(texts)


async def test_stored_vectors_serve_where_the_index_has_the_same_text(
    animals: list[TextNode],
) -> None:
    counting = CountingEncoder()
    store = TercetVectorStore.from_defaults(animals, encoder=counting)
    changed = TextNode(id_="cat", text="a cat at night")
    given = [NodeWithScore(node=node) for node in [changed, *animals[1:]]]
    plain = TercetRerank(encoder=HashEncoder(), top_n=5, index=None).postprocess_nodes(
        given, query_str=QUERY
    )
    counting.seen.clear()
    adapter = TercetRerank(encoder=counting, top_n=5, index=store.client)
    for found in (
        adapter.postprocess_nodes(given, query_str=QUERY),
        await adapter.apostprocess_nodes(given, query_str=QUERY),
    ):
        assert [best.node for best in found] == [best.node for best in plain]
        assert [best.score for best in found] == pytest.approx(
            [best.score for best in plain],
            abs=1e-2,  # an index may round what it stores
        )
    assert counting.seen == ["a cat at night"] * 2


def test_an_index_or_a_plan_that_does_not_fit_is_refused_at_once(
    full_store: TercetVectorStore,
) -> None:
    with pytest.raises(ValidationError, match="this index holds vectors of hash-encoder"):
        TercetRerank(encoder=HashEncoder(dense_dim=8), index=full_store.client)
    with pytest.raises(TypeError, match="index is a TercetVectorStore, without get"):
        TercetRerank(encoder=HashEncoder(), index=full_store)
    with pytest.raises(ValidationError, match="no plan 'best'"):
        TercetRerank(encoder=HashEncoder(), plan="best")
    with pytest.raises(ValidationError, match="uses multi_vector"):
        TercetRerank(encoder=HashEncoder(representations=["dense"]))
