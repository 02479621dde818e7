"""Runs a recipe: opens the model, goes through the stages, writes what came out, once and whole."""

import logging
from dataclasses import dataclass
from pathlib import Path

from tercet.errors import RecipeError
from tercet.training.context import Context
from tercet.training.model import TrainingModel
from tercet.training.opening import Heads, open_model
from tercet.training.recipe import Recipe
from tercet.training.saving import save_model
from tercet.training.sources import TrainingData

LOG = logging.getLogger(__name__)

WORK = ".training"
"""Behind the name of the model's folder: where checkpoints, logs and finished stages stand."""

RECIPE = "recipe.toml"

DONE = "model"
"""The model as a stage left it, in the stage's folder."""


@dataclass(frozen=True, slots=True)
class Run:
    """A recipe and the folder that its model is written to.

    Attributes:
        recipe: What is done.
        out: The model's folder; it is there when everything is done.
    """

    recipe: Recipe
    out: Path

    @property
    def work(self) -> Path:
        """Where the run keeps what it needs to go on."""
        return self.out.with_name(self.out.name + WORK)

    def start(self, *, resume: bool, show_progress: bool) -> None:
        """Train and write the model.

        Args:
            resume: Whether to go on with a run that was stopped, from its last checkpoint.
            show_progress: Whether to draw a bar on stderr.

        Raises:
            FileExistsError: The model's folder is there, or the remains of another run are.
            FileNotFoundError: There is nothing to go on with.
            RecipeError: The stopped run followed another recipe.
            TrainingError: Training stopped.
            KeyboardInterrupt: Ctrl-C was pressed; the run can go on.
        """
        self._prepare(resume=resume)
        finished = self._finished()
        model = self._model(finished)
        for number in range(finished, len(self.recipe.stages)):
            entry = self.recipe.stages[number]
            LOG.info("stage %d of %d: %s", number + 1, len(self.recipe.stages), entry.kind)
            context = Context(
                self._folder(number),
                seed=self.recipe.seed + number,
                resume=resume,
                show_progress=show_progress,
            )
            model = entry.stage.run(model, TrainingData(entry.data), context)
            if number + 1 < len(self.recipe.stages):
                save_model(model, self._folder(number) / DONE)
        save_model(model, self.out, layout=self.recipe.save.layout)

    def _prepare(self, *, resume: bool) -> None:
        """Look at what is there, and keep the recipe beside it."""
        if self.out.exists() and any(self.out.iterdir()):
            raise FileExistsError(f"{self.out} is not empty; a model is saved to its own folder")
        kept = self.work / RECIPE
        if resume:
            self._check_same(kept)
            return
        if kept.exists():
            raise FileExistsError(
                f"{self.work} holds a run that was stopped: go on with --resume, or remove it"
            )
        self.work.mkdir(parents=True, exist_ok=True)
        kept.write_text(self.recipe.text, encoding="utf-8")

    def _check_same(self, kept: Path) -> None:
        if not kept.exists():
            raise FileNotFoundError(f"{self.work} holds no run to go on with: leave out --resume")
        if kept.read_text(encoding="utf-8") != self.recipe.text:
            raise RecipeError(
                f"the recipe is not the one that the stopped run followed, {kept}: go on with "
                "that one, or start another run"
            )

    def _finished(self) -> int:
        """How many stages are done."""
        done = [self._folder(number) / DONE for number in range(len(self.recipe.stages))]
        return next((n for n, folder in enumerate(done) if not folder.exists()), len(done))

    def _model(self, finished: int) -> TrainingModel:
        """The model that the next stage begins with."""
        if finished:
            return open_model(self._folder(finished - 1) / DONE)
        told = self.recipe.model
        heads = Heads(told.pooling, sparse=told.sparse, multi_vector=told.multi_vector)
        return open_model(told.source, heads=heads, seed=self.recipe.seed)

    def _folder(self, number: int) -> Path:
        """Where a stage works."""
        return self.work / f"{number + 1}-{self.recipe.stages[number].kind}"
