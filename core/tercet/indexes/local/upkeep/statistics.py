"""What an index holds, in numbers."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from tercet.embeddings import Representation
from tercet.indexes.local.files.catalog import Meta, read_meta
from tercet.indexes.local.files.segment_rows import count_dead
from tercet.indexes.local.reading.search import LocalReader
from tercet.indexes.local.reading.snapshot import Part, Snapshot
from tercet.indexes.local.writing.training import token_columns
from tercet.indexes.reader import IndexStats, TokenVectorStats


def stats_of(reader: LocalReader, folder: Path) -> IndexStats:
    """The numbers of one look at an index."""
    parts, meta = reader.snapshot.parts, read_meta(reader.connection)
    live = len(reader.snapshot.live)
    sizes = {view.value: _bytes_of_view(parts, view) for view in meta.representations}
    catalogue = _bytes_of(folder.glob("catalog.sqlite*"))
    return IndexStats(
        documents=live,
        segments=len(parts),
        tombstones=sum(len(part.live) for part in parts) - live,
        bytes={**sizes, "catalog": catalogue},
        generation=meta.generation,
        format=meta.format,
        spec=meta.spec,
        representations=meta.representations,
        disk=catalogue + _bytes_of(folder.glob("segments/*")),
        waiting=count_dead(reader.connection),
        token_vectors=_token_vectors(reader.snapshot, meta),
    )


def _bytes_of_view(parts: Sequence[Part], view: Representation) -> int:
    return sum(
        array.nbytes
        for part in parts
        for name, array in part.segment.arrays.items()
        if name.partition(".")[0] == view.value
    )


def _token_vectors(snapshot: Snapshot, meta: Meta) -> TokenVectorStats | None:
    if Representation.MULTI_VECTOR not in meta.representations:
        return None
    columns = list(token_columns(snapshot))
    counts = [int(column.offsets[-1]) for column in columns]
    codebooks = [column.cells.codebook for column in columns if column.cells is not None]
    size = _bytes_of_view(snapshot.parts, Representation.MULTI_VECTOR)
    codecs = {column.codec.name.partition(" ")[0] for column in columns}
    return TokenVectorStats(
        search="cells" if codebooks else "exact",
        count=sum(counts),
        codec=", ".join(sorted(codecs)) or meta.storage.tokens,
        pooling=meta.storage.pooling,
        bytes_each=size / max(1, sum(counts)),
        cells=max((len(codebook.centroids) for codebook in codebooks), default=0),
        distortion=_mean([column.distortion for column in columns], counts) if codebooks else 0.0,
        report=meta.report if codebooks else None,
    )


def _mean(values: Sequence[float], weights: Sequence[int]) -> float:
    return float(np.average(values, weights=weights)) if sum(weights) else 0.0


def _bytes_of(paths: Iterable[Path]) -> int:
    """Bytes of the files that are still there when their turn comes."""
    total = 0
    for path in paths:
        with suppress(FileNotFoundError):
            total += path.stat().st_size
    return total
