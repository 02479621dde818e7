import math
import resource
import signal
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tercet import Encoder
from tercet.errors import MissingViewError, TrainingError
from tercet.testing.checkpoints import write_tercet
from tercet.training.datasets.examples import Example
from tercet.training.loop.batching import Batching, LengthGroup
from tercet.training.loop.checkpoints import last_checkpoint
from tercet.training.loop.context import Context
from tercet.training.loop.optimisation import Optimisation, Trained
from tercet.training.loop.ranking_batches import RankingBatch, RankingBatches
from tercet.training.loop.trainer import fit
from tercet.training.models.low_rank import LowRank
from tercet.training.models.model import TrainingModel
from tercet.training.models.opening import Heads, open_model
from tercet.training.models.saving import save_model
from tercet.training.stages.m3 import M3, M3Objective, check_views

EXAMPLES = [
    Example(f"where is place {n}", (f"place {n} is far",), (f"place {n + 1} is near", "nowhere"))
    for n in range(8)
]
BATCHING = Batching((LengthGroup(100, 2),), documents=2)
SETTINGS = Optimisation(steps=6, learning_rate=1e-3, save_every=2, accumulate=2)


class Event(nn.Module):
    """The M3 loss, and something that happens once in front of a batch."""

    def __init__(self, batch: int) -> None:
        super().__init__()
        self.objective = M3Objective(M3(sub_batch_tokens=16))
        self.left = batch

    def forward(self, model: TrainingModel, batch: RankingBatch) -> Tensor:
        self.left -= 1
        if self.left == 0:
            self.happen(model)
        loss: Tensor = self.objective(model, batch)
        return loss * math.nan if self.left == 0 and isinstance(self, NoNumber) else loss

    def happen(self, model: TrainingModel) -> None:
        del model


class NoNumber(Event):
    pass


class Interrupt(Event):
    def happen(self, model: TrainingModel) -> None:
        signal.raise_signal(signal.SIGINT)


class InterruptTwice(Event):
    def happen(self, model: TrainingModel) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)


class FullDisk(Event):
    def happen(self, model: TrainingModel) -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tercet(tmp_path_factory.mktemp("start"), layers=1)


def trained(
    start: Path,
    folder: Path,
    *,
    event: Event | None = None,
    resume: bool = False,
    train: Trained = "all",
    optimisation: Optimisation = SETTINGS,
) -> TrainingModel:
    model = open_model(start)
    batches = RankingBatches(model, EXAMPLES, BATCHING, optimisation, seed=5)
    fit(
        model,
        event or Event(-1),
        batches,
        optimisation=optimisation,
        train=train,
        context=Context(folder, seed=5, resume=resume),
    )
    return model


@pytest.mark.parametrize(
    ("train", "optimiser"), [("all", "adamw"), ("lora", "adamw"), ("heads", "schedule_free")]
)
def test_a_run_that_was_stopped_and_resumed_ends_with_the_same_weights(
    start: Path, tmp_path: Path, train: Trained, optimiser: str
) -> None:
    settings = replace(SETTINGS, optimiser=optimiser)  # type: ignore[arg-type]
    run = partial(trained, start, train=train, optimisation=settings)
    whole = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt, match="stopped behind step 4"):
        run(tmp_path / "parts", event=Interrupt(7))
    assert last_checkpoint(tmp_path / "parts") == tmp_path / "parts/checkpoint-4"
    resumed = run(tmp_path / "parts", resume=True)
    again = run(tmp_path / "parts", resume=True)  # there is nothing left to do
    other = run(tmp_path / "other", optimisation=replace(settings, steps=5))
    weights = [model.state_dict() for model in (resumed, again, other)]
    same = [
        all(torch.equal(tensor, found[name]) for name, tensor in whole.state_dict().items())
        for found in weights
    ]
    assert same == [True, True, False]


def test_checkpoints_of_another_run_are_never_mixed_with_new_ones(
    start: Path, tmp_path: Path
) -> None:
    settings = replace(SETTINGS, steps=1)
    trained(start, tmp_path, optimisation=settings)
    with pytest.raises(FileExistsError, match="checkpoint-1 is of another run"):
        trained(start, tmp_path, optimisation=settings)


def test_a_second_interruption_stops_at_once(start: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        trained(start, tmp_path, event=InterruptTwice(7))
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-2"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_checkpoint(
    start: Path, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match=r"loss of step 3 is nan.*checkpoint-2"):
        trained(start, tmp_path, event=NoNumber(5))
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-2"
    with pytest.raises(TrainingError, match="there is no checkpoint yet"):
        trained(start, tmp_path / "at-once", event=NoNumber(1))


