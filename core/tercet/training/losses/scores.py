"""Scores of queries and documents in one batch, differentiable: each against each, or its own.

Q queries, N documents. The functions that start with `own_` take n documents a query, one query's
after another, and score only those.
"""

import torch
from torch import Tensor

from tercet.embeddings import Reduction
from tercet.training.losses.late_interaction import best_similarities
from tercet.training.models.model import LexicalWeights, TokenVectors


def dense_scores(queries: Tensor, documents: Tensor) -> Tensor:
    """Inner products, [Q, N].

    Args:
        queries: Vectors, [Q, E].
        documents: Vectors, [N, E].
    """
    return queries @ documents.T


def own_dense_scores(queries: Tensor, documents: Tensor) -> Tensor:
    """Inner products with a query's own documents, [Q, n].

    Args:
        queries: Vectors, [Q, E].
        documents: Vectors, [Q * n, E].
    """
    own = documents.view(len(queries), -1, documents.shape[1])  # [Q, n, E]
    return torch.einsum("qe,qne->qn", queries, own)


def sparse_scores(queries: LexicalWeights, documents: LexicalWeights) -> Tensor:
    """Sums of the products of lexical weights of common terms, [Q, N].

    A term that repeats counts with its largest weight: s(q, d) = sum_t max w_q(t) * max w_d(t).

    Args:
        queries: Of Q texts.
        documents: Of N texts.
    """
    terms = torch.unique(queries.ids)
    return _by_term(queries, terms) @ _by_term(documents, terms).T


def own_sparse_scores(queries: LexicalWeights, documents: LexicalWeights) -> Tensor:
    """The same with a query's own documents, [Q, n].

    Args:
        queries: Of Q texts.
        documents: Of Q * n texts.
    """
    terms = torch.unique(queries.ids)
    return own_dense_scores(_by_term(queries, terms), _by_term(documents, terms))


def multi_vector_scores(
    queries: TokenVectors, documents: TokenVectors, *, reduction: Reduction
) -> Tensor:
    """Late interaction, [Q, N]: s(q, d) = sum_i max_j <q_i, d_j>.

    Args:
        queries: Of Q texts.
        documents: Of N texts.
        reduction: "mean" divides by the query's tokens, as BGE-M3 does.
    """
    flat = queries.vectors.flatten(0, 1).unsqueeze(0)  # [1, Q * L, D]
    best = best_similarities(flat, documents.vectors.unsqueeze(0), documents.mask.unsqueeze(0))
    return _reduced(best.view(*queries.mask.shape, -1), queries.mask, reduction)


def own_multi_vector_scores(
    queries: TokenVectors, documents: TokenVectors, *, reduction: Reduction
) -> Tensor:
    """Late interaction with a query's own documents, [Q, n].

    Args:
        queries: Of Q texts.
        documents: Of Q * n texts.
        reduction: "mean" divides by the query's tokens.
    """
    length, dim = documents.vectors.shape[1:]
    own = (len(queries.mask), -1, length)
    best = best_similarities(
        queries.vectors, documents.vectors.view(*own, dim), documents.mask.view(own)
    )
    return _reduced(best, queries.mask, reduction)


def _by_term(texts: LexicalWeights, terms: Tensor) -> Tensor:
    """The largest weight of each of the terms in each text, [N, terms].

    Args:
        texts: Of N texts.
        terms: Term ids, ascending.
    """
    columns = torch.searchsorted(terms, texts.ids).clamp_max(len(terms) - 1)
    weights = texts.weights * (terms[columns] == texts.ids)
    table = weights.new_zeros(len(weights), len(terms))
    return table.scatter_reduce(1, columns, weights, "amax")


def _reduced(best: Tensor, mask: Tensor, reduction: Reduction) -> Tensor:
    """The sum or mean over query tokens, [Q, L, N] -> [Q, N]."""
    sums = torch.einsum("qln,ql->qn", best, mask.to(best.dtype))
    return sums / mask.sum(dim=1, keepdim=True) if reduction == "mean" else sums
