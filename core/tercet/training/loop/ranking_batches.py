"""Batches of queries with their documents, tokenised as the model writes them."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from tercet.training.datasets.examples import Example
from tercet.training.loop.batching import Batching, LengthGroup, Schedule, Share, segments_shuffled
from tercet.training.loop.optimisation import Optimisation
from tercet.training.models.model import TrainingModel
from tercet.training.models.texts import TokenBatch

MEASURED_TOGETHER = 1024
"""Texts that are tokenised at once to learn their lengths."""


@dataclass(frozen=True, slots=True, eq=False)
class RankingBatch:
    """Q queries with n documents each.

    Attributes:
        queries: Q of them.
        documents: Q * n, one query's after another, its positive first.
        names: Equal for documents of equal text, [Q * n].
        teacher: Another model's scores, [Q, n]; None where an example has none.
    """

    queries: TokenBatch
    documents: TokenBatch
    names: Tensor
    teacher: Tensor | None = None

    @property
    def each(self) -> int:
        """Documents of a query, n."""
        return len(self.documents) // len(self.queries)

    def to(self, device: torch.device) -> Self:
        """The same batch elsewhere."""
        return type(self)(
            self.queries.to(device),
            self.documents.to(device),
            self.names.to(device),
            None if self.teacher is None else self.teacher.to(device),
        )


class RankingBatches:
    """The examples of a data set, as often as a run reads them."""

    def __init__(
        self,
        model: TrainingModel,
        examples: Sequence[Example],
        batching: Batching,
        optimisation: Optimisation,
        *,
        seed: int,
        share: Share | None = None,
    ) -> None:
        """Sort examples by the length of their longest positive.

        Args:
            model: Its tokenizer writes the texts.
            examples: What is learned from.
            batching: How they are grouped.
            optimisation: How long the run is.
            seed: Of order and choice.
            share: This process's part; None for all of it.

        Raises:
            ValueError: No example, or one without negatives where a batch needs some.
        """
        if not examples:
            raise ValueError("there is no example to train on: the data files are empty")
        lacking = next((e for e in examples if batching.documents > 1 and not e.negatives), None)
        if lacking is not None:
            raise ValueError(
                f"the example of the query {lacking.query[:60]!r} has no negatives, and "
                f"batching.documents is {batching.documents}: mine negatives first, or set it to 1 "
                "to learn from the other documents of the batch alone"
            )
        self._model, self._examples, self._batching = model, examples, batching
        self._share, self._seed = share or Share(), seed
        longest = [max(example.positives, key=len) for example in examples]
        lengths = lengths_of(model, longest, batching.groups)
        self._schedule = Schedule(lengths, batching.groups, seed=seed, share=self._share)
        self._batches = optimisation.batches(len(self._schedule))

    def __len__(self) -> int:
        return self._batches

    def __getitem__(self, number: int) -> RankingBatch:
        """Draw the documents of a batch and tokenise it."""
        rng = np.random.default_rng([self._seed, number, self._share.rank])
        examples = [self._examples[row] for row in self._schedule.rows(number)]
        drawn = [self._draw(example, rng) for example in examples]
        texts = [text for documents, _ in drawn for text in documents]
        scores = [found for _, found in drawn if found is not None]
        batching = self._batching
        return RankingBatch(
            self._model.query_batch([e.query for e in examples], tokens=batching.query_tokens),
            self._model.document_batch(texts, tokens=batching.document_tokens),
            torch.tensor([zlib.crc32(text.encode()) for text in texts]),
            torch.tensor(scores) if len(scores) == len(examples) else None,
        )

    def _draw(
        self, example: Example, rng: np.random.Generator
    ) -> tuple[list[str], list[float] | None]:
        """A positive and negatives of an example, and their scores.

        Too few negatives are taken more than once, as in FlagEmbedding.
        """
        positive = int(rng.integers(len(example.positives)))
        rows = [positive]
        wanted = self._batching.documents - 1
        while len(rows) <= wanted:
            some = rng.permutation(len(example.negatives))[: wanted + 1 - len(rows)]
            rows += (len(example.positives) + some).tolist()
        texts = [example.documents[row] for row in rows]
        texts[0] = segments_shuffled(texts[0], rng, share=self._batching.shuffle_segments)
        scores = example.scores
        return texts, None if scores is None else [scores[row] for row in rows]


class TextBatches:
    """Texts without queries, as often as a run reads them."""

    def __init__(
        self,
        model: TrainingModel,
        texts: Sequence[str],
        batching: Batching,
        optimisation: Optimisation,
        *,
        seed: int,
        share: Share | None = None,
    ) -> None:
        """Sort texts by their length.

        Args:
            model: Its tokenizer writes them as documents.
            texts: What is learned from.
            batching: How they are grouped.
            optimisation: How long the run is.
            seed: Of the order.
            share: This process's part; None for all of it.

        Raises:
            ValueError: There is no text.
        """
        if not texts:
            raise ValueError("there is no text to train on: the data files are empty")
        self._model, self._texts = model, texts
        self._tokens = batching.document_tokens
        lengths = lengths_of(model, texts, batching.groups)
        self._schedule = Schedule(lengths, batching.groups, seed=seed, share=share or Share())
        self._batches = optimisation.batches(len(self._schedule))

    def __len__(self) -> int:
        return self._batches

    def __getitem__(self, number: int) -> TokenBatch:
        """Tokenise a batch."""
        texts = [self._texts[row] for row in self._schedule.rows(number)]
        return self._model.document_batch(texts, tokens=self._tokens)


def lengths_of(
    model: TrainingModel, texts: Sequence[str], groups: Sequence[LengthGroup]
) -> list[int]:
    """Tokens of documents; zeros where one group takes them all."""
    if len(groups) == 1:
        return [0] * len(texts)
    found = []
    for start in range(0, len(texts), MEASURED_TOGETHER):
        some = model.tokenizer.documents(texts[start : start + MEASURED_TOGETHER])
        found += [text.total for text in some]
    return found
