"""What an engine shows of itself: one consistent look at its documents, and its numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from tercet.documents import Document
from tercet.embeddings import Embeddings, EncoderSpec, Representation
from tercet.filters import Expression
from tercet.fusion import Candidates
from tercet.plans import Plan


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What late interaction through cells finds, measured by the index when it was built.

    Queries are made of stored documents: token vectors near four of a document's, and foreign
    ones. They are harder than most real ones; with real ones, `index.measure(queries)` says more.

    Attributes:
        codebook: Key of the codebook.
        documents: How many there were.
        compared_as_arrived: For so many of them the exact score is that of their float32 vectors
            as they came, and holds what storage loses; for all others that of what is stored.
        queries: How many were searched.
        recall_at_10: Share of the exact ten best that the search found, the mean over queries.
        seconds: Of a search, the median.
        exact_seconds: Of one that compares everything.
        build_seconds: Of writing, merging and training since the index was opened to be built.
    """

    codebook: int
    documents: int
    compared_as_arrived: int
    queries: int
    recall_at_10: float
    seconds: float
    exact_seconds: float
    build_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class TokenVectorStats:
    """How token vectors are stored and searched.

    Attributes:
        search: "exact" compares everything, as in small collections; "cells" compares candidates.
        count: Token vectors that are stored.
        codec: How each is stored.
        pooling: Token vectors of a document that became one, roughly.
        bytes_each: Bytes of all arrays of the view, by token vector.
        cells: Centroids of the codebook; 0 without one.
        distortion: Mean of 1 - cosine between token vectors and their centroids.
        report: What the last build measured; None where the search is exact.
    """

    search: Literal["exact", "cells"]
    count: int
    codec: str
    pooling: int
    bytes_each: float
    cells: int
    distortion: float
    report: BuildReport | None


@dataclass(frozen=True, slots=True)
class IndexStats:
    """What an index holds.

    Attributes:
        documents: How many.
        segments: Parts that the engine keeps them in.
        tombstones: Rows that were deleted or replaced and still take space.
        bytes: Size of each view's arrays, and of the `catalog` with texts and metadata.
        generation: Grows with every commit.
        format: Version of the format.
        spec: The model.
        representations: The views that are stored.
        disk: Bytes of all its files.
        waiting: Segments that were replaced, and whose files go when older readers have finished.
        token_vectors: More on this view, where the engine knows it.
    """

    documents: int
    segments: int
    tombstones: int
    bytes: Mapping[str, int]
    generation: int
    format: int
    spec: EncoderSpec
    representations: tuple[Representation, ...]
    disk: int = 0
    waiting: int = 0
    token_vectors: TokenVectorStats | None = None


class Reader(Protocol):
    """One consistent look at an index."""

    def collect(
        self, queries: Embeddings, plan: Plan, *, filter: Expression | None, exact: bool
    ) -> list[Candidates]:
        """The union of the plan's candidate lists for each query, scored in all its views."""
        ...

    def score(
        self, queries: Embeddings, views: Sequence[Representation], ids: Sequence[str]
    ) -> dict[Representation, NDArray[np.float32]]:
        """Exact scores of given documents, [M, N] a view; late interaction sums query tokens."""
        ...

    def documents(self, ids: Sequence[str]) -> dict[str, Document]:
        """The documents found, by id."""
        ...
