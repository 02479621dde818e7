"""One call of any encoder, for those who encode on behalf of others: they report cut texts."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from enum import StrEnum
from typing import Any

from tercet.embeddings import Embeddings, TextEncoder
from tercet.encoding.gathering import Gathering
from tercet.encoding.options import OnTruncation
from tercet.encoding.reporting import REMEDIES, TextReport

STEP_TEXTS = 32
"""So many texts are encoded at once by an encoder that has no stream."""


class TextRole(StrEnum):
    """What a text is to the encoder."""

    QUERIES = "queries"
    DOCUMENTS = "documents"


def encode_in_parts(
    encoder: TextEncoder, role: TextRole, texts: Sequence[str]
) -> Iterator[Embeddings]:
    """The views of N texts, part by part; an encoder that streams does not report what it cut.

    Args:
        encoder: Any encoder.
        role: Of the texts.
        texts: N texts.
    """
    stream: Any = getattr(encoder, f"encode_{role}_iter", None)
    if stream is None:
        for start in range(0, len(texts), STEP_TEXTS):
            yield _whole(encoder, role, texts[start : start + STEP_TEXTS])
        return
    done = 0
    with closing(stream(texts)) as parts:  # left before its end, where it would report
        while done < len(texts):
            part = next(parts)
            done += len(part)
            yield part


def encode_silently(encoder: TextEncoder, role: TextRole, texts: Sequence[str]) -> Embeddings:
    """The views of N texts as one; as `encode_in_parts`, it does not report what was cut.

    Args:
        encoder: Any encoder.
        role: Of the texts.
        texts: N texts.

    Raises:
        ValueError: The encoder gave the views of more or fewer texts.
    """
    gathering = Gathering()
    for part in encode_in_parts(encoder, role, texts):
        gathering.add(part)
    found = gathering.result() if texts else _whole(encoder, role, texts)
    if len(found) != len(texts):
        raise ValueError(f"{encoder!r} gave the views of {len(found)} texts for {len(texts)}")
    return found


def _whole(encoder: TextEncoder, role: TextRole, texts: Sequence[str]) -> Embeddings:
    encode = encoder.encode_queries if role is TextRole.QUERIES else encoder.encode_documents
    return encode(texts)


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
