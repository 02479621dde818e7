"""Sentences: where those of a text begin and end, as offsets that never cut a character."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import regex
from numpy.typing import NDArray

Span = tuple[int, int]
"""Offsets of the first character and behind the last."""

LONGEST = 1000
"""Characters of a sentence; what runs on without an end is divided between words."""

CHARACTER = regex.compile(r"\X")
"""A character as readers see it: a base with its marks, a flag, a family of emoji."""

WORD_EDGE = regex.compile(r"\b", flags=regex.WORD)
"""Where Unicode's rules for all scripts (UAX 29) see the edge of a word."""

END = regex.compile(
    r"""
    (?<! [\p{Sentence_Terminal}…] )                            # once a run, however long
        (?P<stop> [\p{Sentence_Terminal}…]++ ) [\p{Pe}\p{Pf}"']*+
        (?= \s++ (?! \p{Ll} ) )                               # a space, and no small letter
    | [。！？｡．]+ [\p{Pe}\p{Pf}"']*                           # Chinese and Japanese need neither
    | \n (?= [^\S\n]* (?: \n | (?: [-*•–] | \d+[.)] ) \s ) )  # paragraphs, items of a list
    """,
    flags=regex.VERBOSE,
)

ABBREVIATION = regex.compile(
    r"""(?<! [\p{L}\p{N}] ) (?:
        \p{Lu} | \p{L}+ \. [\p{L}.]* \p{L}                            # J. Smith, U.S., e.g.
        | (?i: al|approx|ca|capt|cf|co|col|corp|dept|dr|ed|eds|est|gen|gov|inc|jr|lt|ltd|messrs|mr
        | mrs|ms|mt|prof|rev|sen|sgt|sr|st|vs )
    ) \. $""",
    flags=regex.VERBOSE,
)
"""After these a sentence goes on."""

NUMBERED = regex.compile(
    r"(?<! [\p{L}\p{N}] ) (?i: ch|eq|eqs|fig|figs|no|nos|op|p|pp|ref|refs|sec|vol|vols ) \. $",
    flags=regex.VERBOSE,
)
"""After these too, if a number follows."""

NEAR = 12
"""So many characters before a full stop show an abbreviation, and behind it a number."""


def sentence_spans(text: str) -> list[Span]:
    """The sentences of a text, in order, without the white space round them.

    A sentence ends at a full stop, question or exclamation mark of any script and the quotes and
    brackets that follow it, at an empty line, and before an item of a list; not behind an
    abbreviation, an initial or before a small letter.
    """
    characters = character_starts(text)
    ends = [match.end() for match in END.finditer(text) if _ends(text, match)]
    edges = _snapped(characters, [0, *ends, len(text)])
    parts = (part for span in pairwise(edges) for part in _divided(span, text, characters))
    return [stripped for part in parts if (stripped := _stripped(part, text, characters))]


def character_starts(text: str) -> NDArray[np.int64]:
    """Where the characters that readers see begin, and the end of the text, [characters + 1]."""
    if text.isascii() and "\r" not in text:
        return np.arange(len(text) + 1, dtype=np.int64)
    starts = (match.start() for match in CHARACTER.finditer(text))
    return np.append(np.fromiter(starts, dtype=np.int64), len(text))


def word_edges(text: str) -> list[int]:
    """Offsets at which a text may be cut between words, its end included, its start not."""
    edges = np.asarray([match.start() for match in WORD_EDGE.finditer(text)], dtype=np.int64)
    return sorted({*np.intersect1d(edges, character_starts(text)).tolist(), len(text)} - {0})


def _ends(text: str, match: "regex.Match[str]") -> bool:
    if match["stop"] != ".":
        return True
    before = text[max(0, match.start() - NEAR) : match.end("stop")]
    numbered = text[match.end() : match.end() + NEAR].lstrip()[:1].isdecimal()
    return not (ABBREVIATION.search(before) or (numbered and NUMBERED.search(before)))


def _snapped(characters: NDArray[np.int64], offsets: list[int]) -> list[int]:
    """Offsets moved forward to the next beginning of a character, each once."""
    places = np.searchsorted(characters, offsets)
    return sorted(set(characters[places].tolist()))


def _divided(span: Span, text: str, characters: NDArray[np.int64]) -> Iterator[Span]:
    """The span, or parts of about `LONGEST` characters where it is longer."""
    start, stop = span
    while stop - start > LONGEST:
        edge = start + max(word_edges(text[start : start + LONGEST])[:-1] or [LONGEST])
        (edge,) = _snapped(characters, [edge])
        yield start, edge
        start = edge
    yield start, stop


def _stripped(span: Span, text: str, characters: NDArray[np.int64]) -> Span | None:
    """The span without white space at its ends; None where there is nothing else."""
    part = text[slice(*span)]
    if not part.strip():
        return None
    first = span[0] + len(part) - len(part.lstrip())
    last = span[0] + len(part.rstrip())
    before = int(np.searchsorted(characters, first, side="right")) - 1
    return int(characters[before]), int(characters[np.searchsorted(characters, last)])
