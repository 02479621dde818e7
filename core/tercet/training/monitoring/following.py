"""Follows a run: measures the model as it is now, and writes the log and the plots."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from tercet.encoder import Encoder
from tercet.errors import require
from tercet.evaluation.comparison import evaluate
from tercet.retriever import Retriever
from tercet.training.models.encoders import as_encoder
from tercet.training.models.model import TrainingModel
from tercet.training.monitoring.judged import Judged
from tercet.training.monitoring.log import Log, curves
from tercet.training.monitoring.plots import plot

LOG = logging.getLogger(__name__)

MEASURE = "nDCG@10"
DEPTH = 10


@dataclass(frozen=True, slots=True)
class EvaluationSettings:
    """`[evaluation]`: what the model is measured on while it is trained.

    Attributes:
        collection: A folder in BEIR's layout, or of pairs; None measures nothing.
        every: Steps between two measurements; there is one before the first step and one behind
            the last, whatever this is.
        split: Whose judgements; None is "test" in BEIR's layout, and "dev" of pairs.
        language: Of a collection in several languages: only this one.
        queries: At most so many queries.
        documents: Beside the judged documents at most so many others.
        plans: Plans that are measured; none is the single views and the model's default.
    """

    collection: Path | None = None
    every: int = 500
    split: str | None = None
    language: str | None = None
    queries: int | None = None
    documents: int | None = None
    plans: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the interval."""
        if self.every < 1:
            raise ValueError(f"every is {self.every}; at least 1 step lies between measurements")


def callbacks(settings: EvaluationSettings, folder: Path) -> tuple[TrainerCallback, ...]:
    """What follows a stage: a log, plots, and measurements where a collection is named.

    Args:
        settings: What is measured.
        folder: The stage's: `log.jsonl`, `loss.png` and `ndcg.png` are written there.

    Raises:
        SourceError: The collection cannot be read.
        MissingExtraError: matplotlib is not installed, or ir-measures, which a measurement needs.
    """
    require("matplotlib", extra="train")
    recorder = Recorder(folder)
    if settings.collection is None:
        return (recorder,)
    require("ir_measures", extra="evaluate")
    judged = Judged.read(
        settings.collection,
        split=settings.split,
        language=settings.language,
        queries=settings.queries,
        documents=settings.documents,
    )
    return (recorder, Measuring(recorder, judged, every=settings.every, plans=settings.plans))


def log_of(folder: Path) -> Log:
    """The log of a stage.

    Args:
        folder: The stage's.
    """
    return Log(folder / "log.jsonl")


class Recorder(TrainerCallback):
    """Keeps the log of a stage, and draws it."""

    def __init__(self, folder: Path) -> None:
        """Choose the folder of log and plots."""
        self.folder = folder
        self.log = log_of(folder)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Forget what came behind the checkpoint that the run goes on from."""
        del args, control
        if state.is_world_process_zero:
            self.log.go_back(state.global_step if state.global_step else -1)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        """Write down what the trainer reports."""
        del args, control
        if state.is_world_process_zero and logs and "loss" in logs:
            self.log.add({"step": state.global_step, **logs})

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Draw the whole run."""
        del args, control
        if state.is_world_process_zero:
            self.draw()

    def draw(self) -> None:
        """Draw loss and measurements, as far as there are any."""
        records = self.log.records()
        for key, name, label in (("loss", "loss.png", "loss"), (MEASURE, "ndcg.png", MEASURE)):
            found = curves(records, key)
            if found:
                plot(self.folder / name, found, title=self.folder.name, label=label)


class Measuring(TrainerCallback):
    """Measures the model every so many steps, with the weights as they are."""

    def __init__(
        self, recorder: Recorder, judged: Judged, *, every: int, plans: Sequence[str] = ()
    ) -> None:
        """Choose when and on what.

        Args:
            recorder: Keeps the figures.
            judged: What is searched.
            every: Steps between two measurements.
            plans: Plans that are measured; none is the single views and the model's default.
        """
        self._recorder, self._judged = recorder, judged
        self._every, self._plans = every, plans
        self._measured = -1

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Measure the model before the first step."""
        del args, control
        if not state.global_step:
            self._measure(state, **kwargs)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Measure the model where a measurement is due."""
        del args, control
        if state.global_step % self._every == 0:
            self._measure(state, **kwargs)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Measure the model behind the last step."""
        del args, control
        self._measure(state, **kwargs)

    def _measure(self, state: TrainerState, **kwargs: Any) -> None:
        if not state.is_world_process_zero or self._measured == state.global_step:
            return
        self._measured = state.global_step
        start = time.perf_counter()
        switch = getattr(kwargs.get("optimizer"), "eval", None)
        if switch is not None:
            switch()  # schedule-free AdamW: the averaged weights; the next step turns it back
        figures = measure_model(kwargs["model"].model, self._judged, plans=self._plans)
        told = ", ".join(f"{plan} {value:.4f}" for plan, value in figures.items())
        LOG.info("step %d: %s of %s: %s", state.global_step, MEASURE, self._judged.name, told)
        seconds = round(time.perf_counter() - start, 2)
        record = {MEASURE: figures, "collection": self._judged.name, "seconds": seconds}
        self._recorder.log.add({"step": state.global_step, **record})
        self._recorder.draw()


def measure_model(
    model: TrainingModel, judged: Judged, *, plans: Sequence[str] = ()
) -> dict[str, float]:
    """nDCG@10 of a model as it is now, by plan; all documents are encoded and compared.

    Args:
        model: Whose weights are used.
        judged: What is searched.
        plans: Plans that are measured; none is the single views and the model's default.
    """
    with as_encoder(model) as encoder, Retriever.create(encoder=encoder) as retriever:
        retriever.add(judged.documents)
        found = evaluate(
            retriever,
            judged.queries,
            judged.qrels,
            plans=plans or _plans(encoder),
            measures=[MEASURE],
            k=DEPTH,
            exact=True,
        )
    return {evaluation.plan: evaluation.measures[MEASURE] for evaluation in found}


def _plans(encoder: Encoder) -> list[str]:
    views = [view.value for view in encoder.representations]
    return [*views, "hybrid"] if len(views) == 3 else views
