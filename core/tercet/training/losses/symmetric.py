"""The contrastive loss of pairs, in both directions."""

import torch
from torch import Tensor
from torch.nn import functional


def symmetric_contrastive(scores: Tensor, *, temperature: float) -> Tensor:
    """Each query finds its document, and each document its query.

    The mean of InfoNCE along the rows and along the columns of one matrix:
        L = -1/2N sum_i (log softmax_j(s_ij / t)[i] + log softmax_j(s_ji / t)[i])

    Args:
        scores: Of every query and every document; those on the diagonal belong together, [N, N].
        temperature: t.

    Requirements:
        Pairs of one batch that do not answer one another.

    Relations:
        `infonce.py` looks from the queries alone and takes hard negatives.

    Returns:
        A scalar.

    Raises:
        ValueError: The matrix is not square.

    Source: the pair stage of Jina-ColBERT-v2, arXiv 2408.16672; the form of CLIP, arXiv
        2103.00020, figure 3.
    """
    queries, documents = scores.shape
    if queries != documents:
        raise ValueError(
            f"{queries} queries and {documents} documents are no pairs: the symmetric loss takes "
            "one document a query and no further negatives"
        )
    logits = scores / temperature
    own = torch.arange(queries, device=scores.device)
    rows = functional.cross_entropy(logits, own)
    columns = functional.cross_entropy(logits.T, own)
    return (rows + columns) / 2
