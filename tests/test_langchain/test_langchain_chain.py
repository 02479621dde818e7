"""The adapters inside LangChain: chains, batches, events, configuration."""

from typing import Any
from uuid import UUID

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.language_models.fake_chat_models import FakeListChatModel, ParrotFakeChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import (
    ConfigurableField,
    Runnable,
    RunnableLambda,
    RunnablePassthrough,
)
from langchain_core.tools import create_retriever_tool

from langchain_tercet import TercetReranker, TercetRetriever, TercetVectorStore
from tercet.testing.hash_encoder import HashEncoder

PROMPT = ChatPromptTemplate.from_template("Context:\n{context}\n\nQuestion: {question}")


def joined(documents: list[Document]) -> str:
    return "\n".join(document.page_content for document in documents)


def chain_of(step: Runnable[str, list[Document]], model: Any = None) -> Runnable[str, str]:
    return (
        {"context": step | joined, "question": RunnablePassthrough()}
        | PROMPT
        | (model or ParrotFakeChatModel())
        | StrOutputParser()
    )


def reranked(retriever: TercetRetriever, encoder: HashEncoder) -> Runnable[str, list[Document]]:
    reranker = TercetReranker(encoder=encoder, top_n=1)
    return RunnablePassthrough.assign(
        documents=RunnableLambda(lambda given: retriever.invoke(given["question"]))
    ) | RunnableLambda(
        lambda given: list(reranker.compress_documents(given["documents"], given["question"]))
    )


async def test_what_was_found_reaches_the_prompt_of_a_chain(retriever: TercetRetriever) -> None:
    chain = chain_of(retriever)
    answer = chain.invoke("who hunts mice at night?")
    assert "an owl hunts mice at night" in answer
    assert "Question: who hunts mice at night?" in answer
    assert await chain.ainvoke("who hunts mice at night?") == answer


def test_a_reranker_stands_between_retriever_and_model(
    retriever: TercetRetriever, encoder: HashEncoder
) -> None:
    step = RunnableLambda(lambda question: {"question": question}) | reranked(retriever, encoder)
    answer = chain_of(step).invoke("the cold sea")
    assert "Context:\na cod swims in the cold sea\n\n" in answer


def test_a_chain_streams(retriever: TercetRetriever) -> None:
    chain = chain_of(retriever, FakeListChatModel(responses=["an owl"]))
    assert list(chain.stream("who?")) == list("an owl")


async def test_batches_equal_single_calls(retriever: TercetRetriever) -> None:
    questions = [f"what {word}?" for word in ("cat", "dog", "owl", "ant", "cod", "leaf")] * 4
    single = [retriever.invoke(question) for question in questions]
    assert retriever.batch(questions, {"max_concurrency": 8}) == single
    assert await retriever.abatch(questions) == single


def test_bound_arguments_are_used(retriever: TercetRetriever) -> None:
    bound = retriever.bind(k=1, filter={"lang": "en"})
    assert [d.id for d in bound.invoke("the dog")] == ["ant"]


