"""The dense embedding model for LlamaIndex."""

import asyncio
from typing import Any, NoReturn, Self

from llama_index.core.base.embeddings.base import BaseEmbedding
from pydantic import ConfigDict, Field, model_validator

from llama_index_tercet.convert import (
    LoadedEncoder,
    dense_rows,
    refuse_pickling,
    without_class_name,
)


class TercetEmbedding(BaseEmbedding):
    """Gives LlamaIndex the dense view of an encoder; queries and documents are told apart.

    Attributes:
        model_name: Hub id, local folder or `tercet/mini`.
        encoder: A loaded encoder, which sets `model_name`.
        embed_batch_size: Texts a call; the encoder packs them, so small batches are slow.
        document_id: What makes document vectors, as caches of pipelines must know. Set by the
            encoder; a value of another encoder is refused.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    model_name: str = ""
    embed_batch_size: int = Field(default=256, gt=0, le=2048)
    encoder: LoadedEncoder = Field(default=None, validate_default=True, exclude=True, repr=False)
    document_id: str | None = None

    _drop = model_validator(mode="before")(without_class_name)

    @model_validator(mode="after")
    def _identify(self) -> Self:
        spec = self.encoder.spec
        if self.document_id not in (None, spec.document_id):
            raise ValueError(
                f"document_id is {self.document_id!r}, but {self.model_name} with these options "
                f"makes vectors of {spec.document_id!r}: pass the encoder that was used"
            )
        if self.embeddings_cache is not None:
            raise ValueError(
                "embeddings_cache keys by the text alone and would give a query the vector of an "
                "equal document, or of another model: leave it out (an IngestionPipeline's own "
                "cache is safe)"
            )
        self.model_name = spec.source or spec.family
        self.document_id = spec.document_id
        return self

    @classmethod
    def class_name(cls) -> str:
        """The name under which LlamaIndex knows the class."""
        return "TercetEmbedding"

    def _get_query_embedding(self, query: str) -> list[float]:
        return dense_rows(self.encoder.encode_queries([query]))[0]

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return dense_rows(self.encoder.encode_documents(texts))

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return await asyncio.to_thread(self._get_query_embedding, query)

    async def _aget_text_embedding(self, text: str) -> list[float]:
        return await asyncio.to_thread(self._get_text_embedding, text)

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return await asyncio.to_thread(self._get_text_embeddings, texts)

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        return self.model_copy()

    def __reduce__(self) -> NoReturn:
        refuse_pickling(self)
