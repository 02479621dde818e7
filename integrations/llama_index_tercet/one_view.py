"""What LlamaIndex's embedding models, dense and sparse, have in common here."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, ClassVar, NoReturn, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator

from llama_index_tercet.convert import LoadedEncoder, without_class_name
from llama_index_tercet.events import ending
from tercet.adapting import refuse_pickling
from tercet.embeddings import Embeddings, Representation
from tercet.sharing import SharedEncoder, shared


class OneView(BaseModel):
    """One view of an encoder, which encodes each text once for all the adapters on it."""

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    view: ClassVar[Representation]
    end: ClassVar[Callable[..., Any]]
    """The event of LlamaIndex that an encoding is done."""

    model_name: str = ""
    embed_batch_size: int = Field(default=256, gt=0, le=2048)
    encoder: LoadedEncoder = Field(default=None, validate_default=True, exclude=True, repr=False)
    document_id: str | None = None

    _shared: SharedEncoder = PrivateAttr()
    _drop = model_validator(mode="before")(without_class_name)

    @model_validator(mode="after")
    def _identify(self) -> Self:
        spec = self.encoder.spec
        if self.document_id not in (None, spec.document_id):
            raise ValueError(
                f"document_id is {self.document_id!r}, but {self.model_name} with these options "
                f"makes vectors of {spec.document_id!r}: pass the encoder that was used"
            )
        if self.view not in spec.representations:
            raise ValueError(
                f"a {type(self).__name__} gives the {self.view} view, which this model does not "
                f"make; it has {', '.join(spec.representations)}: use a TercetRetriever"
            )
        self.model_name = spec.source or spec.family
        self.document_id = spec.document_id
        self._shared = shared(self.encoder, views=(self.view,))
        return self

    def _queries(self, texts: list[str]) -> Embeddings:
        with self._ending(texts):
            return self._shared.encode_queries(texts)

    def _documents(self, texts: list[str]) -> Embeddings:
        with self._ending(texts):
            return self._shared.encode_documents(texts)

    async def _aqueries(self, texts: list[str]) -> Embeddings:
        with self._ending(texts):
            return await self._shared.aencode_queries(texts)

    async def _adocuments(self, texts: list[str]) -> Embeddings:
        with self._ending(texts):
            return await self._shared.aencode_documents(texts)

    def _ending(self, texts: list[str]) -> AbstractContextManager[None]:
        return ending(lambda: self.end(chunks=texts, embeddings=[]))

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        return self.model_copy()

    def __reduce__(self) -> NoReturn:
        refuse_pickling(self)
