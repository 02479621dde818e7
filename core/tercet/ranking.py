"""Rankings: what a search returns, and what an evaluation compares."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import NDArray

from tercet.documents import Document
from tercet.embeddings import Representation

Run = Mapping[str, Mapping[str, float]]
"""Scores of a system: query_id to doc_id to score, as in TREC."""

Qrels = Mapping[str, Mapping[str, int]]
"""Judgements: query_id to doc_id to relevance, as in TREC."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A document at its place in a ranking.

    Attributes:
        document: What was found.
        score: What it was ranked by.
        scores: Score of each view that the plan used, by the view's name.
        rank: Its place, from 1.
    """

    document: Document
    score: float
    scores: Mapping[str, float]
    rank: int


@dataclass(frozen=True, slots=True)
class Ranking(Sequence[Hit]):
    """The hits for one query, best first."""

    hits: tuple[Hit, ...]

    def __len__(self) -> int:
        return len(self.hits)

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.hits)

    @overload
    def __getitem__(self, place: int) -> Hit: ...

    @overload
    def __getitem__(self, place: slice) -> tuple[Hit, ...]: ...

    def __getitem__(self, place: int | slice) -> Hit | tuple[Hit, ...]:
        return self.hits[place]


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """What an engine collected for one query: the union of a plan's candidates.

    Attributes:
        ids: Their document ids, none twice, [U].
        scores: For each view of the plan, the exact scores of all of them, [U]; late interaction
            as the sum over query tokens.
        ranks: For each view that brought candidates, the place in that view's own list, from 1;
            0 where the list does not hold the document, [U].
    """

    ids: Sequence[str]
    scores: Mapping[Representation, NDArray[np.float32]]
    ranks: Mapping[Representation, NDArray[np.int64]]

    def __len__(self) -> int:
        return len(self.ids)
