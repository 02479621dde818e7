"""What masked words are guessed with: the head over the vocabulary, and RetroMAE's decoder."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from tercet.training.guessing import vocabulary_head
from tercet.training.guessing.enhanced_decoding import EnhancedDecoder, sinusoids, visible_tokens
from tercet.training.guessing.masking import UNSCORED
from tercet.training.guessing.vocabulary_head import VocabularyHead


@pytest.fixture
def head() -> VocabularyHead:
    torch.manual_seed(0)
    return VocabularyHead(vocabulary=11, hidden=4).double()


@pytest.fixture
def table() -> torch.Tensor:
    torch.manual_seed(1)
    return nn.Embedding(11, 4).weight.double().detach().requires_grad_()


def test_the_loss_over_slices_is_that_over_all_rows(
    head: VocabularyHead, table: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = torch.randn(2, 6, 4, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(0, 11, (2, 6))
    labels[0, :3] = UNSCORED
    whole = functional.cross_entropy(head(states, table).flatten(0, 1), labels.flatten())
    (expected,) = torch.autograd.grad(whole, states)
    monkeypatch.setattr(vocabulary_head, "ROWS_AT_ONCE", 2)
    sliced = head.loss(states, labels, table)
    (found,) = torch.autograd.grad(sliced, states)
    torch.testing.assert_close(sliced, whole)
    torch.testing.assert_close(found, expected)


def test_nothing_to_guess_costs_nothing(head: VocabularyHead, table: torch.Tensor) -> None:
    nothing = torch.full((1, 3), UNSCORED)
    assert head.loss(torch.randn(1, 3, 4).double(), nothing, table).item() == 0


def test_the_embedding_table_learns_from_guesses(head: VocabularyHead, table: torch.Tensor) -> None:
    head.loss(torch.randn(1, 3, 4).double(), torch.tensor([[1, 2, 3]]), table).backward()
    assert table.grad is not None


def test_a_place_sees_the_vector_and_never_its_own_token_or_padding() -> None:
    real = torch.tensor([[True] * 6, [True] * 4 + [False] * 2])
    seen = visible_tokens(real, hidden=0.0, generator=torch.Generator().manual_seed(0))
    assert seen[:, :, 0].all()
    own = torch.eye(6, dtype=torch.bool)[1:]
    assert not seen[:, 1:][:, own].any()
    assert not seen[1, :, 4:].any()
    assert seen[0, 1].tolist() == [True, False, True, True, True, True]
    none = visible_tokens(real, hidden=1.0, generator=torch.Generator().manual_seed(0))
    assert none.sum() == 12  # the vector alone


def test_what_a_place_sees_is_drawn_for_each_place() -> None:
    real = torch.ones(1, 40, dtype=torch.bool)
    seen = visible_tokens(real, hidden=0.5, generator=torch.Generator().manual_seed(3))
    assert seen.float().mean().item() == pytest.approx(0.5, abs=0.05)
    assert not torch.equal(seen[0, 5], seen[0, 6])
    again = visible_tokens(real, hidden=0.5, generator=torch.Generator().manual_seed(3))
    assert torch.equal(seen, again)


def test_a_rebuilt_place_depends_on_the_vector_and_on_the_tokens_it_sees_alone() -> None:
    torch.manual_seed(0)
    decoder = EnhancedDecoder(hidden=8, heads=2, intermediate=16)
    vector, embedded = torch.randn(1, 8), torch.randn(1, 5, 8)
    visible = torch.zeros(1, 5, 5, dtype=torch.bool)
    visible[:, :, 0] = True
    visible[0, 2, 4] = True
    states = decoder(vector, embedded, visible)
    changed = embedded.clone()
    changed[0, 4] += torch.randn(8)
    moved = (decoder(vector, changed, visible) - states).abs().amax(dim=2)[0]
    assert moved[2] > 0
    assert moved[[0, 1, 3, 4]].max() == 0
    assert (decoder(vector + torch.randn(8), embedded, visible) != states).any(dim=2).all()


def test_the_decoder_takes_the_place_of_each_token_from_the_sinusoids() -> None:
    waves = sinusoids(3, 4)
    assert waves.shape == (3, 4)
    assert waves[0].tolist() == [0, 1, 0, 1]
    assert waves[1, 0].item() == pytest.approx(0.841471)  # sin 1
