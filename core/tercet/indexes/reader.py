"""What an engine shows of itself: one consistent look at its documents, and its numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tercet.documents import Document
from tercet.embeddings import Embeddings, EncoderSpec, Representation
from tercet.filters import Expression
from tercet.fusion import Candidates
from tercet.plans import Plan


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
