"""When a collection gets its codebook, and when a new one."""

import sqlite3
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from tercet.embeddings import Representation
from tercet.indexes.codebooks import HELD_OUT, LARGE_DOCUMENTS, SAMPLE, Codebook
from tercet.indexes.local.codebook_rows import next_codebook_key
from tercet.indexes.local.multi_vector import MultiVectorColumn
from tercet.indexes.local.snapshot import Snapshot

LARGE_TOKENS = 100_000
"""A collection with fewer token vectors is searched exactly, too."""

DRIFT = 1.15
"""By so much 1 - cosine between tokens and centroids may grow until `compact` trains anew.

A codebook of a quarter of the cells loses a third (0.070 to 0.093 on gte-small's tokens of
scifact-en), and candidates with it; so this is about what half the cells would lose.
"""

SEED = 0


def is_large(snapshot: Snapshot) -> bool:
    """Whether token vectors are so many that cells pay."""
    if len(snapshot.live) < LARGE_DOCUMENTS:
        return False
    return sum(len(tokens) for _, tokens in _live_tokens(snapshot)) >= LARGE_TOKENS


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
    """A codebook trained on token vectors of all live documents."""
    places = list(_live_tokens(snapshot))
    sizes = [len(tokens) for _, tokens in places]
    total, rng = sum(sizes), np.random.default_rng(SEED)
    chosen = np.sort(rng.choice(total, min(total, SAMPLE + HELD_OUT), replace=False))
    bounds = np.searchsorted(chosen, np.cumsum([0, *sizes]))
    sample = np.concatenate(
        [
            column.decode_tokens(tokens[chosen[start:stop] - base])
            for (column, tokens), start, stop, base in zip(
                places, bounds, bounds[1:], np.cumsum([0, *sizes]), strict=False
            )
        ]
    )
    return Codebook.train(rng.permutation(sample), key=next_codebook_key(connection))


def token_columns(snapshot: Snapshot) -> Iterator[MultiVectorColumn]:
    """The token vectors of each segment; none where the index does not store them."""
    for part in snapshot.parts:
        column = part.columns.get(Representation.MULTI_VECTOR)
        if isinstance(column, MultiVectorColumn):
            yield column


def _live_tokens(snapshot: Snapshot) -> Iterator[tuple[MultiVectorColumn, NDArray[np.int64]]]:
    """The tokens of live rows, by column."""
    for part in snapshot.parts:
        column = part.columns.get(Representation.MULTI_VECTOR)
        if isinstance(column, MultiVectorColumn):
            live = np.repeat(part.live, np.diff(column.offsets))
            yield column, np.flatnonzero(live)