def test_configurable_fields_keep_the_loaded_retriever(
    retriever: TercetRetriever, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[object] = []
    original = TercetRetriever._get_relevant_documents

    def spy(self: TercetRetriever, query: str, **kwargs: Any) -> list[Document]:
        seen.append(self.retriever)
        return original(self, query, **kwargs)

    monkeypatch.setattr(TercetRetriever, "_get_relevant_documents", spy)
    configurable = retriever.configurable_fields(
        k=ConfigurableField(id="k"), plan=ConfigurableField(id="plan")
    )
    found = configurable.invoke("cat", {"configurable": {"k": 1, "plan": "sparse"}})
    assert [d.id for d in found] == ["cat"]
    assert len(configurable.invoke("cat")) == 3
    assert seen == [retriever.retriever] * 2


def test_alternatives_and_fallbacks_work(retriever: TercetRetriever) -> None:
    sparse = TercetRetriever(retriever=retriever.retriever, plan="sparse", k=1)
    chosen = retriever.configurable_alternatives(
        ConfigurableField(id="retriever"), default_key="hybrid", sparse=sparse
    )
    assert len(chosen.invoke("cat")) == 3
    assert len(chosen.invoke("cat", {"configurable": {"retriever": "sparse"}})) == 1
    failing = TercetRetriever(retriever=retriever.retriever, plan="no such plan")
    assert failing.with_fallbacks([sparse]).invoke("cat") == sparse.invoke("cat")


async def test_the_retriever_of_a_store_does_what_ours_does(retriever: TercetRetriever) -> None:
    made = TercetVectorStore(retriever=retriever.retriever).as_retriever(search_kwargs={"k": 3})
    questions = [f"what {word}?" for word in ("cat", "dog", "owl", "ant", "cod", "leaf")]
    single = [retriever.invoke(question) for question in questions]
    assert made.batch(questions, {"max_concurrency": 4}) == single
    assert await made.abatch(questions) == single
    assert made.bind(k=1).invoke("cat") == retriever.invoke("cat", k=1)
    configurable = made.configurable_fields(search_kwargs=ConfigurableField(id="search"))
    chosen = configurable.invoke("cat", {"configurable": {"search": {"k": 1, "plan": "sparse"}}})
    assert [document.id for document in chosen] == ["cat"]
    failing = made.bind(plan="no such plan")
    assert failing.with_fallbacks([retriever]).invoke("cat") == retriever.invoke("cat")
    events = Events()
    with pytest.raises(ValueError, match="no plan"):
        await failing.ainvoke("cat", {"callbacks": [events], "tags": ["call"]})
    assert events.names == ["start", "error"]
    assert set(events.tags) == {"TercetVectorStore", "TercetEmbeddings", "call"}
    assert events.metadata["ls_embedding_model"] == "hash-encoder"


async def test_events_are_balanced_where_nothing_is_asked_or_found(encoder: HashEncoder) -> None:
    empty = TercetRetriever.from_texts([], encoder=encoder)
    events = Events()
    assert empty.invoke("", {"callbacks": [events]}) == []
    assert await empty.ainvoke("cat", {"callbacks": [events]}, filter={"n": 1}) == []
    assert events.names == ["start", "end"] * 2


class Events(BaseCallbackHandler):
    """Writes down what a retriever reports."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.tags: list[str] = []
        self.metadata: dict[str, Any] = {}
        self.error: BaseException | None = None

    def on_retriever_start(
        self,
        serialized: dict[str, Any],
        query: str,
        *,
        run_id: UUID,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        self.names.append("start")
        self.tags, self.metadata = tags or [], metadata or {}

    def on_retriever_end(self, documents: Any, *, run_id: UUID, **kwargs: Any) -> None:
        self.names.append("end")

    def on_retriever_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        self.names.append("error")
        self.error = error


def test_start_and_end_are_reported_with_tags_and_names(retriever: TercetRetriever) -> None:
    adapter = TercetRetriever(retriever=retriever.retriever, tags=["mine"], metadata={"a": 1})
    events = Events()
    adapter.invoke("cat", {"callbacks": [events], "tags": ["call"]})
    assert events.names == ["start", "end"]
    assert set(events.tags) == {"mine", "call"}
    assert events.metadata == {
        "a": 1,
        "ls_retriever_name": "tercet",
        "ls_vector_store_provider": "tercet",
        "ls_embedding_provider": "tercet",
        "ls_embedding_model": "hash-encoder",
    }


async def test_errors_are_reported_once_and_raised(retriever: TercetRetriever) -> None:
    events = Events()
    with pytest.raises(ValueError, match="no plan"):
        retriever.invoke("cat", {"callbacks": [events]}, plan="none such")
    with pytest.raises(ValueError, match="no plan"):
        await retriever.ainvoke("cat", {"callbacks": [events]}, plan="none such")
    assert events.names == ["start", "error"] * 2
    assert isinstance(events.error, ValueError)


async def test_streamed_events_are_balanced(retriever: TercetRetriever) -> None:
    names = [
        event["event"]
        async for event in chain_of(retriever).astream_events("cat", version="v2")
        if event["event"].startswith("on_retriever")
    ]
    assert names == ["on_retriever_start", "on_retriever_end"]


async def test_a_retriever_tool_gives_content_and_documents(retriever: TercetRetriever) -> None:
    tool = create_retriever_tool(
        retriever, "animals", "Facts about animals.", response_format="content_and_artifact"
    )
    call = {"name": "animals", "args": {"query": "cold sea"}, "id": "1", "type": "tool_call"}
    message = await tool.ainvoke(call)
    assert "a cod swims in the cold sea" in message.content
    assert message.artifact[0].id == "cod"
