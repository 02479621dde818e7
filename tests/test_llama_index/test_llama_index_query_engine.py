"""The adapters inside LlamaIndex: query engines, fusion, tools, indexes."""

import pytest
from llama_index.core import StorageContext, VectorStoreIndex
from llama_index.core.indices.query.query_transform.base import BaseQueryTransform
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import (
    CitationQueryEngine,
    RetrieverQueryEngine,
    TransformQueryEngine,
)
from llama_index.core.retrievers import QueryFusionRetriever
from llama_index.core.schema import QueryBundle, TextNode
from llama_index.core.tools import RetrieverTool

from llama_index_tercet import TercetEmbedding, TercetRerank, TercetRetriever
from tercet.testing.hash_encoder import HashEncoder


@pytest.fixture
def engine(retriever: TercetRetriever, encoder: HashEncoder) -> RetrieverQueryEngine:
    return RetrieverQueryEngine.from_args(
        retriever,
        llm=MockLLM(),
        node_postprocessors=[TercetRerank(encoder=encoder, top_n=1)],
    )


async def test_what_was_found_reaches_the_prompt_of_a_query_engine(
    engine: RetrieverQueryEngine,
) -> None:
    response = engine.query("who hunts mice at night?")
    assert "an owl hunts mice at night" in str(response)
    assert [found.node.node_id for found in response.source_nodes] == ["owl"]
    again = await engine.aquery("who hunts mice at night?")
    assert str(again) == str(response)
    assert again.source_nodes == response.source_nodes


def test_a_query_engine_reports_balanced_events(
    engine: RetrieverQueryEngine, recorder: object
) -> None:
    engine.query("who hunts mice at night?")
    names = recorder.names  # type: ignore[attr-defined]  # the fixture's own class
    for start in [name for name in names if name.endswith("StartEvent")]:
        assert names.count(start) == names.count(start.replace("Start", "End")), start
    assert names.index("RetrievalEndEvent") < names.index("ReRankStartEvent")


def test_fusion_adds_up_what_two_retrievers_find(
    retriever: TercetRetriever,
) -> None:
    both = [
        TercetRetriever(retriever.retriever, plan=plan, similarity_top_k=5)
        for plan in ("dense", "sparse")
    ]
    fused = QueryFusionRetriever(
        both, llm=MockLLM(), num_queries=1, mode="reciprocal_rerank", use_async=False
    ).retrieve("an owl hunts mice at night")
    assert fused[0].node.node_id == "owl"
    assert fused[0].score == pytest.approx(2 / 60)  # first in both lists: nodes were merged


def test_citations_name_their_sources(retriever: TercetRetriever) -> None:
    engine = CitationQueryEngine(retriever=retriever, llm=MockLLM())
    response = engine.query("cold sea")
    assert "Source 1:" in response.source_nodes[0].node.get_content()


async def test_a_tool_of_an_agent_finds_what_was_meant(retriever: TercetRetriever) -> None:
    tool = RetrieverTool.from_defaults(TercetRetriever(retriever.retriever, plan="sparse"))
    output = await tool.acall(input="cod swims")
    assert "a cod swims in the cold sea" in output.content


class Hypothetical(BaseQueryTransform):
    """Writes the answer that a language model might, as HyDE does."""

    def _run(self, query_bundle: QueryBundle, metadata: dict[str, object]) -> QueryBundle:
        return QueryBundle(query_bundle.query_str, custom_embedding_strs=["mice at night"])

    def _get_prompts(self) -> dict[str, object]:  # type: ignore[override]  # none
        return {}

    def _update_prompts(self, prompts: object) -> None: ...


def test_a_hypothetical_document_is_searched_with(retriever: TercetRetriever) -> None:
    dense = TercetRetriever(retriever.retriever, plan="dense", similarity_top_k=1)
    engine = TransformQueryEngine(
        RetrieverQueryEngine.from_args(dense, llm=MockLLM()), Hypothetical()
    )
    assert engine.query("zzz").source_nodes[0].node.node_id == "owl"


async def test_the_embedding_serves_a_vector_store_index(
    encoder: HashEncoder, animals: list[TextNode]
) -> None:
    index = VectorStoreIndex(
        animals,
        embed_model=TercetEmbedding(encoder=encoder),
        storage_context=StorageContext.from_defaults(),
    )
    retriever = index.as_retriever(similarity_top_k=1)
    assert retriever.retrieve("an owl hunts")[0].node.node_id == "owl"
    assert (await retriever.aretrieve("an owl hunts"))[0].node.node_id == "owl"
