"""How the views of documents become the arrays of a segment, by view."""

from collections.abc import Callable, Mapping
from typing import Any

from tercet.embeddings import Representation
from tercet.indexes.local.columns.context import Context
from tercet.indexes.local.columns.dense import DenseColumn
from tercet.indexes.local.columns.multi_vector_rows import merge_tokens, store_tokens
from tercet.indexes.local.columns.sparse import SparseColumn
from tercet.indexes.local.files.segments import Column

Make = Callable[[Any, Context], dict[str, Column]]

STORE: Mapping[Representation, Make] = {
    Representation.DENSE: lambda vectors, context: DenseColumn.store(
        vectors, context.storage.dense
    ),
    Representation.SPARSE: lambda weights, _: SparseColumn.store(weights),
    Representation.MULTI_VECTOR: store_tokens,
}
"""The arrays of a new segment, from a view of its documents."""

MERGE: Mapping[Representation, Make] = {
    Representation.DENSE: lambda parts, its: DenseColumn.merge(parts, its.storage.dense),
    Representation.SPARSE: lambda parts, _: SparseColumn.merge(parts),
    Representation.MULTI_VECTOR: merge_tokens,
}
"""The arrays of a new segment, from columns of others and the rows to take of each."""
