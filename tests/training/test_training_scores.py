from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from tercet.training.losses import late_interaction
from tercet.training.losses.scores import (
    dense_scores,
    multi_vector_scores,
    own_dense_scores,
    own_multi_vector_scores,
    own_sparse_scores,
    sparse_scores,
)
from tercet.training.models.model import LexicalWeights, TokenVectors

QUERIES, EACH, LENGTH, DIM = 3, 2, 5, 4


def leaf(*shape: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator).requires_grad_()


def mask(texts: int, seed: int) -> Tensor:
    found = torch.rand(texts, LENGTH, generator=torch.Generator().manual_seed(seed)) < 0.7
    found[:, 0] = True
    return found


def slow_maxsim(
    query: Tensor, kept: Tensor, document: Tensor, there: Tensor, *, mean: bool
) -> Tensor:
    total = torch.zeros(())
    for i in range(LENGTH):
        if kept[i]:
            rows = [j for j in range(LENGTH) if there[j]]
            total = total + torch.stack([query[i] @ document[j] for j in rows]).max()
    return total / kept.sum() if mean else total


def slow_lexical(query: LexicalWeights, q: int, document: LexicalWeights, d: int) -> Tensor:
    def largest(texts: LexicalWeights, n: int) -> dict[int, Tensor]:
        found: dict[int, Tensor] = {}
        for term, weight in zip(texts.ids[n].tolist(), texts.weights[n], strict=True):
            found[term] = torch.maximum(found[term], weight) if term in found else weight
        return found

    ours, theirs = largest(query, q), largest(document, d)
    common = [ours[term] * theirs[term] for term in ours if term in theirs]
    return torch.stack(common).sum() if common else torch.zeros(())


def gradients(scores: Tensor, leaves: list[Tensor]) -> list[Tensor]:
    weights = torch.linspace(-1, 2, scores.numel()).view_as(scores)
    return list(torch.autograd.grad((scores * weights).sum(), leaves, retain_graph=True))


def assert_same(fast: Tensor, slow: Tensor, leaves: list[Tensor]) -> None:
    assert torch.allclose(fast, slow, atol=1e-6)
    for mine, plain in zip(gradients(fast, leaves), gradients(slow, leaves), strict=True):
        assert torch.allclose(mine, plain, atol=1e-6)


@pytest.fixture(params=["in one block", "in many blocks"])
def blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    if request.param == "in many blocks":
        monkeypatch.setattr(late_interaction, "SIMILARITIES_AT_ONCE", 11)
    return


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_late_interaction_and_its_gradients_are_those_of_two_loops(reduction: str) -> None:
    q, d = leaf(QUERIES, LENGTH, DIM, seed=1), leaf(QUERIES * EACH, LENGTH, DIM, seed=2)
    q_mask, d_mask = mask(QUERIES, 3), mask(QUERIES * EACH, 4)
    queries, documents = TokenVectors(q, q_mask), TokenVectors(d, d_mask)

    def slow(n: int, m: int) -> Tensor:
        return slow_maxsim(q[n], q_mask[n], d[m], d_mask[m], mean=reduction == "mean")

    everything = [[slow(n, m) for m in range(QUERIES * EACH)] for n in range(QUERIES)]
    own = [[slow(n, n * EACH + m) for m in range(EACH)] for n in range(QUERIES)]
    fast = multi_vector_scores(queries, documents, reduction=reduction)  # type: ignore[arg-type]
    assert_same(fast, stack(everything), [q, d])
    fast = own_multi_vector_scores(queries, documents, reduction=reduction)  # type: ignore[arg-type]
    assert_same(fast, stack(own), [q, d])


def test_lexical_scores_and_their_gradients_are_those_of_a_loop_over_common_terms() -> None:
    generator = torch.Generator().manual_seed(5)
    ids = torch.randint(0, 6, (QUERIES * (1 + EACH), LENGTH), generator=generator)  # some repeat
    raw = leaf(QUERIES * (1 + EACH), LENGTH, seed=6)
    weights = torch.relu(raw)
    queries = LexicalWeights(weights[:QUERIES], ids[:QUERIES])
    documents = LexicalWeights(weights[QUERIES:], ids[QUERIES:])
    everything = [
        [slow_lexical(queries, n, documents, m) for m in range(QUERIES * EACH)]
        for n in range(QUERIES)
    ]
    own = [row[n * EACH : (n + 1) * EACH] for n, row in enumerate(everything)]
    assert_same(sparse_scores(queries, documents), stack(everything), [raw])
    assert_same(own_sparse_scores(queries, documents), stack(own), [raw])


def test_dense_scores_are_inner_products_of_all_or_of_a_query_s_own_documents() -> None:
    q, d = leaf(QUERIES, DIM, seed=7), leaf(QUERIES * EACH, DIM, seed=8)
    everything = [[q[n] @ d[m] for m in range(QUERIES * EACH)] for n in range(QUERIES)]
    own = [row[n * EACH : (n + 1) * EACH] for n, row in enumerate(everything)]
    assert_same(dense_scores(q, d), stack(everything), [q, d])
    assert_same(own_dense_scores(q, d), stack(own), [q, d])


def stack(rows: list[list[Tensor]]) -> Tensor:
    return torch.stack([torch.stack(row) for row in rows])
