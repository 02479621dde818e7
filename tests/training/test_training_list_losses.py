"""The losses of the late interaction papers, against slow formulations."""

import math

import pytest
import torch

from tercet.training.losses.distillation import min_max, n_way_distillation
from tercet.training.losses.matryoshka import matryoshka_sum, prefix
from tercet.training.losses.symmetric import symmetric_contrastive


def softmax(scores: list[float]) -> list[float]:
    powers = [math.exp(score) for score in scores]
    return [power / sum(powers) for power in powers]


def stretch(scores: list[float]) -> list[float]:
    return [(score - min(scores)) / (max(scores) - min(scores)) for score in scores]


def slow_divergence(student: list[list[float]], teacher: list[list[float]], how: str) -> float:
    total = 0.0
    for guessed, given in zip(student, teacher, strict=True):
        p = softmax(given if how == "none" else stretch(given))
        q = softmax(stretch(guessed) if how == "both" else guessed)
        total += sum(a * (math.log(a) - math.log(b)) for a, b in zip(p, q, strict=True))
    return total / len(student)


@pytest.mark.parametrize("how", ["both", "teacher", "none"])
def test_n_way_distillation_is_the_mean_divergence_of_the_queries(how: str) -> None:
    generator = torch.Generator().manual_seed(0)
    student = torch.randn(3, 5, generator=generator, dtype=torch.float64) * 4
    teacher = torch.randn(3, 5, generator=generator, dtype=torch.float64) * 7
    found = n_way_distillation(student, teacher, normalise=how)
    assert found.item() == pytest.approx(slow_divergence(student.tolist(), teacher.tolist(), how))


def test_a_student_that_ranks_as_its_teacher_on_another_scale_has_nothing_to_learn() -> None:
    teacher = torch.tensor([[-3.0, 9.0, 1.0, 2.0]])
    assert n_way_distillation(teacher * 5 + 2, teacher).item() == pytest.approx(0, abs=1e-6)
    assert n_way_distillation(teacher * 5 + 2, teacher, normalise="teacher").item() > 1


def test_gradients_of_n_way_distillation_are_those_of_the_formula() -> None:
    student = torch.tensor(
        [[0.3, 1.7, -0.4], [2.0, 0.1, 0.7]], dtype=torch.float64, requires_grad=True
    )
    teacher = torch.tensor([[1.0, 3.0, 2.0], [0.5, 0.2, 0.9]], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda s: n_way_distillation(s, teacher), student)
    assert torch.autograd.gradcheck(
        lambda s: n_way_distillation(s, teacher, normalise="none"), student
    )


def test_no_gradient_reaches_the_teacher() -> None:
    teacher = torch.randn(2, 3, requires_grad=True)
    student = torch.randn(2, 3, requires_grad=True)
    n_way_distillation(student, teacher).backward()
    assert teacher.grad is None
    assert student.grad is not None


def test_equal_scores_are_an_even_distribution_with_a_gradient_of_ordinary_size() -> None:
    student = torch.full((1, 4), 3.0, requires_grad=True)
    teacher = torch.tensor([[4.0, 3.0, 2.0, 1.0]])
    n_way_distillation(student, teacher).backward()
    assert student.grad is not None
    assert student.grad.isfinite().all()
    assert student.grad.abs().max() < 1
    assert student.grad[0, 0] < 0 < student.grad[0, 3]  # the best document is to rise
    even = n_way_distillation(torch.zeros(1, 4), torch.full((1, 4), 8.0))
    assert even.item() == pytest.approx(0, abs=1e-7)


def test_min_max_stretches_each_query_by_itself() -> None:
    stretched = min_max(torch.tensor([[2.0, 4.0, 3.0], [-1.0, -1.0, 1.0], [5.0, 5.0, 5.0]]))
    assert stretched.tolist() == [[0, 1, 0.5], [0, 0, 1], [0, 0, 0]]


def test_the_symmetric_loss_is_infonce_along_rows_and_columns() -> None:
    scores = torch.tensor([[0.9, 0.2], [0.4, 0.7]], dtype=torch.float64, requires_grad=True)
    rows = [-math.log(softmax([0.9 / 0.1, 0.2 / 0.1])[0])]
    rows.append(-math.log(softmax([0.4 / 0.1, 0.7 / 0.1])[1]))
    columns = [-math.log(softmax([0.9 / 0.1, 0.4 / 0.1])[0])]
    columns.append(-math.log(softmax([0.2 / 0.1, 0.7 / 0.1])[1]))
    found = symmetric_contrastive(scores, temperature=0.1)
    assert found.item() == pytest.approx((sum(rows) + sum(columns)) / 4)
    assert torch.autograd.gradcheck(lambda s: symmetric_contrastive(s, temperature=0.5), scores)


def test_pairs_with_further_negatives_are_refused() -> None:
    with pytest.raises(ValueError, match="2 queries and 6 documents are no pairs"):
        symmetric_contrastive(torch.zeros(2, 6), temperature=1)


def test_the_matryoshka_sum_weighs_each_width() -> None:
    losses = {64: torch.tensor(2.0), 128: torch.tensor(3.0), 768: torch.tensor(5.0)}
    assert matryoshka_sum(losses, weights={}).item() == 10
    assert matryoshka_sum(losses, weights={64: 0.5, 768: 0}).item() == 4
    with pytest.raises(ValueError, match=r"widths \[96\], but those trained are \[64, 128, 768\]"):
        matryoshka_sum(losses, weights={96: 1})


def test_a_prefix_of_a_vector_has_unit_length_again() -> None:
    vectors = torch.tensor([[3.0, 4.0, 12.0], [0.0, 2.0, 5.0]])
    torch.testing.assert_close(prefix(vectors, dim=2), torch.tensor([[0.6, 0.8], [0.0, 1.0]]))
