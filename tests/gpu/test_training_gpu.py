"""The stages of training on a GPU, or on an emulated one: each loss is that of the CPU.

Gradients need a real device's autograd; what is shown is that a stage puts everything that its loss
reads onto the device, and takes from it what it writes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from tercet.cli.app import app
from tercet.encoder import Encoder
from tercet.testing.checkpoints import write_bge_m3, write_colbert_v2, write_dense, write_tercet
from tercet.training.datasets.examples import Demand, Example
from tercet.training.loop import gathering, trainer
from tercet.training.loop.batching import Batching, LengthGroup
from tercet.training.loop.context import Context
from tercet.training.loop.optimisation import Optimisation
from tercet.training.models.opening import open_model
from tercet.training.models.saving import save_model
from tercet.training.stages.dense import Dense
from tercet.training.stages.extend_positions import ExtendPositions
from tercet.training.stages.heads import AddHeads
from tercet.training.stages.late_interaction import LateInteractionStage
from tercet.training.stages.m3 import M3
from tercet.training.stages.masked_lm import MaskedLM
from tercet.training.stages.n_way import NWay
from tercet.training.stages.pairs import Pairs
from tercet.training.stages.retromae import RetroMAE
from tercet.training.stages.triplets import Triplets
from tercet.training.widths.layer import Widths

SENTENCES = [f"late token {n} vector of the document index." for n in range(24)]
EXAMPLES = [
    Example(f"query {n}", (SENTENCES[4 * n],), tuple(SENTENCES[4 * n + 1 : 4 * n + 4])).scored(
        [3.0, 1.0, 0.5, -1.0]
    )
    for n in range(6)
]
SMALL: dict[str, Any] = {
    "batching": Batching(groups=(LengthGroup(512, 3),), documents=4),
    "optimisation": Optimisation(steps=2, warmup=0.0),
}
PAIRED = {**SMALL, "batching": Batching(groups=(LengthGroup(512, 3),), documents=1)}
STEPS = {"optimisation": Optimisation(steps=2, warmup=0.0)}
CASES: dict[str, tuple[Callable[..., Path], Any]] = {
    "m3": (write_bge_m3, M3(sub_batch_tokens=64, **SMALL)),
    "dense": (write_dense, Dense(**PAIRED)),
    "pairs": (write_colbert_v2, Pairs(widths=Widths((4, 8)), keep=8, **PAIRED)),
    "triplets": (write_colbert_v2, Triplets(**SMALL)),
    "n-way": (write_colbert_v2, NWay(**SMALL)),
    "masked": (write_bge_m3, MaskedLM(**SMALL)),
    "retromae": (write_bge_m3, RetroMAE(**SMALL)),
    "heads": (write_dense, AddHeads(multi_vector=8, **STEPS)),
    "heads and backbone": (write_dense, AddHeads(train="all", multi_vector=8, **STEPS)),
    "heads that are there": (write_tercet, AddHeads(**STEPS)),
    "positions": (write_bge_m3, ExtendPositions(positions=900, keep=16, learn=True, **STEPS)),
    "late interaction": (write_dense, LateInteractionStage(family="jacolbert", dim=8)),
}


@dataclass
class Given:
    """What a stage learns from, in memory."""

    def examples(self, demand: Demand | None = None) -> Sequence[Example]:
        del demand
        return EXAMPLES

    def texts(self) -> Sequence[str]:
        return [*SENTENCES, " ".join(SENTENCES * 8), " ".join(SENTENCES * 9)]


@dataclass
class OneLoss:
    """In place of the trainer: the learner goes to the device, and its first loss is computed."""

    learner: trainer.Learner
    batches: Any
    device: str
    callbacks: list[Any]
    keep: int

    found = float("nan")
    began_on = ""

    def train(self, **options: Any) -> None:
        del options
        OneLoss.began_on = str(self.learner.model.device)
        torch.manual_seed(0)
        self.learner.to(self.device).eval()
        with torch.no_grad():
            loss = self.learner(self.batches[0].to(torch.device(self.device)))
        assert loss.device.type == torch.device(self.device).type
        OneLoss.found = loss.item()

    def average_weights(self) -> None: ...


@pytest.mark.parametrize("is_there_before", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_a_stage_computes_on_a_device_what_it_does_on_the_cpu(
    case: str, gpu: str, *, is_there_before: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, stage = CASES[case]
    folder = write(tmp_path / "model", **({"positions": 66} if case == "positions" else {}))
    monkeypatch.setattr(trainer, "RecipeTrainer", OneLoss)
    losses = []
    for device in ("cpu", gpu):
        monkeypatch.setattr(trainer, "arguments", lambda *_, device=device, **__: device)
        model = open_model(folder)
        if is_there_before:
            model.to(device)
        OneLoss.found = float("nan")
        context = Context(tmp_path / device.replace(":", ""), seed=1)
        assert stage.run(model, Given(), context) is model
        save_model(model, context.folder / "out")
        losses.append(OneLoss.found)
    assert losses[1] == pytest.approx(losses[0], rel=1e-5, nan_ok=case == "late interaction")


def test_a_recipe_runs_on_the_device_from_its_first_reading_on(
    gpu: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "choose_device", lambda _: torch.device(gpu))
    monkeypatch.setattr(trainer, "RecipeTrainer", OneLoss)
    monkeypatch.setattr(trainer, "arguments", lambda *_, **__: gpu)
    write_dense(tmp_path / "dense")
    (tmp_path / "texts.txt").write_text("\n".join(SENTENCES), encoding="utf-8")
    told = {"backbone": "dense", "texts": "texts.txt", "dim": "16", "steps": "2", "out": "three"}
    paths = {"backbone", "texts", "out"}
    options = [
        word
        for name, value in told.items()
        for word in (f"--{name}", str(tmp_path / value) if name in paths else value)
    ]
    done = CliRunner().invoke(app, ["train", "heads", *options])
    assert done.exit_code == 0, done.output
    assert OneLoss.began_on == str(torch.empty(0, device=gpu).device)
    encoder = Encoder.from_pretrained(tmp_path / "three", device="cpu", dtype="float32")
    assert encoder.representations == ("dense", "sparse", "multi_vector")
