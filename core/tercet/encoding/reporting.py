"""What a call did to its texts that its caller should know: said once, whatever their number."""

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tercet.documents import has_lone_surrogates, replace_lone_surrogates
from tercet.encoding.options import OnTruncation
from tercet.errors import TextTooLongError, TruncationWarning

REMEDIES = {
    "queries": "load the encoder with a larger query_tokens= to have them read whole",
    "documents": 'load the encoder with long_documents="windows" to have them encoded whole',
}
"""What a caller may do to have texts of a role encoded whole."""

SHOWN_CHARACTERS = 60
"""How much of a text a message shows."""


class TextReport:
    """Counts the texts of one call that were cut or repaired."""

    def __init__(self, on_truncation: OnTruncation, *, remedy: str) -> None:
        """Begin a call.

        Args:
            on_truncation: What happens when a text is cut.
            remedy: What a caller may do to have texts encoded whole.
        """
        self._on_truncation, self._remedy = on_truncation, remedy
        self._texts = self._cut = self._repaired = 0
        self._first = ""

    def clean(self, texts: Sequence[str]) -> list[str]:
        """The texts, lone surrogates replaced."""
        repaired = sum(map(has_lone_surrogates, texts))
        self._repaired += repaired
        return [replace_lone_surrogates(text) for text in texts] if repaired else list(texts)

    def lengths(
        self, texts: Sequence[str], tokens: NDArray[np.int64], encoded: NDArray[np.int64]
    ) -> None:
        """Take notice of what a batch of texts became.

        Args:
            texts: The batch.
            tokens: Tokens of each whole text, [N].
            encoded: How many of them are read, [N].

        Raises:
            TextTooLongError: One is cut, and that was refused.
        """
        cut = np.flatnonzero(encoded < tokens)
        if len(cut) and not self._cut:
            n = int(cut[0])
            self._first = (
                f"text {self._texts + n} ({texts[n][:SHOWN_CHARACTERS]!r}) has {tokens[n]} tokens, "
                f"of which the encoder reads {encoded[n]}"
            )
            if self._on_truncation is OnTruncation.ERROR:
                raise TextTooLongError(f"{self._first}: {self._remedy}")
        self._cut += len(cut)
        self._texts += len(texts)

    def warn(self, *, stacklevel: int) -> None:
        """Say what was cut or repaired, if anything was."""
        if self._repaired:
            warnings.warn(
                f"lone surrogates became U+FFFD in {self._repaired} of {self._texts} texts",
                UserWarning,
                stacklevel=stacklevel + 1,
            )
        if self._cut:
            warnings.warn(
                f"{self._cut} of {self._texts} texts were cut; the first: {self._first}: "
                f"{self._remedy}",
                TruncationWarning,
                stacklevel=stacklevel + 1,
            )
