"""The reranker for LlamaIndex."""

from contextlib import AbstractContextManager
from typing import Any, NoReturn, Self

from llama_index.core import schema
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from pydantic import ConfigDict, Field, PositiveInt, PrivateAttr, model_validator

from llama_index_tercet.convert import (
    LoadedEncoder,
    OpenIndex,
    placed,
    query_text,
    rescored,
    without_class_name,
)
from llama_index_tercet.events import reranking
from tercet.adapting import refuse_pickling
from tercet.plans import Plan
from tercet.reranker import Reranker
from tercet.serving import Serving
from tercet.sharing import SharedEncoder, served


class TercetRerank(BaseNodePostprocessor):
    """Orders LlamaIndex's nodes with a `Reranker`, by late interaction unless told otherwise.

    Attributes:
        model: Hub id, local folder or `tercet/mini`.
        encoder: A loaded encoder; where both are given, it is the one that is used.
        plan: Name of a plan or a `Plan`.
        top_n: How many nodes to keep.
        keep_retrieval_score: The score before goes into the metadata as `retrieval_score`,
            out of sight of language and embedding models.
        index: Where it holds a node's text under its id, the stored vectors are used.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    model: str | None = None
    encoder: LoadedEncoder = Field(default=None, validate_default=True, exclude=True, repr=False)
    plan: str | Plan = "multi_vector"
    top_n: PositiveInt = 3
    keep_retrieval_score: bool = False
    index: OpenIndex = Field(default=None, exclude=True, repr=False)

    _served: Serving | SharedEncoder = PrivateAttr()  # held, so that its worker stays
    _drop = model_validator(mode="before")(without_class_name)

    @model_validator(mode="after")
    def _check(self) -> Self:
        """Refuse a plan that the model cannot serve, and another model's index."""
        _ = self._reranker
        self._served = served(self.encoder)
        return self

    @classmethod
    def class_name(cls) -> str:
        """The name under which LlamaIndex knows the class."""
        return "TercetRerank"

    def _postprocess_nodes(
        self,
        nodes: list[schema.NodeWithScore],
        query_bundle: schema.QueryBundle | None = None,
    ) -> list[schema.NodeWithScore]:
        query = query_text(query_bundle, need="a reranker needs")
        with self._reported(nodes, query) as best:
            ranking = self._reranker.rerank(query, placed(nodes, self.index), k=self.top_n)
            best.extend(rescored(nodes, ranking, keep_score=self.keep_retrieval_score))
        return best

    async def _apostprocess_nodes(
        self,
        nodes: list[schema.NodeWithScore],
        query_bundle: schema.QueryBundle | None = None,
    ) -> list[schema.NodeWithScore]:
        query = query_text(query_bundle, need="a reranker needs")
        with self._reported(nodes, query) as best:
            ranking = await self._reranker.arerank(query, placed(nodes, self.index), k=self.top_n)
            best.extend(rescored(nodes, ranking, keep_score=self.keep_retrieval_score))
        return best

    def _reported(
        self, nodes: list[schema.NodeWithScore], query: str
    ) -> AbstractContextManager[list[schema.NodeWithScore]]:
        spec = self.encoder.spec
        return reranking(
            nodes,
            query,
            top_n=self.top_n,
            model_name=spec.source or spec.family,
            manager=self.callback_manager,
        )

    @property
    def _reranker(self) -> Reranker:
        return Reranker(self.encoder, plan=self.plan, index=self.index)

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        return self.model_copy()

    def __reduce__(self) -> NoReturn:
        refuse_pickling(self)
