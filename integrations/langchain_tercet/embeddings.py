"""Dense embeddings for LangChain."""

from typing import Any, NoReturn, Self

from langchain_core import embeddings
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from langchain_tercet.convert import LoadedEncoder
from tercet.adapting import dense_rows, refuse_pickling
from tercet.embeddings import Representation
from tercet.sharing import SharedEncoder, shared


class TercetEmbeddings(BaseModel, embeddings.Embeddings):
    """Gives LangChain the dense view of an encoder; queries and documents are told apart.

    Together with a `TercetSparseEmbeddings` or a store on the same encoder, a text is encoded once.

    Attributes:
        model: Hub id, local folder or `tercet/mini`.
        encoder: A loaded encoder; where both are given, it is the one that is used.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    model: str | None = None
    encoder: LoadedEncoder = Field(default=None, validate_default=True, exclude=True, repr=False)
    _user: SharedEncoder = PrivateAttr()

    def model_post_init(self, context: Any) -> None:
        """Share what is encoded; an encoder without a dense view still serves a store."""
        del context
        dense = [view for view in self.encoder.representations if view is Representation.DENSE]
        self._user = shared(self.encoder, views=dense or None)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """The dense vectors of documents."""
        return dense_rows(self._user.encode_documents(texts))

    def embed_query(self, text: str) -> list[float]:
        """The dense vector of a query."""
        return dense_rows(self._user.encode_queries([text]))[0]

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """`embed_documents`, without blocking the event loop."""
        return dense_rows(await self._user.aencode_documents(texts))

    async def aembed_query(self, text: str) -> list[float]:
        """`embed_query`, without blocking the event loop."""
        return dense_rows(await self._user.aencode_queries([text]))[0]

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        return self.model_copy()

    def __reduce__(self) -> NoReturn:
        refuse_pickling(self)
