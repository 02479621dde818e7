"""Dense embeddings for LangChain."""

from typing import Any, NoReturn, Self

from langchain_core import embeddings
from pydantic import BaseModel, ConfigDict, Field

from langchain_tercet.convert import LoadedEncoder, dense_rows, refuse_pickling


class TercetEmbeddings(BaseModel, embeddings.Embeddings):
    """Gives LangChain the dense view of an encoder; queries and documents are told apart.

    Attributes:
        model: Hub id, local folder or `tercet/mini`.
        encoder: A loaded encoder; where both are given, it is the one that is used.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    model: str | None = None
    encoder: LoadedEncoder = Field(default=None, validate_default=True, exclude=True, repr=False)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """The dense vectors of documents."""
        return dense_rows(self.encoder.encode_documents(texts))

    def embed_query(self, text: str) -> list[float]:
        """The dense vector of a query."""
        return dense_rows(self.encoder.encode_queries([text]))[0]

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        return self.model_copy()

    def __reduce__(self) -> NoReturn:
        refuse_pickling(self)
