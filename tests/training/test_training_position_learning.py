"""New positions learn to see in one pass what windows see."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tercet.testing.checkpoints import write_bge_m3, write_tercet
from tercet.training.loop.context import Context
from tercet.training.loop.optimisation import Optimisation
from tercet.training.models.model import TrainingModel
from tercet.training.models.opening import open_model
from tercet.training.positions.learning import LearnPositions, WindowedTexts
from tercet.training.positions.table import extend_positions, first_row, table_name
from tercet.training.stages.extend_positions import ExtendPositions

WORDS = ["late", "dense", "sparse", "token", "vector", "query", "index", "search", "model"]
LONG = [" ".join(WORDS[n:] + WORDS * 8) for n in range(4)]


class Texts:
    """Unlabelled texts, in memory."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = texts

    def texts(self) -> Sequence[str]:
        return self._texts


def table(model: TrainingModel) -> torch.Tensor:
    return model.backbone.get_parameter(table_name(model.backbone)).detach().clone()


def extended(folder: Path, *, positions: int, keep: int) -> tuple[TrainingModel, torch.Tensor]:
    model = open_model(folder)
    learned = table(model)
    extend_positions(model.backbone, positions=positions, keep=keep)
    model.spec = replace(model.spec, max_tokens=positions)
    return model, learned


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tercet(tmp_path_factory.mktemp("short"), positions=32, quantise=False)


def test_a_text_that_one_window_holds_needs_nothing_new(short: Path) -> None:
    model, learned = extended(short, positions=200, keep=31)
    rows = first_row(model.backbone) + 31
    objective = LearnPositions(model, learned=learned, kept=rows)
    texts = WindowedTexts(model, LONG, window=32, batches=1, seed=0)
    whole = texts[0]
    first = replace(
        whole,
        ids=whole.windows[:1],
        windows=whole.windows[:1],
        attended=whole.attended[:1],
        rows=torch.arange(whole.windows.shape[1])[None],
        owned=whole.attended[:1],
    )
    assert objective(model, first).item() == pytest.approx(0, abs=1e-3)  # its last row moved
    assert objective(model, whole).item() > 0.01


def test_every_token_of_a_long_text_comes_from_one_window(short: Path) -> None:
    model, _ = extended(short, positions=200, keep=0)
    batch = WindowedTexts(model, LONG, window=32, batches=2, seed=0)[1]
    rows = batch.rows[batch.owned]
    assert sorted(rows.tolist()) == list(range(batch.ids.shape[1]))
    assert torch.equal(batch.ids[0, rows], batch.windows[batch.owned])
    assert batch.windows.shape[1] == 32
    assert not batch.owned[~batch.attended].any()


def test_texts_that_a_window_holds_teach_nothing_and_the_message_says_so(short: Path) -> None:
    model, _ = extended(short, positions=200, keep=0)
    with pytest.raises(ValueError, match="none of the 2 texts is longer than 32 tokens"):
        WindowedTexts(model, ["late", "dense"], window=32, batches=1, seed=0)


@pytest.mark.parametrize("write", [write_tercet, write_bge_m3])
def test_new_positions_learn_and_nothing_else_changes(tmp_path: Path, write: object) -> None:
    folder = write(tmp_path / "model", positions=34)
    before = open_model(folder)
    texts = ["late interaction", "dense"]
    short_before = before(before.document_batch(texts)).dense
    plain, model = open_model(folder), open_model(folder)
    context = Context(tmp_path / "run")
    ExtendPositions(positions=150, keep=16).run(plain, Texts([]), context)
    stage = ExtendPositions(
        positions=150,
        keep=16,
        learn=True,
        optimisation=Optimisation(steps=30, learning_rate=1e-2, warmup=0.0, weight_decay=0.0),
    )
    stage.run(model, Texts(LONG), context)
    kept = first_row(model.backbone) + 16
    assert torch.equal(table(model)[:kept], table(plain)[:kept])
    assert not torch.equal(table(model)[kept:], table(plain)[kept:])
    short_after = model(model.document_batch(texts)).dense
    assert short_before is not None
    assert short_after is not None
    assert torch.equal(short_after, short_before)
    window = before.spec.max_tokens
    batch = WindowedTexts(plain, LONG, window=window, batches=1, seed=3)[0]
    losses = [
        LearnPositions(some, learned=table(before), kept=kept)(some, batch).item()
        for some in (plain, model)
    ]
    assert losses[1] < losses[0]
