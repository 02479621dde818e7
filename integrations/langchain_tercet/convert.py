"""Between LangChain's objects and ours."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from itertools import repeat
from math import hypot
from typing import Annotated, Any
from uuid import uuid4

from langchain_core import documents
from pydantic import AfterValidator, SkipValidation, ValidationInfo

from tercet.adapting import checked_index, checked_retriever, loaded_encoder
from tercet.documents import Document
from tercet.embeddings import TextEncoder
from tercet.indexes.base import Index
from tercet.ranking import Hit
from tercet.retriever import Retriever


def from_langchain(document: documents.Document) -> Document:
    """The document as we index it; one without an id gets a random one.

    Raises:
        TypeError: It is no LangChain document.
    """
    if not isinstance(document, documents.Document):
        raise TypeError(f"{document!r} is no LangChain Document")
    return Document(
        id=str(uuid4()) if document.id is None else document.id,
        text=document.page_content,
        metadata=document.metadata,
    )


def to_langchain(hit: Hit, *, score_key: str | None = None) -> documents.Document:
    """The document of a hit; its score goes into the metadata under `score_key`, if given."""
    score = {} if score_key is None else {score_key: hit.score}
    return restored(hit.document, **score)


def restored(document: Document, **more: Any) -> documents.Document:
    """A document of an index as LangChain's, with more metadata if given."""
    metadata = {**document.metadata, **more}
    return documents.Document(id=document.id, page_content=document.text, metadata=metadata)


def with_ids(
    given: Iterable[documents.Document], ids: Iterable[str | None] | None
) -> list[Document]:
    """Documents as we index them, each under the id given for it, where there is one.

    Raises:
        TypeError: One document or one string where several belong, or no LangChain document.
        ValueError: Not as many ids as documents.
    """
    if isinstance(given, str | documents.Document):
        raise TypeError(
            f"documents is one {type(given).__name__}; a list of Document belongs there"
        )
    found = list(map(from_langchain, given))
    if ids is None:
        return found
    _refuse_string(ids, "ids")
    chosen = _as_many(ids, None, len(found), "ids", of="documents")
    return [
        document if id_ is None else replace(document, id=id_)
        for document, id_ in zip(found, chosen, strict=True)
    ]


def with_metadata(document: documents.Document, **values: Any) -> documents.Document:
    """A copy with more metadata; the document given stays as it is."""
    return document.model_copy(update={"metadata": {**deepcopy(document.metadata), **values}})


def zip_documents(
    texts: Iterable[str],
    metadatas: Iterable[dict[str, Any]] | None,
    ids: Iterable[str | None] | None,
) -> list[documents.Document]:
    """Texts, metadata and ids as documents.

    Raises:
        TypeError: A bare string where a sequence belongs.
        ValueError: Not as many metadata or ids as texts.
    """
    _refuse_string(texts, "texts")
    _refuse_string(ids, "ids")
    rows = list(texts)
    return [
        documents.Document(id=id_, page_content=text, metadata=metadata)
        for text, metadata, id_ in zip(
            rows,
            _as_many(metadatas, {}, len(rows), "metadatas"),
            _as_many(ids, None, len(rows), "ids"),
            strict=True,
        )
    ]


def _refuse_string(value: object, name: str) -> None:
    if isinstance(value, str):
        raise TypeError(f"{name} is one string; several belong there: [{name}]")


def _as_many(
    given: Iterable[Any] | None, default: Any, count: int, name: str, *, of: str = "texts"
) -> Iterator[Any]:
    if given is None:
        return repeat(default, count)
    values = list(given)
    if len(values) != count:
        raise ValueError(f"{count} {of}, but {len(values)} {name}: give one for each")
    return iter(values)


def refuse_unknown(method: str, given: Mapping[str, Any], known: str) -> None:
    """Refuse what LangChain's signatures let through and nothing would read.

    Raises:
        TypeError: There is something.
    """
    if given:
        raise TypeError(
            f"{method}() takes {known}; it got {', '.join(given)}, which nothing would read"
        )


def model_of(retriever: Retriever) -> str:
    """How LangSmith calls the model of a retriever."""
    spec = retriever.encoder.spec
    return spec.source or spec.family


def unit(vector: Sequence[float]) -> list[float]:
    """A vector at length 1, as stored ones are; one of zeros stays what it is."""
    length = hypot(*vector) or 1.0
    return [number / length for number in vector]


def _loaded(encoder: object, info: ValidationInfo) -> object:
    return loaded_encoder(encoder, model=info.data.get("model"))


LoadedEncoder = Annotated[TextEncoder, SkipValidation, AfterValidator(_loaded)]
"""A field that holds an encoder, loaded by the field `model` where none is given."""

OpenRetriever = Annotated[Retriever, SkipValidation, AfterValidator(checked_retriever)]
"""A field that holds a retriever, looked at no closer than its methods."""

OpenIndex = Annotated[Index | None, SkipValidation, AfterValidator(checked_index)]
"""A field that may hold an open index, looked at no closer than its methods."""
