"""The loss of BGE-M3: three views and their sum learn from labels, and the views from the sum."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from tercet.training.losses.infonce import info_nce


@dataclass(frozen=True, slots=True)
class M3Form:
    """The numbers in which the editions of the paper differ, for dense, sparse, multi-vector.

    Attributes:
        weights: w: of the views in the summed score.
        shares: lambda: of the views' losses.
        scale: Of the sum of both losses.
    """

    weights: tuple[float, float, float]
    shares: tuple[float, float, float]
    scale: float


V4 = M3Form((1.0, 0.3, 1.0), (1.0, 0.1, 1.0), scale=0.5)
"""arXiv v4, ACL Findings 2024, and the released code: an untrained lexical head counts less."""

V1 = M3Form((1.0, 1.0, 1.0), (1.0, 1.0, 1.0), scale=1.0)
"""arXiv v1 to v3: an unweighted sum, and L + L'."""

FORMS = {"v4": V4, "v1": V1}


def contrastive(
    scores: Sequence[Tensor], targets: Tensor, *, temperature: float, form: M3Form = V4
) -> Tensor:
    """InfoNCE of each view and of their weighted sum.

        L = (l1 L_dense + l2 L_lex + l3 L_mul + L_inter) / 4
        s_inter = w1 s_dense + w2 s_lex + w3 s_mul

    Args:
        scores: Of the dense, sparse and multi-vector view, each [Q, N].
        targets: Column of each query's positive, [Q].
        temperature: tau of every InfoNCE.
        form: w and l.

    Returns:
        A scalar.

    Requirements:
        One positive a query among the documents of the batch.

    Relations:
        What is left of `m3_loss` without self-knowledge distillation.

    Source: Chen et al. 2024, "M3-Embedding", arXiv 2402.03216v4, section 3.3.
    """
    of_views = sum(
        share * info_nce(score, targets, temperature=temperature)
        for share, score in zip(form.shares, scores, strict=True)
    )
    summed = info_nce(inter_scores(scores, form), targets, temperature=temperature)
    return (of_views + summed) / 4


def m3_loss(
    scores: Sequence[Tensor], targets: Tensor, *, temperature: float, form: M3Form = V4
) -> Tensor:
    """The contrastive loss, averaged with self-knowledge distillation.

        L'_* = - softmax(s_inter / tau) log softmax(s_* / tau), the teacher detached
        L' = (l1 L'_dense + l2 L'_lex + l3 L'_mul) / 3
        L_final = (L + L') / 2, or L + L' in v1

    Args:
        scores: Of the dense, sparse and multi-vector view, each [Q, N].
        targets: Column of each query's positive, [Q].
        temperature: tau.
        form: The edition of the paper.

    Returns:
        A scalar.

    Requirements:
        As `contrastive`.

    Relations:
        `distillation.py` learns from another model's scores, this from the model's own sum.

    Source: Chen et al. 2024, "M3-Embedding", arXiv 2402.03216v4, section 3.3.
    """
    labelled = contrastive(scores, targets, temperature=temperature, form=form)
    teacher = functional.softmax(inter_scores(scores, form).detach().float() / temperature, dim=1)
    distilled = sum(
        share * distil(score, teacher, temperature=temperature)
        for share, score in zip(form.shares, scores, strict=True)
    )
    return form.scale * (labelled + distilled / 3)


def inter_scores(scores: Sequence[Tensor], form: M3Form) -> Tensor:
    """The weighted sum of the views, [Q, N]."""
    first, *others = (
        weight * score.float() for weight, score in zip(form.weights, scores, strict=True)
    )
    return sum(others, start=first)


def distil(student: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
    """Cross entropy of a student with a teacher's distribution, the mean over queries.

        - (1/Q) sum_q sum_n p_teacher[q, n] log softmax(s[q] / tau)[n]

    Args:
        student: Scores, [Q, N].
        teacher: Probabilities, each row sums to 1, [Q, N].
        temperature: tau of the student.
    """
    return functional.cross_entropy(student.float() / temperature, teacher)
