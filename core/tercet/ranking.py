"""Rankings: what a search returns, and what an evaluation compares."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import overload

from tercet.documents import Document

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
