"""What a server does not take: token vectors of one text that are too many, numbers too large."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tercet.documents import Document
from tercet.embeddings import Embeddings, MultiVectors
from tercet.indexes.pooling import pooled

MOST_NUMBERS = (1 << 20) - 1
"""Numbers of the token vectors of one point that a Qdrant server takes."""

LARGEST = float(np.finfo(np.float16).max)


def fitting(documents: Sequence[Document], embeddings: Embeddings, *, oversized: str) -> Embeddings:
    """The views of N documents as a server takes them.

    Args:
        documents: Whose they are.
        embeddings: The views.
        oversized: Where a text has too many vectors: "pool" makes one of similar ones, "window"
            keeps those of the text's beginning; "refuse".

    Raises:
        ValueError: Too many token vectors, or one too large for float16.
    """
    tokens = embeddings.multi_vector
    if tokens is None or not len(tokens):
        return embeddings
    if np.abs(tokens.vectors).max() > LARGEST:
        raise ValueError(f"token vectors are stored as float16, which ends at {LARGEST:.0f}")
    most = MOST_NUMBERS // tokens.dim
    lengths = np.diff(tokens.offsets)
    long = np.flatnonzero(lengths > most).tolist()
    if not long:
        return embeddings
    said = (
        f"{len(long)} documents have more token vectors than the {most} of {tokens.dim} numbers "
        f"that a Qdrant server takes; the first is {documents[long[0]].id!r}"
    )
    if oversized == "refuse":
        raise ValueError(f"{said}: cut it, or open the index with ?oversized=pool or window")
    done, shorten = _WAYS[oversized]
    warnings.warn(f"{said}: {done}", stacklevel=4)
    texts = [shorten(tokens.take(np.asarray([n])), most) for n in range(len(tokens))]
    offsets = np.cumsum([0, *(len(text) for text in texts)])
    return replace(embeddings, multi_vector=MultiVectors(np.concatenate(texts), offsets))


def check_queries(queries: Embeddings) -> None:
    """Refuse queries of more token vectors than a server takes.

    Raises:
        ValueError: There is one.
    """
    tokens = queries.multi_vector
    longest = 0 if tokens is None else int(np.diff(tokens.offsets).max(initial=0))
    if tokens is not None and longest * tokens.dim > MOST_NUMBERS:
        raise ValueError(
            f"a query has {longest} token vectors of {tokens.dim} numbers; a Qdrant server takes "
            f"{MOST_NUMBERS // tokens.dim}: ask a shorter question"
        )


def _pooled(text: MultiVectors, most: int) -> NDArray[np.float32]:
    factor = -(-len(text.vectors) // most)
    return pooled(text, factor).vectors


def _window(text: MultiVectors, most: int) -> NDArray[np.float32]:
    return text.vectors[:most]


_WAYS: Mapping[str, tuple[str, Callable[[MultiVectors, int], NDArray[np.float32]]]] = {
    "pool": ("similar ones became one", _pooled),
    "window": ("those of the beginning were kept", _window),
}
"""What is said, and what is done."""
