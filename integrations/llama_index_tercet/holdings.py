"""What a store holds: its nodes, looked at and removed."""

import asyncio
from abc import ABC
from typing import Any

from llama_index.core import schema
from llama_index.core import vector_stores as stores
from llama_index.core.vector_stores.types import BasePydanticVectorStore
from pydantic import ConfigDict, Field

from llama_index_tercet.convert import OpenRetriever, to_node
from llama_index_tercet.filters import from_metadata_filters
from tercet.filters import PARENT
from tercet.indexes.base import Index


class Holdings(BasePydanticVectorStore, ABC):
    """The nodes of a store over a `Retriever`."""

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    retriever: OpenRetriever = Field(exclude=True, repr=False)

    @property
    def client(self) -> Index:
        """The index."""
        return self.retriever.index

    def delete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """Remove the nodes of a source document, or that document where it was indexed whole."""
        refuse_unknown("delete", delete_kwargs)
        index = self.retriever.index
        whole = [found.id for found in index.get([ref_doc_id]) if found.parent is None]
        index.delete_where({PARENT: ref_doc_id})
        index.delete(whole)

    async def adelete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """`delete`, without blocking the event loop."""
        await asyncio.to_thread(self.delete, ref_doc_id, **delete_kwargs)

    def delete_nodes(
        self,
        node_ids: list[str] | None = None,
        filters: stores.MetadataFilters | None = None,
        **delete_kwargs: Any,
    ) -> None:
        """Remove nodes: of these ids, that pass, or both.

        Raises:
            ValueError: Neither ids nor a condition.
        """
        refuse_unknown("delete_nodes", delete_kwargs)
        if node_ids is None and from_metadata_filters(filters) is None:
            raise ValueError("neither node_ids nor a filter was given: clear() removes all nodes")
        self.retriever.index.delete(self._ids(node_ids, filters))

    async def adelete_nodes(
        self,
        node_ids: list[str] | None = None,
        filters: stores.MetadataFilters | None = None,
        **delete_kwargs: Any,
    ) -> None:
        """`delete_nodes`, without blocking the event loop."""
        await asyncio.to_thread(self.delete_nodes, node_ids, filters, **delete_kwargs)

    def get_nodes(
        self,
        node_ids: list[str] | None = None,
        filters: stores.MetadataFilters | None = None,
    ) -> list[schema.BaseNode]:
        """The nodes of these ids, in that order, or all; of them, those that pass."""
        found = self.retriever.index.get(self._ids(node_ids, filters))
        return [to_node(document) for document in found]

    async def aget_nodes(
        self,
        node_ids: list[str] | None = None,
        filters: stores.MetadataFilters | None = None,
    ) -> list[schema.BaseNode]:
        """`get_nodes`, without blocking the event loop."""
        return await asyncio.to_thread(self.get_nodes, node_ids, filters)

    def _ids(self, node_ids: list[str] | None, filters: stores.MetadataFilters | None) -> list[str]:
        condition = from_metadata_filters(filters)
        if node_ids is not None and condition is None:
            return node_ids
        passing = self.retriever.index.ids(condition)
        if node_ids is None:
            return passing
        both = set(passing)
        return [node_id for node_id in node_ids if node_id in both]

    def clear(self) -> None:
        """Remove all nodes."""
        self.retriever.index.clear()

    async def aclear(self) -> None:
        """`clear`, without blocking the event loop."""
        await asyncio.to_thread(self.clear)


def refuse_unknown(method: str, given: dict[str, Any]) -> None:
    """Refuse what LlamaIndex's signatures let through and nothing would read.

    Raises:
        TypeError: There is something.
    """
    if given:
        raise TypeError(f"{method}() got {', '.join(given)}, which it does not take")
