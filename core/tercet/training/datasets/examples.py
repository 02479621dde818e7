"""Training examples: a query, texts that answer it, texts that do not, and a teacher's scores."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from tercet.errors import SourceError


@dataclass(frozen=True, slots=True)
class Example:
    """What a model learns from.

    Attributes:
        query: The question.
        positives: Documents that answer it, at least one.
        negatives: Documents that do not.
        positive_scores: A teacher's score of each positive; None where no teacher was asked.
        negative_scores: Of each negative; None exactly where `positive_scores` is.
    """

    query: str
    positives: tuple[str, ...]
    negatives: tuple[str, ...] = ()
    positive_scores: tuple[float, ...] | None = None
    negative_scores: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        """Check texts and scores."""
        if not isinstance(self.query, str):
            raise TypeError(f"the query is {self.query!r}, not a string")
        if not self.query.strip():
            raise ValueError("the query is empty")
        _check_texts(self.positives, name="positive")
        _check_texts(self.negatives, name="negative")
        if not self.positives:
            raise ValueError("no positive: at least one document must answer the query")
        if any(not text.strip() for text in self.positives):
            raise ValueError("a positive is empty")
        if (self.positive_scores is None) != (self.negative_scores is None):
            found, lacking = ("positives", "negatives")[
                :: -1 if self.positive_scores is None else 1
            ]
            raise ValueError(f"the {found} have scores, the {lacking} have none")
        _check_scores(self.positive_scores, len(self.positives), name="positive")
        _check_scores(self.negative_scores, len(self.negatives), name="negative")

    @property
    def documents(self) -> tuple[str, ...]:
        """The positives, then the negatives."""
        return self.positives + self.negatives

    @property
    def scores(self) -> tuple[float, ...] | None:
        """A teacher's score of each of `documents`, if one was asked."""
        if self.positive_scores is None or self.negative_scores is None:
            return None
        return self.positive_scores + self.negative_scores

    def scored(self, scores: Sequence[float]) -> Self:
        """The same example with a teacher's scores.

        Args:
            scores: One for each of `documents`.

        Raises:
            ValueError: There are more or fewer, or one is not finite.
        """
        if len(scores) != len(self.documents):
            raise ValueError(f"{len(scores)} scores for {len(self.documents)} documents")
        cut = len(self.positives)
        return replace(
            self, positive_scores=tuple(scores[:cut]), negative_scores=tuple(scores[cut:])
        )


@dataclass(frozen=True, slots=True)
class Demand:
    """What a stage needs of each example.

    Attributes:
        negatives: How many, at least.
        scores: Whether a teacher's scores must be there.
    """

    negatives: int = 0
    scores: bool = False

    def check(self, example: Example, *, place: str) -> None:
        """Refuse an example that does not have what is needed.

        Args:
            example: The example.
            place: Where it stands, for messages.

        Raises:
            SourceError: It lacks negatives or scores.
        """
        if len(example.negatives) < self.negatives:
            raise SourceError(
                f"{place}: {len(example.negatives)} negatives, and this training needs "
                f"{self.negatives}: mine them first (tercet.training.datasets.mining)"
            )
        if self.scores and example.scores is None:
            raise SourceError(
                f"{place}: no scores, and this training needs those of a teacher: "
                "ask one first (tercet.training.datasets.teachers)"
            )


def make_example(  # noqa: D417  the others are those of `Example`
    query: str,
    positives: Sequence[str],
    negatives: Sequence[str] = (),
    *,
    positive_scores: Sequence[float] | None = None,
    negative_scores: Sequence[float] | None = None,
    place: str,
) -> Example:
    """An example whose errors say where it stands.

    Args:
        place: As "pairs.jsonl, line 3".

    Raises:
        SourceError: A text or a score cannot be used.
    """
    try:
        return Example(
            query,
            tuple(positives),
            tuple(negatives),
            None if positive_scores is None else tuple(positive_scores),
            None if negative_scores is None else tuple(negative_scores),
        )
    except (TypeError, ValueError) as error:
        raise SourceError(f"{place}: {error}") from error


def _check_texts(texts: tuple[str, ...], *, name: str) -> None:
    if not isinstance(texts, tuple):
        raise TypeError(f"{name}s is a {type(texts).__name__}; a tuple of strings belongs there")
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"{name} {number} is {text!r}, not a string")


def _check_scores(scores: tuple[float, ...] | None, texts: int, *, name: str) -> None:
    if scores is None:
        return
    if len(scores) != texts:
        raise ValueError(f"{len(scores)} scores for {texts} {name}s")
    for number, score in enumerate(scores):
        if isinstance(score, bool) or not isinstance(score, int | float):
            raise TypeError(f"the score of {name} {number} is {score!r}, not a number")
        if not math.isfinite(score):
            raise ValueError(f"the score of {name} {number} is {score}: it must be finite")
