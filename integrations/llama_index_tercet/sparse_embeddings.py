"""The sparse embedding model for LlamaIndex."""

from typing import ClassVar

from llama_index.core.base.embeddings.base_sparse import BaseSparseEmbedding
from llama_index.core.instrumentation.events.embedding import SparseEmbeddingEndEvent

from llama_index_tercet.convert import sparse_rows
from llama_index_tercet.one_view import OneView
from tercet.embeddings import Representation


class TercetSparseEmbedding(OneView, BaseSparseEmbedding):
    """Gives LlamaIndex the lexical weights of an encoder, by term id.

    Attributes:
        model_name: Hub id, local folder or `tercet/mini`.
        encoder: A loaded encoder, which sets `model_name`.
        embed_batch_size: Texts a call; the encoder packs them, so small batches are slow.
        document_id: What makes document vectors. Set by the encoder; a value of another encoder is
            refused.
    """

    view: ClassVar[Representation] = Representation.SPARSE
    end = SparseEmbeddingEndEvent

    @classmethod
    def class_name(cls) -> str:
        """The name under which LlamaIndex knows the class."""
        return "TercetSparseEmbedding"

    def _get_query_embedding(self, query: str) -> dict[int, float]:
        return sparse_rows(self._queries([query]))[0]

    def _get_text_embedding(self, text: str) -> dict[int, float]:
        return self._get_text_embeddings([text])[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[dict[int, float]]:
        return sparse_rows(self._documents(texts))

    async def _aget_query_embedding(self, query: str) -> dict[int, float]:
        return sparse_rows(await self._aqueries([query]))[0]

    async def _aget_text_embedding(self, text: str) -> dict[int, float]:
        return (await self._aget_text_embeddings([text]))[0]

    async def _aget_text_embeddings(self, texts: list[str]) -> list[dict[int, float]]:
        return sparse_rows(await self._adocuments(texts))
