import json
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tercet.testing.checkpoints import write_bge_m3
from tercet.training.loop.ranking_batches import RankingBatch
from tercet.training.losses.infonce import info_nce
from tercet.training.losses.m3 import V1, V4, M3Form, contrastive, m3_loss
from tercet.training.models.opening import open_model
from tercet.training.stages.m3 import (
    HIDDEN,
    M3,
    M3Objective,
    hide_copies,
    own_columns,
    scores_of_views,
)

Q, N, TEMPERATURE = 3, 6, 0.5
TARGETS = torch.tensor([0, 2, 4])


@pytest.fixture
def scores() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(Q, N, generator=generator).requires_grad_() for _ in range(3)]


def slow_softmax(row: Tensor) -> list[Tensor]:
    powers = [(score / TEMPERATURE).exp() for score in row]
    return [power / sum(powers) for power in powers]


def slow_infonce(scores: Tensor) -> Tensor:
    losses = [-slow_softmax(scores[q])[TARGETS[q]].log() for q in range(Q)]
    return torch.stack(losses).mean()


def slow_distillation(scores: Tensor, teacher: Tensor) -> Tensor:
    losses = []
    for q in range(Q):
        wanted, found = slow_softmax(teacher[q].detach()), slow_softmax(scores[q])
        losses.append(-sum(p * f.log() for p, f in zip(wanted, found, strict=True)))
    return torch.stack(losses).mean()


def slow_m3(scores: list[Tensor], form: M3Form) -> tuple[Tensor, Tensor]:
    dense, sparse, late = scores
    w, share = form.weights, form.shares
    summed = w[0] * dense + w[1] * sparse + w[2] * late
    labelled = (
        share[0] * slow_infonce(dense)
        + share[1] * slow_infonce(sparse)
        + share[2] * slow_infonce(late)
        + slow_infonce(summed)
    ) / 4
    distilled = (
        share[0] * slow_distillation(dense, summed)
        + share[1] * slow_distillation(sparse, summed)
        + share[2] * slow_distillation(late, summed)
    ) / 3
    return labelled, distilled


def assert_same(fast: Tensor, slow: Tensor, scores: list[Tensor]) -> None:
    assert fast.item() == pytest.approx(slow.item(), rel=1e-6)
    mine, plain = torch.autograd.grad(fast, scores), torch.autograd.grad(slow, scores)
    for ours, theirs in zip(mine, plain, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-6)


def test_infonce_is_the_mean_surprise_at_the_positive(scores: list[Tensor]) -> None:
    fast = info_nce(scores[0], TARGETS, temperature=TEMPERATURE)
    assert_same(fast, slow_infonce(scores[0]), scores[:1])


def test_infonce_of_two_equal_documents_is_the_logarithm_of_two() -> None:
    loss = info_nce(torch.tensor([[3.0, 3.0]]), torch.tensor([0]), temperature=0.02)
    assert loss.item() == pytest.approx(math.log(2))


def test_the_loss_of_v4_weighs_the_sparse_view_less_and_takes_the_mean(
    scores: list[Tensor],
) -> None:
    labelled, distilled = slow_m3(scores, M3Form((1, 0.3, 1), (1, 0.1, 1), 0.5))
    fast = m3_loss(scores, TARGETS, temperature=TEMPERATURE, form=V4)
    assert_same(fast, (labelled + distilled) / 2, scores)


def test_the_loss_of_v1_weighs_all_views_alike_and_takes_the_sum(scores: list[Tensor]) -> None:
    labelled, distilled = slow_m3(scores, M3Form((1, 1, 1), (1, 1, 1), 1.0))
    fast = m3_loss(scores, TARGETS, temperature=TEMPERATURE, form=V1)
    assert_same(fast, labelled + distilled, scores)


def test_without_self_distillation_the_contrastive_part_is_left(scores: list[Tensor]) -> None:
    labelled, _ = slow_m3(scores, V4)
    fast = contrastive(scores, TARGETS, temperature=TEMPERATURE)
    assert_same(fast, labelled, scores)


def test_a_copy_of_the_positive_is_no_negative_and_makes_no_nan(scores: list[Tensor]) -> None:
    names = torch.tensor([7, 1, 2, 3, 7, 5])  # the first query's positive is the third's too
    own = own_columns(Q, 2, first=0, device=names.device)
    seen = [hide_copies(score, names, own) for score in scores]
    hidden = (seen[0] == HIDDEN).nonzero().tolist()
    assert hidden == [[0, 4], [2, 0]]
    loss = m3_loss(seen, own[:, 0], temperature=0.02)
    assert torch.isfinite(loss)
    assert all(torch.isfinite(g).all() for g in torch.autograd.grad(loss, scores))


def test_a_teacher_s_scores_add_what_each_view_misses_of_its_ranking(tmp_path: Path) -> None:
    model = open_model(write_bge_m3(tmp_path / "model", positions=130)).eval()
    queries, texts = model.query_batch(["where", "who"]), ["here", "there", "he", "she"]
    documents, names = model.document_batch(texts), torch.arange(4)
    teacher = torch.tensor([[3.0, 1.0], [0.5, 2.0]])
    batch = RankingBatch(queries, documents, names, teacher)
    bare = M3Objective(M3(temperature=0.1))(model, batch)
    taught = M3Objective(M3(temperature=0.1, teacher_share=2.0, teacher_temperature=0.5))
    scores = scores_of_views(model(queries), model(documents), model.spec)
    missed = []
    for score in scores:
        for q in range(2):
            wanted = (teacher[q] / 0.5).softmax(0)
            found = (score[q, 2 * q : 2 * q + 2] / 0.1).log_softmax(0)
            missed.append(-(wanted * found).sum())
    more = 2.0 * torch.stack(missed).mean()
    assert taught(model, batch).item() == pytest.approx((bare + more).item(), rel=1e-5)


@pytest.mark.parametrize("kind", ["contrastive", "self_distilled"])
def test_loss_and_gradients_are_those_of_flagembedding(tmp_path: Path, kind: str) -> None:
    golden = json.loads(Path(__file__).with_name("m3_loss.json").read_text())
    folder = write_bge_m3(tmp_path / "model", positions=130)
    config = (folder / "config.json").read_text()
    (folder / "config.json").write_text(config.replace('_prob": 0.1', '_prob": 0.0'))
    model = open_model(folder).train()
    documents = model.document_batch(golden["documents"], tokens=golden["document_tokens"])
    batch = RankingBatch(
        model.query_batch(golden["queries"]), documents, torch.arange(len(documents))
    )
    distils = kind == "self_distilled"
    settings = M3(temperature=golden["temperature"], self_distillation=distils)
    loss = M3Objective(settings)(model, batch)
    loss.backward()
    assert loss.item() == pytest.approx(golden[kind]["loss"], rel=1e-5)
    found = {n: p.grad for n, p in model.backbone.named_parameters()}
    assert model.sparse_layer is not None
    assert model.multi_vector_layers is not None
    found["sparse.weight"] = model.sparse_layer.weight.grad
    found["multi_vector.0.bias"] = dict(model.multi_vector_layers.named_parameters())[
        "layers.0.linear.bias"
    ].grad
    for name, length in golden[kind]["gradients"].items():
        gradient = found[name]
        assert gradient is not None
        assert gradient.norm().item() == pytest.approx(length, rel=1e-4), name
