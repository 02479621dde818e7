"""When a collection gets its codebook, and when a new one."""

import sqlite3
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from tercet.embeddings import Representation
from tercet.indexes.codebooks import HELD_OUT, LARGE_DOCUMENTS, SAMPLE, Codebook
from tercet.indexes.local.columns.multi_vector import MultiVectorColumn
from tercet.indexes.local.files.codebook_rows import next_codebook_key
from tercet.indexes.local.reading.snapshot import Snapshot

LARGE_TOKENS = 100_000
"""A collection with fewer token vectors is searched exactly, too."""

DRIFT = 1.15
"""By so much 1 - cosine between tokens and centroids may grow until `compact` trains anew.

A codebook of a quarter of the cells loses a third (0.070 to 0.093 on gte-small's tokens of
scifact-en), and candidates with it; so this is about what half the cells would lose.
"""

MEASURING = 16
"""One document in so many measures how far tokens lie from centroids, and trains none.

Tokens of one document are alike: measured on documents that took part, the distance of all later
ones would look like drift (0.078 and 0.104 on tercet/mini's tokens of scifact-en).
"""

SEED = 0

Place = tuple[MultiVectorColumn, NDArray[np.int64]]
"""Some tokens of a column."""


def is_large(snapshot: Snapshot) -> bool:
    """Whether token vectors are so many that cells pay."""
    if len(snapshot.live) < LARGE_DOCUMENTS:
        return False
    return sum(len(tokens) for _, tokens, _ in _live_tokens(snapshot)) >= LARGE_TOKENS


def is_new_needed(snapshot: Snapshot, codebook: Codebook | None, *, renew: bool) -> bool:
    """Whether a merge shall train a codebook.

    Args:
        snapshot: All that there is.
        codebook: The one in use.
        renew: Whether the merge rewrites everything, so that another one may take its place.
    """
    if codebook is None:
        return is_large(snapshot)
    return renew and has_drifted(snapshot, codebook)


def has_drifted(snapshot: Snapshot, codebook: Codebook) -> bool:
    """Whether token vectors lie too far from the centroids."""
    columns = [column for column in token_columns(snapshot) if column.cells is not None]
    weights = [int(column.offsets[-1]) for column in columns]
    if not sum(weights):
        return False
    mean = np.average([column.distortion for column in columns], weights=weights)
    return bool(mean > DRIFT * codebook.distortion + np.finfo(np.float32).eps)


def train(connection: sqlite3.Connection, snapshot: Snapshot) -> Codebook:
    """A codebook trained on token vectors of all live documents but those that measure it."""
    rng = np.random.default_rng(SEED)
    places = list(_live_tokens(snapshot))
    sample = _drawn([(c, tokens[of % MEASURING > 0]) for c, tokens, of in places], SAMPLE, rng)
    held_out = _drawn([(c, tokens[of % MEASURING == 0]) for c, tokens, of in places], HELD_OUT, rng)
    return Codebook.train(sample, held_out=held_out, key=next_codebook_key(connection))


def _drawn(places: Sequence[Place], count: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Some token vectors of all, in random order."""
    starts = np.cumsum([0, *(len(tokens) for _, tokens in places)])
    total = int(starts[-1])
    chosen = np.sort(rng.choice(total, min(total, count), replace=False))
    bounds = np.searchsorted(chosen, starts)
    found = [
        column.decode_tokens(tokens[chosen[start:stop] - base])
        for (column, tokens), start, stop, base in zip(
            places, bounds, bounds[1:], starts, strict=False
        )
    ]
    return rng.permutation(np.concatenate(found))


def token_columns(snapshot: Snapshot) -> Iterator[MultiVectorColumn]:
    """The token vectors of each segment; none where the index does not store them."""
    for part in snapshot.parts:
        column = part.columns.get(Representation.MULTI_VECTOR)
        if isinstance(column, MultiVectorColumn):
            yield column


def _live_tokens(
    snapshot: Snapshot,
) -> Iterator[tuple[MultiVectorColumn, NDArray[np.int64], NDArray[np.int64]]]:
    """The tokens of live rows, by column, and which of the live documents each belongs to."""
    before = 0
    for part in snapshot.parts:
        column = part.columns.get(Representation.MULTI_VECTOR)
        if isinstance(column, MultiVectorColumn):
            lengths = np.diff(column.offsets)
            tokens = np.flatnonzero(np.repeat(part.live, lengths))
            live = lengths[part.live]
            yield column, tokens, np.repeat(np.arange(before, before + len(live)), live)
            before += len(live)
