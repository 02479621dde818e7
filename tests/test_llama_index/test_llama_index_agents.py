"""Agents of LlamaIndex: a tool whose query reaches the retriever as the agent wrote it."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, LLMMetadata, MessageRole
from llama_index.core.llms import MockLLM
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.schema import MetadataMode
from pydantic import PrivateAttr

from llama_index_tercet import TercetRerank, TercetRetriever, TercetVectorStore, retriever_tool
from tercet.testing.hash_encoder import HashEncoder

QUESTION = "who hunts mice at night?"


class Scripted(MockLLM):
    """Calls its one tool with the question, then answers with what the tool said."""

    _calls: list[ToolSelection] = PrivateAttr(default_factory=list)

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(is_function_calling_model=True)

    async def astream_chat_with_tools(
        self, tools: Sequence[Any], *, chat_history: list[ChatMessage], **kwargs: Any
    ) -> AsyncIterator[ChatResponse]:
        said = [message.content for message in chat_history if message.role is MessageRole.TOOL]
        names = [] if said else [tool.metadata.get_name() for tool in tools]
        self._calls = [
            ToolSelection(tool_id=name, tool_name=name, tool_kwargs={"query": QUESTION})
            for name in names
        ]

        async def answer() -> AsyncIterator[ChatResponse]:
            content = said[0] if said else ""
            yield ChatResponse(
                message=ChatMessage(role="assistant", content=content), delta=content
            )

        return answer()

    def get_tool_calls_from_response(self, response: Any, **kwargs: Any) -> list[ToolSelection]:
        return self._calls


# making an agent, LlamaIndex looks at every attribute of a pydantic object, deprecated ones too
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_an_agent_searches_with_its_own_words_and_reads_what_was_found(
    retriever: TercetRetriever, recorder: Any
) -> None:
    tool = TercetRetriever(retriever.retriever, plan="sparse", similarity_top_k=1).as_tool()
    answer = await FunctionAgent(tools=[tool], llm=Scripted()).run("Who is awake?")
    assert "an owl hunts mice at night" in str(answer)
    (start,) = [e for e in recorder.events if e.class_name() == "RetrievalStartEvent"]
    assert (
        str(getattr(start.str_or_query_bundle, "query_str", start.str_or_query_bundle)) == QUESTION
    )


async def test_the_tool_s_output_has_the_nodes_and_their_text(retriever: TercetRetriever) -> None:
    tool = retriever.as_tool(name="animals", description="About animals.")
    assert (tool.metadata.name, tool.metadata.description) == ("animals", "About animals.")
    assert list(tool.metadata.get_parameters_dict()["properties"]) == ["query"]
    expected = retriever.retrieve(QUESTION)
    for output in (tool(query=QUESTION), await tool.acall(query=QUESTION), tool(QUESTION)):
        assert output.raw_output == expected
        shown = [scored.node.get_content(MetadataMode.LLM) for scored in expected]
        assert output.content == "\n\n".join(shown)


async def test_a_tool_reranks_what_any_retriever_finds(
    full_store: TercetVectorStore, encoder: HashEncoder
) -> None:
    found = full_store.as_index().as_retriever(similarity_top_k=5)
    rerank = TercetRerank(encoder=encoder, top_n=1, keep_retrieval_score=True)
    tool = retriever_tool(found, node_postprocessors=[rerank])
    for output in (tool(query=QUESTION), await tool.acall(query=QUESTION)):
        (best,) = output.raw_output
        assert best.node.node_id == "owl"
        assert "retrieval_score" not in output.content


def test_a_tool_asks_for_a_query(retriever: TercetRetriever) -> None:
    with pytest.raises(TypeError, match="input"):
        retriever.as_tool()(input=QUESTION)