def test_a_weight_that_is_no_number_is_never_saved(start: Path, tmp_path: Path) -> None:
    settings = Optimisation(steps=1, learning_rate=math.inf, warmup=0.0)
    with pytest.raises(TrainingError, match="a weight is no number behind step 1"):
        trained(start, tmp_path, optimisation=settings)
    assert last_checkpoint(tmp_path) is None


def test_a_full_disk_leaves_the_checkpoint_before_whole(start: Path, tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with pytest.raises(TrainingError, match=r"step 4 could not be written.*checkpoint-2"):
            trained(start, tmp_path, event=FullDisk(6))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-2"]
    resumed = trained(start, tmp_path, resume=True)
    whole = trained(start, tmp_path / "whole")
    assert torch.equal(
        resumed.weights().heads["sparse.weight"], whole.weights().heads["sparse.weight"]
    )


def test_a_damaged_checkpoint_or_one_of_another_training_is_refused(
    start: Path, tmp_path: Path
) -> None:
    trained(start, tmp_path, train="lora", optimisation=replace(SETTINGS, steps=2))
    with pytest.raises(TrainingError, match="holds other weights"):
        trained(start, tmp_path, train="all", resume=True)
    (tmp_path / "checkpoint-2/model.safetensors").write_bytes(b"damaged")
    with pytest.raises(TrainingError, match="cannot be read"):
        trained(start, tmp_path, train="lora", resume=True)


def test_only_the_newest_checkpoints_are_kept(start: Path, tmp_path: Path) -> None:
    trained(start, tmp_path, optimisation=replace(SETTINGS, save_every=1, keep=3))
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["checkpoint-4", "checkpoint-5", "checkpoint-6"]


@pytest.mark.parametrize(("train", "learns"), [("heads", False), ("lora", True), ("all", True)])
def test_what_is_not_to_learn_stays_as_it_was(
    start: Path, tmp_path: Path, train: Trained, *, learns: bool
) -> None:
    settings = replace(SETTINGS, low_rank=LowRank(rank=2), precision="bfloat16")
    before = open_model(start).weights()
    model = trained(start, tmp_path / "run", train=train, optimisation=settings)
    after = model.weights()
    assert before.backbone.keys() == after.backbone.keys()
    same = [torch.equal(tensor, after.backbone[name]) for name, tensor in before.backbone.items()]
    assert all(same) is not learns
    linear = "encoder.layer.0.attention.self.query.weight"
    assert torch.equal(before.backbone[linear], after.backbone[linear]) is not learns
    assert not torch.equal(before.heads["sparse.weight"], after.heads["sparse.weight"])
    save_model(model, tmp_path / "saved")
    encoder = Encoder.from_pretrained(tmp_path / "saved", device="cpu", dtype="float32")
    text = ["a place that is far"]
    with torch.no_grad():
        model.in_bfloat16 = False
        dense = model(model.document_batch(text)).dense
    assert torch.allclose(dense, torch.from_numpy(encoder.encode_documents(text).dense), atol=1e-5)


def test_adapters_count_in_the_weights_before_they_are_merged(start: Path, tmp_path: Path) -> None:
    class Look(Event):
        def happen(self, model: TrainingModel) -> None:
            self.seen = model.weights().backbone

    look = Look(6)
    trained(start, tmp_path, event=look, train="lora")
    linear = "encoder.layer.0.output.dense.weight"
    assert look.seen.keys() == open_model(start).weights().backbone.keys()
    assert not torch.equal(look.seen[linear], open_model(start).weights().backbone[linear])


def test_a_stage_refuses_a_model_that_lacks_a_view(start: Path) -> None:
    spec = replace(open_model(start).spec, sparse=None)
    with pytest.raises(MissingViewError, match="no sparse: ask for new heads"):
        check_views(spec)


def test_heads_can_only_be_trained_where_there_are_some(tmp_path: Path) -> None:
    start = write_tercet(tmp_path / "start", views=("dense",))
    with pytest.raises(ValueError, match="the model has none"):
        trained(start, tmp_path / "run", train="heads")
    assert open_model(start, heads=Heads(sparse=True)).spec.sparse is not None


@pytest.mark.parametrize(
    "wrong", [{"epochs": 0}, {"steps": 0}, {"warmup": 1.0}, {"learning_rate": 0.0}]
)
def test_impossible_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Optimisation(**wrong)  # type: ignore[arg-type]
