"""The words that the tokenizers of the tiny checkpoints know.

They are chosen so that whole words, words of several pieces, punctuation, Japanese, unknown
characters and the lone "▁" of SentencePiece all occur in a few short texts.
"""

import string


def _words(text: str) -> list[str]:
    return text.split()


WORDS = _words(
    "the a of and to is what late interact keep one vector token score sum maxima query document "
    "retriev search index long text short model dense sparse word weight by for in it not two"
)

ENDINGS = _words("s ing ion ed al er or es ly ness able ment ize st nd")

JAPANESE = _words(
    "検索 文書 質問 とは 重要 です 探す こと ある 言葉 意味 日本 日本語 を の は が に で か"
)

JAPANESE_CHARACTERS = list(
    "検索文書質問重要探言葉意味日本語あいうえおかがこさしすたでとなにのはまもるれをんですある"
)

JAPANESE_PUNCTUATION = list("、。「」？！・")

RARE_PUNCTUATION = "^`~|"
"""ASCII marks that the WordPiece and SentencePiece vocabularies lack: they become unknown."""

PUNCTUATION = [mark for mark in string.punctuation if mark not in RARE_PUNCTUATION]

OPENING_PUNCTUATION = list('("$#')
"""Marks that SentencePiece vocabularies hold as the start of a word; others follow a lone "▁"."""


def filled(pieces: list[str], *, size: int | None, filler: str) -> list[str]:
    """Pieces without repetition, filled up to a size with pieces that no text contains.

    Args:
        pieces: What the vocabulary must hold.
        size: How many pieces it shall hold; None adds nothing.
        filler: Start of the added pieces.

    Raises:
        ValueError: The pieces are more than the size.
    """
    unique = list(dict.fromkeys(pieces))
    if size is None:
        return unique
    if len(unique) > size:
        raise ValueError(f"a vocabulary of {size} is too small: the tokenizer needs {len(unique)}")
    return unique + [f"{filler}{n}" for n in range(size - len(unique))]


def sentencepiece_pieces() -> list[tuple[str, float]]:
    """Pieces of a Unigram model with their log probabilities, best first."""
    whole = [f"▁{word}" for word in WORDS] + [f"▁{mark}" for mark in OPENING_PUNCTUATION]
    inner = [*ENDINGS, *JAPANESE, "▁"]
    single = (
        PUNCTUATION
        + JAPANESE_PUNCTUATION
        + JAPANESE_CHARACTERS
        + list(string.ascii_letters + string.digits)
    )
    scored = [(piece, -4.0 - 0.01 * n) for n, piece in enumerate(whole)]
    scored += [(piece, -5.0 - 0.01 * n) for n, piece in enumerate(inner)]
    scored += [(piece, -8.0 - 0.01 * n) for n, piece in enumerate(single)]
    return list({piece: (piece, score) for piece, score in reversed(scored)}.values())[::-1]


def wordpieces(*, japanese: bool) -> list[str]:
    """Pieces of a WordPiece model, without the special tokens."""
    letters = list(string.ascii_lowercase + string.digits)
    pieces = PUNCTUATION + WORDS + letters
    pieces += [f"##{ending}" for ending in ENDINGS] + [f"##{letter}" for letter in letters]
    if japanese:
        pieces += list(string.ascii_uppercase) + JAPANESE_PUNCTUATION + JAPANESE
        pieces += JAPANESE_CHARACTERS + [f"##{c}" for c in JAPANESE_CHARACTERS]
    return list(dict.fromkeys(pieces))
