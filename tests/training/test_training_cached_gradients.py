from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tercet.testing.checkpoints import write_bge_m3, write_tercet
from tercet.training.loop import cached_gradients
from tercet.training.loop.cached_gradients import encode
from tercet.training.losses.m3 import m3_loss
from tercet.training.models.model import TrainingModel
from tercet.training.models.opening import open_model
from tercet.training.stages.m3 import scores_of_views

QUERIES = ["where is it", "who was that long ago in the hills", "what", "why not"]
DOCUMENTS = [f"it is {'far and ' * (3 * n)}near" for n in range(8)]


def loss_and_gradients(model: TrainingModel, tokens: int | None) -> tuple[float, list[Tensor]]:
    torch.manual_seed(4)  # of dropout
    model.zero_grad()
    queries = encode(model, model.query_batch(QUERIES), tokens=tokens)
    documents = encode(model, model.document_batch(DOCUMENTS), tokens=tokens)
    scores = scores_of_views(queries, documents, model.spec)
    loss = m3_loss(scores, torch.arange(0, 8, 2), temperature=0.1)
    loss.backward()  # type: ignore[no-untyped-call]
    return loss.item(), [p.grad for p in model.parameters() if p.grad is not None]


@pytest.mark.parametrize("write", [write_bge_m3, write_tercet])
def test_cached_gradients_are_the_uncached_ones_with_dropout_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], Path]
) -> None:
    model = open_model(write(tmp_path / "model")).train()
    cached = loss_and_gradients(model, tokens=60)
    with monkeypatch.context() as patch:
        patch.setattr(cached_gradients, "_again", lambda model, texts: model(texts))
        plain = loss_and_gradients(model, tokens=60)  # the same sub-batches, all activations kept
    model.checkpoint_layers()  # inside of sub-batches, which are run again themselves
    twice = loss_and_gradients(model, tokens=60)
    assert len(cached[1]) > 20
    for loss, gradients in (cached, twice):
        assert loss == pytest.approx(plain[0], rel=1e-6)
        for ours, theirs in zip(gradients, plain[1], strict=True):
            assert torch.allclose(ours, theirs, atol=1e-6)


def test_sub_batches_change_nothing_but_memory(tmp_path: Path) -> None:
    model = open_model(write_tercet(tmp_path / "model")).eval()
    together, apart = (loss_and_gradients(model, tokens=tokens) for tokens in (None, 40))
    assert together[0] == pytest.approx(apart[0], rel=1e-5)
    for ours, theirs in zip(together[1], apart[1], strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)


def test_no_activation_of_a_finished_sub_batch_is_kept(tmp_path: Path) -> None:
    model = open_model(write_tercet(tmp_path / "model")).train()
    kept: list[int] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor.numel())
        return tensor

    batch = model.document_batch(DOCUMENTS)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        views = encode(model, batch, tokens=60)
    outside = sum(kept)
    kept.clear()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        encode(model, batch)
    assert views.dense is not None
    assert outside * 5 < sum(kept)
