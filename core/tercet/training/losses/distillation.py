"""N-way distillation: a student ranks the documents of a query as a teacher does."""

from typing import Literal

from torch import Tensor
from torch.nn import functional

MinMax = Literal["both", "teacher", "none"]
"""Whose scores are stretched to [0, 1] a query: JaColBERTv2.5 found "both" best."""

NARROWEST = 1e-6
"""Scores whose range is smaller count as equal: they are shifted, not stretched."""


def n_way_distillation(student: Tensor, teacher: Tensor, *, normalise: MinMax = "both") -> Tensor:
    """Divergence of the student's distribution over a query's documents from the teacher's.

    With p the softmax of the teacher's scores of one query, q that of the student's, the mean over
    queries of
        KL(p || q) = sum_n p_n (log p_n - log q_n)
    Which document is labelled relevant plays no part.

    Args:
        student: Scores of the model in training, [N, n].
        teacher: Scores of another one for the same documents, [N, n]; no gradient flows there.
        normalise: Whose scores are first stretched so that the least of a query is 0 and the
            largest 1.

    Requirements:
        At least two documents a query; no other query's documents, since the teacher has not
        scored them.

    Relations:
        `m3.py` distils from a sum of the model's own views; `infonce.py` learns from labels.

    Returns:
        A scalar.

    Source: Clavié 2024, "JaColBERTv2.5", arXiv 2407.20750; with "none" the distillation of
        Jina-ColBERT-v2's triplet stage, arXiv 2408.16672.
    """
    teacher = teacher.detach()
    if normalise != "none":
        teacher = min_max(teacher)
    if normalise == "both":
        student = min_max(student)
    return functional.kl_div(
        functional.log_softmax(student, dim=1),
        functional.log_softmax(teacher, dim=1),
        log_target=True,
        reduction="batchmean",
    )


def min_max(scores: Tensor) -> Tensor:
    """Stretch the scores of each query to [0, 1]; equal ones become 0, and stay trainable.

    Args:
        scores: Of some documents, [N, n].

    Returns:
        The same order, [N, n].
    """
    least = scores.amin(dim=1, keepdim=True)  # [N, 1]
    width = scores.amax(dim=1, keepdim=True) - least
    return (scores - least) / width.where(width > NARROWEST, 1.0)
