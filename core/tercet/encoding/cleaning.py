"""What happens to a text before its tokenizer sees it, and the way back to its characters."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tercet.documents import has_lone_surrogates, replace_lone_surrogates

NOWHERE = -1
"""Offset of a token that stands for no character of the text."""


@dataclass(frozen=True, slots=True)
class CleanText:
    """A text as the tokenizer reads it.

    Attributes:
        text: What it reads.
        stripped: Characters taken away in front.
        owners: For each character read, the one that it came from, after stripping; None where
            they are the same.
    """

    text: str
    stripped: int = 0
    owners: NDArray[np.int64] | None = None

    def starts(self, offsets: NDArray[np.int64]) -> NDArray[np.int64]:
        """Offsets of first characters in the text given, those below 0 kept as `NOWHERE`."""
        back = offsets if self.owners is None else np.append(self.owners, len(self.text))[offsets]
        return np.where(offsets < 0, NOWHERE, back + self.stripped)

    def ends(self, offsets: NDArray[np.int64]) -> NDArray[np.int64]:
        """Offsets behind last characters in the text given, those below 0 kept as `NOWHERE`."""
        back = offsets if self.owners is None else np.append(self.owners, 0)[offsets - 1] + 1
        return np.where(offsets < 0, NOWHERE, back + self.stripped)


def stripped_and_lowercased(text: str, *, strip: bool, lower: bool) -> CleanText:
    """A text without white space round it, in lower case, as asked."""
    short = text.strip() if strip else text
    removed = len(text) - len(text.lstrip()) if strip else 0
    if not lower:
        return CleanText(short, removed)
    lowered = short.lower()
    if len(lowered) == len(short):
        return CleanText(lowered, removed)
    widths = [len(character.lower()) for character in short]  # "İ" becomes two characters
    return CleanText(lowered, removed, np.repeat(np.arange(len(short)), widths))


def without_surrogates(texts: Sequence[str]) -> list[str]:
    """The texts in a form that has UTF-8; what was replaced is said once a call."""
    broken = sum(map(has_lone_surrogates, texts))
    if not broken:
        return list(texts)
    warnings.warn(
        f"{broken} of {len(texts)} texts have lone surrogates; each was read as U+FFFD",
        UserWarning,
        stacklevel=4,
    )
    return list(map(replace_lone_surrogates, texts))
