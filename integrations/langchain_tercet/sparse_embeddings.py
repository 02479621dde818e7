"""Lexical weights for the hybrid stores of langchain-qdrant and langchain-milvus.

LangChain has no interface for them. langchain-qdrant reads `indices` and `values` of whatever
`embed_documents` returns; langchain-milvus asks for a subclass of its own that returns mappings.
"""

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NoReturn, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from langchain_tercet.convert import LoadedEncoder
from tercet.adapting import refuse_pickling
from tercet.embeddings import Embeddings, Representation
from tercet.errors import MissingExtraError
from tercet.sharing import SharedEncoder, shared


@dataclass(frozen=True, slots=True)
class SparseVector:
    """Lexical weights of one text.

    Attributes:
        indices: Term ids, ascending.
        values: Their weights.
    """

    indices: list[int]
    values: list[float]


class TercetSparseEmbeddings(BaseModel):
    """Gives LangChain's hybrid stores the lexical weights of an encoder.

    `QdrantVectorStore(embedding=TercetEmbeddings(encoder=encoder),
    sparse_embedding=TercetSparseEmbeddings(encoder=encoder), ...)` encodes a text once; Milvus
    takes `TercetSparseEmbeddings(encoder=encoder).for_milvus()`.

    Attributes:
        model: Hub id, local folder or `tercet/mini`.
        encoder: A loaded encoder; where both are given, it is the one that is used.

    Raises:
        ValidationError: The model makes no lexical weights.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    model: str | None = None
    encoder: LoadedEncoder = Field(default=None, validate_default=True, exclude=True, repr=False)
    _user: SharedEncoder = PrivateAttr()

    def model_post_init(self, context: Any) -> None:
        """Share what is encoded."""
        del context
        self._user = shared(self.encoder, views=[Representation.SPARSE])

    def embed_documents(self, texts: list[str]) -> list[SparseVector]:
        """The lexical weights of documents."""
        return list(map(_vector, _mappings(self._user.encode_documents(texts))))

    def embed_query(self, text: str) -> SparseVector:
        """The lexical weights of a query."""
        return _vector(_mappings(self._user.encode_queries([text]))[0])

    async def aembed_documents(self, texts: list[str]) -> list[SparseVector]:
        """`embed_documents`, without blocking the event loop."""
        return list(map(_vector, _mappings(await self._user.aencode_documents(texts))))

    async def aembed_query(self, text: str) -> SparseVector:
        """`embed_query`, without blocking the event loop."""
        return _vector(_mappings(await self._user.aencode_queries([text]))[0])

    def for_milvus(self) -> "MilvusSparseEmbeddings":
        """The same for langchain-milvus: an instance of its `BaseSparseEmbedding`.

        Raises:
            MissingExtraError: langchain-milvus is not installed.
        """
        return _milvus_class()(self._user)

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        return self.model_copy()

    def __reduce__(self) -> NoReturn:
        refuse_pickling(self)


class MilvusSparseEmbeddings:
    """Lexical weights as mappings from term id to weight."""

    def __init__(self, user: SharedEncoder) -> None:
        self._user = user

    def embed_documents(self, texts: list[str]) -> list[dict[int, float]]:
        """The lexical weights of documents."""
        return _mappings(self._user.encode_documents(texts))

    def embed_query(self, query: str) -> dict[int, float]:
        """The lexical weights of a query."""
        return _mappings(self._user.encode_queries([query]))[0]

    async def aembed_documents(self, texts: list[str]) -> list[dict[int, float]]:
        """`embed_documents`, without blocking the event loop."""
        return _mappings(await self._user.aencode_documents(texts))

    async def aembed_query(self, query: str) -> dict[int, float]:
        """`embed_query`, without blocking the event loop."""
        return _mappings(await self._user.aencode_queries([query]))[0]

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        refuse_pickling(self)


@cache
def _milvus_class() -> type[MilvusSparseEmbeddings]:
    """Ours as a subclass of langchain-milvus's, which checks for it by isinstance."""
    if find_spec("langchain_milvus") is None:
        raise MissingExtraError("langchain-milvus is not installed: pip install langchain-milvus")
    base = import_module("langchain_milvus.utils.sparse").BaseSparseEmbedding
    return type(
        "TercetMilvusSparseEmbeddings", (MilvusSparseEmbeddings, base), {"__module__": __name__}
    )


def _mappings(embeddings: Embeddings) -> list[dict[int, float]]:
    return [] if embeddings.sparse is None else embeddings.sparse.to_dicts()


def _vector(weights: dict[int, float]) -> SparseVector:
    return SparseVector(list(weights), list(weights.values()))
