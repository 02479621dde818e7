"""A retriever as a tool for LlamaIndex's agents."""

from collections.abc import Sequence

from llama_index.core import schema
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.tools import FunctionTool

NAME = "search"
DESCRIPTION = "Finds passages that answer a question. Give the question in plain words."


def retriever_tool(
    retriever: BaseRetriever,
    *,
    name: str = NAME,
    description: str = DESCRIPTION,
    node_postprocessors: Sequence[BaseNodePostprocessor] = (),
) -> FunctionTool:
    """A tool whose one argument, `query`, reaches the retriever as the agent wrote it.

    LlamaIndex's own `RetrieverTool` sends "input is ..." instead, and so has every search match
    these words.

    Args:
        retriever: Any retriever of LlamaIndex.
        name: What the agent calls it.
        description: What the agent is told of it.
        node_postprocessors: What becomes of the nodes found, as a reranker.

    Returns:
        A tool; its output's `raw_output` has the nodes with their scores.
    """

    def search(query: str) -> list[schema.NodeWithScore]:
        nodes = retriever.retrieve(query)
        for postprocessor in node_postprocessors:
            nodes = postprocessor.postprocess_nodes(nodes, query_str=query)
        return nodes

    async def asearch(query: str) -> list[schema.NodeWithScore]:
        nodes = await retriever.aretrieve(query)
        for postprocessor in node_postprocessors:
            nodes = await postprocessor.apostprocess_nodes(nodes, query_str=query)
        return nodes

    return FunctionTool.from_defaults(
        search, async_fn=asearch, name=name, description=description, callback=_shown
    )


def _shown(nodes: list[schema.NodeWithScore]) -> str:
    """What the agent reads."""
    return "\n\n".join(scored.node.get_content(schema.MetadataMode.LLM) for scored in nodes)
