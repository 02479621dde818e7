"""The dense embedding model for LlamaIndex."""

from typing import ClassVar, Self

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.instrumentation.events.embedding import EmbeddingEndEvent
from pydantic import model_validator

from llama_index_tercet.one_view import OneView
from tercet.adapting import dense_rows
from tercet.embeddings import Representation


class TercetEmbedding(OneView, BaseEmbedding):
    """Gives LlamaIndex the dense view of an encoder; queries and documents are told apart.

    Attributes:
        model_name: Hub id, local folder or `tercet/mini`.
        encoder: A loaded encoder, which sets `model_name`.
        embed_batch_size: Texts a call; the encoder packs them, so small batches are slow.
        document_id: What makes document vectors, as caches of pipelines must know. Set by the
            encoder; a value of another encoder is refused.
    """

    view: ClassVar[Representation] = Representation.DENSE
    end = EmbeddingEndEvent

    @model_validator(mode="after")
    def _refuse_cache(self) -> Self:
        if self.embeddings_cache is not None:
            raise ValueError(
                "embeddings_cache keys by the text alone and would give a query the vector of an "
                "equal document, or of another model: leave it out (an IngestionPipeline's own "
                "cache is safe)"
            )
        return self

    @classmethod
    def class_name(cls) -> str:
        """The name under which LlamaIndex knows the class."""
        return "TercetEmbedding"

    def _get_query_embedding(self, query: str) -> list[float]:
        return dense_rows(self._queries([query]))[0]

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return dense_rows(self._documents(texts))

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return dense_rows(await self._aqueries([query]))[0]

    async def _aget_text_embedding(self, text: str) -> list[float]:
        return (await self._aget_text_embeddings([text]))[0]

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return dense_rows(await self._adocuments(texts))
