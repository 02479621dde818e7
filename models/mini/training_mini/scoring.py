"""Scores of queries against documents that gradients pass through."""

import numpy as np
import torch
from torch.nn import functional

from training_mini.student import Read

DROPPED = (0, 100, 101, 102)  # [PAD], [UNK], [CLS], [SEP]


def late_interaction(similarity: torch.Tensor, queries: Read, documents: Read) -> torch.Tensor:
    """Take the mean over query tokens of their best match in each document.

    Args:
        similarity: Of every query token to every document token, [Q, D].
        queries: Whose tokens the rows are.
        documents: Whose tokens the columns are.

    Returns:
        Scores, [N queries, N documents].
    """
    starts = np.cumsum([0, *documents.lengths[:-1]]).tolist()
    parts = torch.split(similarity.detach(), documents.lengths, dim=1)
    best = [part.argmax(dim=1) + start for part, start in zip(parts, starts, strict=True)]
    matches = similarity.gather(1, torch.stack(best, dim=1))  # -> [Q, N documents]
    total = torch.zeros(len(queries.lengths), matches.shape[1])
    total = total.index_add(0, queries.owner, matches)
    return total / torch.tensor(queries.lengths)[:, None]


def dense_vectors(states: torch.Tensor, texts: Read) -> torch.Tensor:
    """Pool the states of each text: their mean at unit length, [N, 384]."""
    total = torch.zeros(len(texts.lengths), states.shape[1])
    return functional.normalize(total.index_add(0, texts.owner, states), dim=1)


def lexical_scores(
    queries: Read, query_weights: torch.Tensor, documents: Read, weights: torch.Tensor
) -> torch.Tensor:
    """Sum the products of the weights that a query and a document give to the same token id.

    Args:
        queries: The queries.
        query_weights: Of each of their tokens, [Q].
        documents: The documents.
        weights: Of each of their tokens, [D].

    Returns:
        Scores, [N queries, N documents].
    """
    terms = torch.unique(queries.ids)
    terms = terms[~torch.isin(terms, torch.tensor(DROPPED))]
    return _largest(queries, query_weights, terms) @ _largest(documents, weights, terms).T


def _largest(texts: Read, weights: torch.Tensor, terms: torch.Tensor) -> torch.Tensor:
    """Give each text the largest weight of each of the terms, [N, terms]."""
    column = torch.searchsorted(terms, texts.ids).clamp(max=len(terms) - 1)
    known = terms[column] == texts.ids
    cells = texts.owner[known] * len(terms) + column[known]
    empty = torch.zeros(len(texts.lengths) * len(terms))
    found: torch.Tensor = empty.scatter_reduce(0, cells, weights[known], "amax")
    return found.reshape(len(texts.lengths), len(terms))
