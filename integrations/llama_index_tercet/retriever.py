"""The retriever for LlamaIndex."""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from os import PathLike
from typing import Any, Self

from llama_index.core import callbacks, schema, vector_stores
from llama_index.core.base import base_retriever
from llama_index.core.instrumentation.events.retrieval import RetrievalEndEvent
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.tools import FunctionTool

from llama_index_tercet.convert import (
    aquery_views,
    from_node,
    query_views,
    to_node_with_score,
)
from llama_index_tercet.events import ending
from llama_index_tercet.filters import from_metadata_filters
from llama_index_tercet.tools import DESCRIPTION, NAME, retriever_tool
from tercet.adapting import checked_retriever
from tercet.embeddings import TextEncoder
from tercet.errors import check_k
from tercet.plans import Plan
from tercet.retriever import DEFAULT_MODEL, Retriever
from tercet.sharing import served


class TercetRetriever(base_retriever.BaseRetriever):
    """Hands LlamaIndex the nodes that a `Retriever` finds.

    Args:
        retriever: The encoder and the index.
        similarity_top_k: How many nodes.
        plan: Name of a plan or a `Plan`; None is the model's own.
        filters: Only nodes that pass them.
        callback_manager: As in every retriever of LlamaIndex.
        object_map: What index nodes refer to, by their `index_id`.
        objects: Index nodes with what they refer to.
        verbose: Whether LlamaIndex prints what it enters.
    """

    def __init__(
        self,
        retriever: Retriever,
        *,
        similarity_top_k: int = 2,
        plan: str | Plan | None = None,
        filters: vector_stores.MetadataFilters | None = None,
        callback_manager: callbacks.CallbackManager | None = None,
        object_map: dict[str, Any] | None = None,
        objects: list[schema.IndexNode] | None = None,
        verbose: bool = False,
    ) -> None:
        checked_retriever(retriever)
        super().__init__(callback_manager, object_map, objects, verbose)
        self.retriever = retriever
        self._served = served(retriever.encoder)  # held, so that its worker stays
        self.similarity_top_k = check_k(similarity_top_k, name="similarity_top_k")
        self.plan = plan
        from_metadata_filters(filters)  # what it refuses is refused here, not at the first query
        self.filters = filters

    @classmethod
    def from_defaults(
        cls,
        nodes: Iterable[schema.BaseNode] = (),
        *,
        model: str = DEFAULT_MODEL,
        encoder: TextEncoder | None = None,
        path: str | PathLike[str] | None = None,
        similarity_top_k: int = 2,
        plan: str | Plan | None = None,
        filters: vector_stores.MetadataFilters | None = None,
    ) -> Self:
        """Index nodes, and retrieve from them.

        Args:
            nodes: Nodes or documents, read as a stream; documents are not split.
            model: Hub id, local folder or `tercet/mini`.
            encoder: A loaded encoder, in place of `model`.
            path: Folder of the index; None is a temporary one, removed at the end.
            similarity_top_k: How many nodes.
            plan: Name of a plan or a `Plan`; None is the model's own.
            filters: Only nodes that pass them.
        """
        created = cls(
            Retriever.create(path, model=model, encoder=encoder),
            similarity_top_k=similarity_top_k,
            plan=plan,
            filters=filters,
        )
        created.retriever.add(map(from_node, nodes))
        return created

    def as_tool(
        self,
        *,
        name: str = NAME,
        description: str = DESCRIPTION,
        node_postprocessors: Sequence[BaseNodePostprocessor] = (),
    ) -> FunctionTool:
        """A tool for agents with a plain `query` argument; `retriever_tool` has the rest."""
        return retriever_tool(
            self, name=name, description=description, node_postprocessors=node_postprocessors
        )

    def _retrieve(self, query_bundle: schema.QueryBundle) -> list[schema.NodeWithScore]:
        with _ending(query_bundle):
            hits = self.retriever.retrieve(
                query_bundle.query_str.strip(),  # tools of agents put line breaks around it
                k=self.similarity_top_k,
                plan=self.plan,
                filter=from_metadata_filters(self.filters),
                embeddings=query_views(query_bundle, self._served),
            )
            return [to_node_with_score(hit) for hit in hits]

    async def _aretrieve(self, query_bundle: schema.QueryBundle) -> list[schema.NodeWithScore]:
        with _ending(query_bundle):
            hits = await self.retriever.aretrieve(
                query_bundle.query_str.strip(),
                k=self.similarity_top_k,
                plan=self.plan,
                filter=from_metadata_filters(self.filters),
                embeddings=await aquery_views(query_bundle, self._served),
            )
            return [to_node_with_score(hit) for hit in hits]


def _ending(query: schema.QueryBundle) -> AbstractContextManager[None]:
    return ending(lambda: RetrievalEndEvent(str_or_query_bundle=query, nodes=[]))
