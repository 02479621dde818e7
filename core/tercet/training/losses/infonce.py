"""InfoNCE: the positive against all other documents of the batch."""

from torch import Tensor
from torch.nn import functional


def info_nce(scores: Tensor, targets: Tensor, *, temperature: float) -> Tensor:
    """Cross entropy of the positive, the mean over queries.

        L = - (1/Q) sum_q log( exp(s[q, p(q)] / tau) / sum_n exp(s[q, n] / tau) )

    Args:
        scores: Every query against every document, [Q, N].
        targets: Column of each query's positive, [Q].
        temperature: tau.

    Returns:
        A scalar.

    Requirements:
        One positive a query; whatever else stands in the batch counts as a negative.

    Source: van den Oord et al. 2018, "Representation Learning with Contrastive Predictive Coding",
        equation 4.
    """
    return functional.cross_entropy(scores.float() / temperature, targets)
