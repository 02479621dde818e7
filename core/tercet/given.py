"""What need not be encoded: documents whose views an index holds, views that a caller gives."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace

import numpy as np

from tercet.documents import Document
from tercet.embeddings import Embeddings, Representation, TextEncoder, concatenate
from tercet.indexes.base import Index
from tercet.indexes.checks import check_embeddings


def given_embeddings(
    documents: Sequence[Document],
    encoder: TextEncoder,
    *,
    views: Sequence[Representation],
    index: Index | None = None,
) -> Embeddings:
    """The views of documents, in the order given.

    Args:
        documents: At least one.
        encoder: Encodes those that no index holds.
        views: The views that are needed; stored vectors are used if the index has them all.
        index: Of the encoder's model.

    Returns:
        The views alone: stored ones have no token counts, and their model was checked at birth.
    """
    stored = _stored(documents, views, index)
    fresh = [n for n, d in enumerate(documents) if d.id not in stored]
    known = [n for n, d in enumerate(documents) if d.id in stored]
    parts = []
    if known and index is not None:
        parts.append(index.embeddings([documents[n].id for n in known]))
    if fresh:
        parts.append(encoder.encode_documents([documents[n].content for n in fresh]))
    places = np.argsort(np.asarray(known + fresh, dtype=np.int64))
    return concatenate([_bare(part, views) for part in parts]).take(places)


def _stored(
    documents: Sequence[Document], views: Sequence[Representation], index: Index | None
) -> set[str]:
    """Ids under which the index holds the same text as all documents given with them."""
    if index is None or not set(views) <= set(index.representations):
        return set()
    found = {d.id: d.content for d in index.get([d.id for d in documents])}
    other = {d.id for d in documents if found.get(d.id) != d.content}
    return found.keys() - other


def _bare(embeddings: Embeddings, views: Sequence[Representation]) -> Embeddings:
    return Embeddings(**{view.value: getattr(embeddings, view.value) for view in views})


def suffices(given: Embeddings, views: AbstractSet[Representation]) -> bool:
    """Whether the given embeddings of one query, checked here, have all views that a search needs.

    Raises:
        TypeError: They are no `Embeddings`.
        ValueError: They are not of one query.
    """
    check_embeddings(given, name="embeddings")
    if len(given) != 1:
        raise ValueError(f"embeddings are of {len(given)} queries; retrieve takes one")
    return views <= set(given.representations)


def overlaid(encoded: Embeddings, given: Embeddings | None) -> Embeddings:
    """The encoded views of a query, except those that were given."""
    if given is None:
        return encoded
    return replace(encoded, **{r.value: getattr(given, r.value) for r in given.representations})
