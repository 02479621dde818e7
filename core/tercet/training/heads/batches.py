"""Unlabelled texts as batches of pseudo-queries and documents that are hard to tell apart."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from tercet.context.sentences import sentence_spans
from tercet.training.loop.gathering import share
from tercet.training.models.model import TrainingModel
from tercet.training.models.texts import TokenBatch

NEIGHBOURS = 16
"""Documents nearest to a text, of which the others of its batch are drawn."""

SHORTEST_QUERY = 12
"""Characters of a sentence that can be a query (our choice)."""


@dataclass(frozen=True, slots=True, eq=False)
class HeadBatch:
    """Queries, and documents that all of them are scored against.

    Attributes:
        queries: Sentences, Q.
        documents: The texts that they were taken from, without them, N = Q.
    """

    queries: TokenBatch
    documents: TokenBatch

    def to(self, device: torch.device) -> Self:
        """The same batch elsewhere."""
        return replace(self, queries=self.queries.to(device), documents=self.documents.to(device))


class HeadBatches:
    """Groups of texts alike, each with one of its own sentences as a query."""

    def __init__(
        self,
        model: TrainingModel,
        texts: Sequence[str],
        near: NDArray[np.int64],
        *,
        groups: int,
        alike: int,
        tokens: int,
        batches: int,
        seed: int,
    ) -> None:
        """Take the texts.

        Args:
            model: Its tokenizer writes them.
            texts: The texts, N.
            near: Of each text, the most similar others, [N, neighbours].
            groups: Groups of a batch.
            alike: Texts of a group.
            tokens: Length at which documents are cut.
            batches: Of the whole run.
            seed: Of the draws.
        """
        self._model, self._texts, self._near = model, texts, near
        self._groups, self._alike, self._tokens = groups, alike, tokens
        self._batches, self._seed = batches, seed

    def __len__(self) -> int:
        return self._batches

    def __getitem__(self, number: int) -> HeadBatch:
        """Draw texts and their queries."""
        rng = np.random.default_rng([self._seed, number, share().rank])
        starts = rng.choice(len(self._texts), min(self._groups, len(self._texts)), replace=False)
        chosen = [
            [start, *rng.permutation(self._near[start])[: self._alike - 1]] for start in starts
        ]
        rows = dict.fromkeys(int(row) for group in chosen for row in group)
        pairs = [take_sentence(self._texts[row], rng) for row in rows]
        return HeadBatch(
            self._model.query_batch([query for query, _ in pairs]),
            self._model.document_batch([rest for _, rest in pairs], tokens=self._tokens),
        )


def take_sentence(text: str, rng: np.random.Generator) -> tuple[str, str]:
    """A sentence of a text, drawn at random, and the text without it.

    A text of one sentence gives its second half as the query and stays whole.

    Args:
        text: The text.
        rng: Draws.

    Returns:
        The query and what is left.

    Source: the inverse cloze task of Lee et al. 2019, arXiv 1906.00300, section 4.
    """
    spans = [span for span in sentence_spans(text) if span[1] - span[0] >= SHORTEST_QUERY]
    if len(spans) < 2:
        middle = len(text) // 2
        return text[text.find(" ", middle) + 1 or middle :] or text, text
    start, end = spans[int(rng.integers(len(spans)))]
    return text[start:end], f"{text[:start]}{text[end:]}"


def nearest(vectors: NDArray[np.float32], *, count: int = NEIGHBOURS) -> NDArray[np.int64]:
    """The most similar other texts of each text, [N, count], in no order.

    Args:
        vectors: Dense vectors at unit length, [N, E].
        count: How many; fewer where there are fewer texts.
    """
    count = min(count, len(vectors) - 1)
    found = np.empty((len(vectors), count), dtype=np.int64)
    for start in range(0, len(vectors), 1024):
        rows = np.arange(start, min(start + 1024, len(vectors)))
        similar = vectors[rows] @ vectors.T
        similar[np.arange(len(rows)), rows] = -np.inf
        found[rows] = np.argpartition(-similar, count - 1, axis=1)[:, :count] if count else 0
    return found
