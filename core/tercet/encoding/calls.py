"""One call of any encoder, for those who encode on behalf of others: they report cut texts."""

from collections.abc import Sequence
from contextlib import closing
from enum import StrEnum
from typing import Any

from tercet.embeddings import Embeddings, TextEncoder
from tercet.encoding.gathering import Gathering
from tercet.encoding.options import OnTruncation
from tercet.encoding.reporting import REMEDIES, TextReport


class TextRole(StrEnum):
    """What a text is to the encoder."""

    QUERIES = "queries"
    DOCUMENTS = "documents"


def encode_silently(encoder: TextEncoder, role: TextRole, texts: Sequence[str]) -> Embeddings:
    """The views of N texts; an encoder that streams is left before it reports what it cut.

    Args:
        encoder: Any encoder.
        role: Of the texts.
        texts: N texts.

    Raises:
        ValueError: The encoder gave the views of more or fewer texts.
    """
    stream: Any = getattr(encoder, f"encode_{role}_iter", None)
    if stream is None or not texts:
        whole: Any = getattr(encoder, f"encode_{role}")
        found: Embeddings = whole(texts)
    else:
        gathering, done = Gathering(), 0
        with closing(stream(texts)) as parts:
            while done < len(texts):
                part = next(parts)
                gathering.add(part)
                done += len(part)
        found = gathering.result()
    if len(found) != len(texts):
        raise ValueError(f"{encoder!r} gave the views of {len(found)} texts for {len(texts)}")
    return found


def report_cuts(
    role: TextRole, texts: Sequence[str], found: Embeddings, *, stacklevel: int
) -> None:
    """Say what was cut or repaired in the texts of one call, as an encoder does.

    Args:
        role: Of the texts.
        texts: N texts.
        found: Their views.
        stacklevel: Of the warning, counted from the caller of this function.
    """
    report = TextReport(OnTruncation.WARN, remedy=REMEDIES[role])
    cleaned = report.clean(texts)
    if found.tokens is not None and found.tokens_encoded is not None:
        report.lengths(cleaned, found.tokens, found.tokens_encoded)
        report.warn(stacklevel=stacklevel + 1)
