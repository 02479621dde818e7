"""Masked words: which tokens belong to one word, and which words a model has to guess."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

UNSCORED = -100
"""The label of a token that is not guessed; what torch's cross-entropy leaves out."""

MASKED, RANDOM = 0.8, 0.1
"""Shares of the tokens chosen that become the mask or any token; the rest stay (BERT)."""

LONGEST_WORD = 8
"""Tokens: a longer run of letters is a sentence of a script without spaces, where each token is
masked alone (our choice)."""

CONTINUED = "##"
"""Begins a piece of WordPiece that continues a word."""

SPACES = ("\u2581", "\u0120")
"""Begin a piece that stands behind a space: of SentencePiece, and of BPE over bytes."""


@dataclass(frozen=True, slots=True)
class Pieces:
    """What the entries of a vocabulary say about words.

    Attributes:
        continues: Whether a piece may continue the word of the one before it, [V].
        open: Whether the next piece may continue its word, [V].
    """

    continues: NDArray[np.bool_]
    open: NDArray[np.bool_]

    @classmethod
    def of(cls, terms: Sequence[str]) -> Self:
        """Read a vocabulary; which kind it is, its own marks tell.

        Args:
            terms: Every entry, V.
        """
        size = len(terms)
        if any(term.startswith(CONTINUED) for term in terms):
            continues = [term.startswith(CONTINUED) for term in terms]
            return cls(np.array(continues), np.ones(size, dtype=np.bool_))
        letters = [(term[:1].isalnum(), term[-1:].isalnum()) for term in terms]
        first, last = np.array(letters, dtype=np.bool_).reshape(size, 2).T
        behind_space = np.array([term.startswith(SPACES) for term in terms], dtype=np.bool_)
        return cls(first & ~behind_space, last | (behind_space & _alone(terms)))


@dataclass(frozen=True, slots=True)
class MaskedTokens:
    """A text with words to guess.

    Attributes:
        ids: What the model reads, [L].
        labels: What stood there, or -100 where nothing is guessed, [L].
    """

    ids: NDArray[np.int64]
    labels: NDArray[np.int64]


def words(ids: NDArray[np.int64], inside: NDArray[np.bool_], pieces: Pieces) -> NDArray[np.int64]:
    """Number the words of a text.

    Args:
        ids: Token ids, [L].
        inside: Which tokens stand for text: neither special nor padding, [L].
        pieces: What the vocabulary says.

    Returns:
        The number of each token's word, -1 for tokens that stand for no text, [L].
    """
    continues = np.zeros(len(ids), dtype=np.bool_)
    continues[1:] = pieces.continues[ids[1:]] & pieces.open[ids[:-1]] & inside[1:] & inside[:-1]
    numbers = np.cumsum(inside & ~continues) - 1
    sizes = np.bincount(numbers[inside], minlength=1)
    alone = inside & (sizes[numbers] > LONGEST_WORD)
    numbers = np.cumsum(inside & (~continues | alone)) - 1
    return np.where(inside, numbers, -1)


def mask_words(
    ids: NDArray[np.int64],
    word_of: NDArray[np.int64],
    *,
    share: float,
    mask_id: int,
    vocabulary: int,
    random: np.random.Generator,
) -> MaskedTokens:
    """Hide whole words, drawn at random, until a share of a text's tokens is hidden.

    Of the tokens hidden, 80 % become the mask, 10 % any token, and 10 % stay as they are.

    Args:
        ids: Token ids, [L]; left as they are.
        word_of: What `words` gives, [L].
        share: Of the tokens that stand for text; at least one word is hidden.
        mask_id: Id of the mask.
        vocabulary: V, from which random tokens are drawn.
        random: Draws.

    Source: Devlin et al. 2019, "BERT", section 3.1, and the whole-word masking of its repository.
    """
    chosen = choose_words(word_of, share=share, random=random)
    labels = np.where(chosen, ids, UNSCORED)
    fate = random.random(len(ids))
    masked = ids.copy()
    masked[chosen & (fate < MASKED)] = mask_id
    replaced = chosen & (fate >= MASKED) & (fate < MASKED + RANDOM)
    masked[replaced] = random.integers(0, vocabulary, int(replaced.sum()))
    return MaskedTokens(masked, labels)


def choose_words(
    word_of: NDArray[np.int64], *, share: float, random: np.random.Generator
) -> NDArray[np.bool_]:
    """Mark the tokens of words drawn until they are a share of all that stand for text, [L]."""
    sizes = np.bincount(word_of[word_of >= 0], minlength=1)
    order = random.permutation(len(sizes))
    before = np.cumsum(sizes[order]) - sizes[order]
    taken = order[before < max(share * sizes.sum(), 1)]
    return np.isin(word_of, taken) & (word_of >= 0)


def _alone(terms: Sequence[str]) -> NDArray[np.bool_]:
    """Which entries are the mark of a space and nothing else, [V]."""
    return np.array([term in SPACES for term in terms], dtype=np.bool_)
