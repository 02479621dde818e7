"""One door to the three comparisons, by view."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from tercet.embeddings import Embeddings, MultiVectors, Reduction, Representation, SparseVectors
from tercet.errors import MissingViewError
from tercet.scoring.dense import inner_product
from tercet.scoring.multi_vector import maxsim
from tercet.scoring.sparse import lexical_match

Scores = NDArray[np.float32]


def view_scores(
    view: Representation, query: Embeddings, documents: Embeddings, *, reduction: Reduction
) -> Scores:
    """Score documents against one query in one view, [N].

    Args:
        view: Which of the three.
        query: The views of one text.
        documents: The views of N texts.
        reduction: How late interaction adds up query tokens.

    Raises:
        MissingViewError: The query or the documents lack the view.
    """
    left, right = getattr(query, view.value), getattr(documents, view.value)
    if left is None or right is None:
        side = "query" if left is None else "documents"
        raise MissingViewError(f"the {side} came without a {view} view")
    return _COMPARISONS[view](left, right, reduction)


def _dense(query: NDArray[np.float32], documents: NDArray[np.float32], _: Reduction) -> Scores:
    scores: Scores = inner_product(query, documents)[0]
    return scores


def _sparse(query: SparseVectors, documents: SparseVectors, _: Reduction) -> Scores:
    return lexical_match(query, documents)


def _multi_vector(query: MultiVectors, documents: MultiVectors, reduction: Reduction) -> Scores:
    return maxsim(query[0], documents, reduction=reduction)


_COMPARISONS: Mapping[Representation, Callable[..., Scores]] = {
    Representation.DENSE: _dense,
    Representation.SPARSE: _sparse,
    Representation.MULTI_VECTOR: _multi_vector,
}
