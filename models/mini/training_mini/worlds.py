"""Invented worlds: the training pairs with other words in them.

The documents of pairs-multi are fairy tales and the manual of one library, so most words of the
backbone's vocabulary never appear. A world takes a few pairs and exchanges their rarer words for
words drawn from the whole vocabulary, each word for the same other word in every query and
document of the world. What answers what stays as it was; what it is about does not.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from training_mini.pairs import Pair

COMMON = 0.05  # words in more documents than this stay: they hold a sentence together
EXCHANGED = 0.7  # of the other words
PAIRS = 12  # of one world
MIN_LETTERS = 3


@dataclass(slots=True)
class Worlds:
    """Queries and documents in invented words, as token ids.

    Attributes:
        queries: Token ids of each query.
        documents: Token ids of each document.
        positives: The relevant document of each query.
    """

    queries: list[list[int]] = field(default_factory=list)
    documents: list[list[int]] = field(default_factory=list)
    positives: list[int] = field(default_factory=list)


class Vocabulary:
    """Which tokens may be exchanged, and for which."""

    def __init__(self, tokens: dict[str, int], documents: Sequence[list[int]]) -> None:
        """Tell rare words and pieces of words from the common ones.

        Args:
            tokens: The id of every token.
            documents: Token ids of the documents that training may see.
        """
        self.size = len(tokens)
        counts = np.zeros(self.size)
        for ids in documents:
            counts[np.unique(ids)] += 1
        common = counts > COMMON * len(documents)
        latin = {token: row for token, row in tokens.items() if _is_latin(token)}
        self.groups = [
            np.array(
                sorted(
                    row
                    for token, row in latin.items()
                    if token.startswith("##") == piece and not common[row]
                )
            )
            for piece in (False, True)
        ]

    def exchange(self, random: np.random.Generator) -> NDArray[np.int64]:
        """Draw one world's words: the new id of every token, [V]."""
        table = np.arange(self.size)
        for group in self.groups:
            chosen = group[random.random(len(group)) < EXCHANGED]
            table[chosen] = random.choice(group, len(chosen), replace=False)
        return table


def invent_worlds(
    pairs: Sequence[Pair],
    *,
    queries: Sequence[list[int]],
    documents: dict[str, list[int]],
    vocabulary: Vocabulary,
    count: int,
    random: np.random.Generator,
) -> Worlds:
    """Rewrite some pairs, each with its first mined negative, in the words of several worlds.

    Args:
        pairs: What to draw from.
        queries: Token ids of the query of each pair.
        documents: Token ids of the documents that may be used.
        vocabulary: What may be exchanged.
        count: How many worlds.
        random: Draws pairs and words.
    """
    worlds = Worlds()
    for _ in range(count):
        table = vocabulary.exchange(random)
        rows: dict[str, int] = {}
        for chosen in random.choice(len(pairs), PAIRS, replace=False).tolist():
            pair = pairs[chosen]
            for doc_id in (pair.positives[0], *pair.negatives[:1]):
                if doc_id in documents and doc_id not in rows:
                    rows[doc_id] = len(worlds.documents)
                    worlds.documents.append(table[documents[doc_id]].tolist())
            worlds.queries.append(table[queries[chosen]].tolist())
            worlds.positives.append(rows[pair.positives[0]])
    return worlds


def _is_latin(token: str) -> bool:
    letters = token.removeprefix("##")
    return len(letters) >= MIN_LETTERS and letters.isascii() and letters.isalpha()
