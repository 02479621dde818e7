"""A tokenised text as passes of the backbone: in one piece, with more CLS, or in windows."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from tercet.encoding.long_documents import (
    LongDocumentOptions,
    LongDocuments,
    MclsAttention,
    MclsPositions,
)
from tercet.encoding.packing import Pass
from tercet.encoding.tokenised import TokenisedText

WINDOW_OVERLAP = 64
"""Tokens that neighbouring windows share: none is read without what stands beside it."""


def document_passes(
    text: TokenisedText, n: int, *, options: LongDocumentOptions, limit: int, pools_cls: bool
) -> list[Pass]:
    """The passes of document n of a batch.

    Args:
        text: The document, uncut.
        n: Its place in the batch.
        options: What happens where it is long.
        limit: Tokens that one pass reads.
        pools_cls: Whether the dense vector is the state of the CLS.
    """
    mode = options.choose(len(text), limit=limit, pools_cls=pools_cls)
    if mode is LongDocuments.WINDOWS and len(text) > limit:
        return _windows(text, n, limit=limit)
    if mode is LongDocuments.MCLS:
        return [_with_more_cls(text, n, options=options, limit=limit)]
    return [plain_pass(text, n, limit=limit)]


def query_passes(
    text: TokenisedText, n: int, *, options: LongDocumentOptions, limit: int
) -> list[Pass]:
    """The passes of query n: one, and windows where it is too long and nothing is to be cut."""
    uncut = options.mode in (LongDocuments.AUTO, LongDocuments.WINDOWS)
    if uncut and len(text) > limit:
        return _windows(text, n, limit=limit)
    return [plain_pass(text, n, limit=limit)]


def plain_pass(text: TokenisedText, n: int, *, limit: int) -> Pass:
    """The text as the model was made for it, cut at `limit`; what stands behind a text stays."""
    return _piece(text, n, _cut(text, body=_room(text, limit)))


def tokens_encoded(text: TokenisedText, passes: list[Pass]) -> int:
    """How many of the text's tokens the passes read, expansion not counted."""
    seen = np.zeros(len(text), dtype=np.bool_)
    for item in passes:
        seen[item.rows[item.rows >= 0]] = True
    return text.read - (len(text) - int(seen.sum()))


def _room(text: TokenisedText, limit: int) -> int:
    """Tokens of its own that a pass over the text can hold.

    Raises:
        ValueError: What stands around a text fills the pass.
    """
    room = limit - text.leading - text.trailing
    if room < 1:
        raise ValueError(
            f"{text.leading + text.trailing} special, marker and prompt tokens leave no room for "
            f"text in {limit} tokens: allow more tokens, or shorten the prompt"
        )
    return room


def _cut(text: TokenisedText, *, body: int) -> NDArray[np.int64]:
    """Rows of the text with at most so many tokens of its own."""
    if len(text) - text.leading - text.trailing <= body:
        return np.arange(len(text), dtype=np.int64)
    return np.concatenate((np.arange(text.leading + body), _trailing(text)))


def _trailing(text: TokenisedText) -> NDArray[np.int64]:
    return np.arange(len(text) - text.trailing, len(text), dtype=np.int64)


def _piece(
    text: TokenisedText,
    n: int,
    rows: NDArray[np.int64],
    owned: NDArray[np.bool_] | None = None,
) -> Pass:
    """A pass over some rows of a text, at positions from 0."""
    return Pass(
        text=n,
        ids=text.ids[rows],
        positions=np.arange(len(rows), dtype=np.int64),
        rows=rows,
        owned=np.ones(len(rows), dtype=np.bool_) if owned is None else owned,
        pooled=np.zeros(1, dtype=np.int64),
        visible=int(text.attended[rows].sum()),
    )


def _windows(text: TokenisedText, n: int, *, limit: int) -> list[Pass]:
    """Overlapping windows, each between the special tokens of the whole text.

    An overlapped token belongs to the window in which it stands farther from an edge; leading
    special tokens belong to the first window, trailing ones to the last.
    """
    room = _room(text, limit)
    overlap = min(WINDOW_OVERLAP, room // 2)
    body = len(text) - text.leading - text.trailing
    count = 1 + max(0, -(-(body - room) // (room - overlap)))
    starts = [k * (room - overlap) for k in range(count)]
    middles = [0, *(start + overlap // 2 for start in starts[1:]), body]
    windows = []
    for k, (start, (first, last)) in enumerate(zip(starts, pairwise(middles), strict=True)):
        own = np.arange(start, min(start + room, body))
        rows = np.concatenate((np.arange(text.leading), text.leading + own, _trailing(text)))
        owned = np.concatenate(
            (
                np.full(text.leading, k == 0),
                (own >= first) & (own < last),
                np.full(text.trailing, k == count - 1),
            )
        )
        windows.append(_piece(text, n, rows, owned))
    return windows


def _with_more_cls(
    text: TokenisedText, n: int, *, options: LongDocumentOptions, limit: int
) -> Pass:
    """A CLS before every block of the text's own tokens (arXiv 2402.03216v4).

    Where inserted CLS take positions of their own, fewer tokens of the text fit.
    """
    interval, room = options.mcls_interval, _room(text, limit)
    if options.mcls_positions is MclsPositions.SEQUENTIAL:
        blocks, rest = divmod(room + 1, interval + 1)  # the first CLS is among the special tokens
        room = max(1, blocks * interval + max(0, rest - 1))
    rows = _cut(text, body=room)
    body = len(rows) - text.leading - text.trailing
    starts = text.leading + np.arange(interval, body, interval, dtype=np.int64)
    if options.mcls_attention is MclsAttention.PROBE:
        return _probing(text, n, rows, starts)
    whole = np.insert(rows, starts, -1)
    inserted = whole < 0
    own = np.cumsum(~inserted) - 1  # position of a token; of the token before, for inserted CLS
    shared = np.where(inserted, own + 1, own)
    sequential = options.mcls_positions is MclsPositions.SEQUENTIAL
    return Pass(
        text=n,
        ids=np.where(inserted, text.ids[0], text.ids[whole]),
        positions=np.arange(len(whole), dtype=np.int64) if sequential else shared,
        rows=whole,
        owned=~inserted,
        pooled=np.concatenate(([0], np.flatnonzero(inserted))),
        visible=len(whole),
    )


def _probing(
    text: TokenisedText, n: int, rows: NDArray[np.int64], starts: NDArray[np.int64]
) -> Pass:
    """Inserted CLS behind the text, at the positions of their blocks, seen by themselves alone."""
    probes = len(starts)
    return Pass(
        text=n,
        ids=np.concatenate((text.ids[rows], np.full(probes, text.ids[0]))),
        positions=np.concatenate((np.arange(len(rows)), starts)),
        rows=np.concatenate((rows, np.full(probes, -1))),
        owned=np.arange(len(rows) + probes) < len(rows),
        pooled=np.concatenate(([0], np.arange(len(rows), len(rows) + probes))),
        visible=len(rows),
        probes=probes > 0,
    )
