"""A LangGraph agent that looks things up with our retrievers."""

from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.retrievers import BaseRetriever
from langchain_core.tools import BaseTool, create_retriever_tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.prebuilt import ToolNode, tools_condition

from langchain_tercet import TercetEmbeddings, TercetRetriever, TercetVectorStore


class LooksUpOnce(BaseChatModel):
    """Stands in for an LLM: asks the tool for the question, then answers with what it gave."""

    @property
    def _llm_type(self) -> str:
        return "looks up once"

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        last = messages[-1]
        if isinstance(last, ToolMessage):
            answer = AIMessage(str(last.content).splitlines()[0])
        else:
            call = {"name": "animals", "args": {"query": str(last.content)}, "id": "1"}
            answer = AIMessage("", tool_calls=[call])
        return ChatResult(generations=[ChatGeneration(message=answer)])


def agent(tool: BaseTool) -> "CompiledStateGraph[Any, Any, Any, Any]":
    model = LooksUpOnce()

    async def answer(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await model.ainvoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("model", answer)
    graph.add_node("tools", ToolNode([tool]))
    graph.add_edge(START, "model")
    graph.add_conditional_edges("model", tools_condition)
    graph.add_edge("tools", "model")
    return graph.compile()


@pytest.mark.parametrize("kind", ["retriever", "store"])
async def test_an_agent_answers_with_what_its_tool_found(
    retriever: TercetRetriever, kind: str
) -> None:
    search: BaseRetriever = retriever
    if kind == "store":
        store = TercetVectorStore(retriever=retriever.retriever)
        search = store.as_retriever(search_kwargs={"k": 1, "filter": {"lang": "en"}})
    tool = create_retriever_tool(
        search, "animals", "Facts about animals.", response_format="content_and_artifact"
    )
    asked = {"messages": [HumanMessage("who hunts mice at night?")]}
    messages = (await agent(tool).ainvoke(asked))["messages"]
    assert messages[-1].content == "an owl hunts mice at night"
    assert messages[-2].artifact[0].id == "owl"


async def test_agents_that_run_together_get_their_own_answers(retriever: TercetRetriever) -> None:
    tool = create_retriever_tool(retriever, "animals", "Facts about animals.")
    questions = ["who hunts mice at night?", "who swims in the cold sea?"] * 8
    answers = await agent(tool).abatch([{"messages": [HumanMessage(q)]} for q in questions])
    expected = ["an owl hunts mice at night", "a cod swims in the cold sea"] * 8
    assert [answer["messages"][-1].content for answer in answers] == expected


def test_the_embeddings_of_a_store_are_the_agent_s_too(retriever: TercetRetriever) -> None:
    store = TercetVectorStore(retriever=retriever.retriever)
    assert isinstance(store.embeddings, TercetEmbeddings)
    vector = store.embeddings.embed_query("who hunts mice at night?")
    assert store.similarity_search_by_vector(vector, k=1)[0].id == "owl"
