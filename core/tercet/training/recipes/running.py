"""Runs a recipe: opens the model, goes through the stages, writes what came out, once and whole."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path

from tercet.errors import RecipeError
from tercet.training.loop.context import Context
from tercet.training.loop.gathering import own_device, share, wait
from tercet.training.models.model import TrainingModel
from tercet.training.models.opening import Heads, open_model
from tercet.training.models.saving import save_model
from tercet.training.monitoring.card import CardFacts, model_card
from tercet.training.monitoring.following import MEASURE, callbacks, log_of
from tercet.training.monitoring.log import first_and_last
from tercet.training.recipes.recipe import Recipe
from tercet.training.recipes.sources import TrainingData

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

    def start(self, *, resume: bool, show_progress: bool, date: str) -> None:
        """Train and write the model.

        Args:
            resume: Whether to go on with a run that was stopped, from its last checkpoint.
            show_progress: Whether to draw a bar on stderr.
            date: Of the training, for the model's card.

        Raises:
            FileExistsError: The model's folder is there, or the remains of another run are.
            FileNotFoundError: There is nothing to go on with.
            RecipeError: The stopped run followed another recipe.
            TrainingError: Training stopped.
            KeyboardInterrupt: Ctrl-C was pressed; the run can go on.
        """
        first = share().rank == 0
        if first:
            self._prepare(resume=resume)
        wait()
        finished = self._finished()
        model = self._model(finished).to(own_device())
        for number in range(finished, len(self.recipe.stages)):
            entry = self.recipe.stages[number]
            LOG.info("stage %d of %d: %s", number + 1, len(self.recipe.stages), entry.kind)
            context = Context(
                self._folder(number),
                seed=self.recipe.seed + number,
                resume=resume,
                callbacks=callbacks(self.recipe.evaluation, self._folder(number)),
                show_progress=show_progress,
            )
            model = entry.stage.run(model, TrainingData(entry.data), context)
            if first and number + 1 < len(self.recipe.stages):
                save_model(model, self._folder(number) / DONE)
        if first:
            model.spec = replace(model.spec, license=self.recipe.card.license or model.spec.license)
            save_model(
                model, self.out, layout=self.recipe.save.layout, card=self._card(model, date)
            )

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

    def _card(self, model: TrainingModel, date: str) -> str:
        """What the model's card tells; a local folder is called by its own name alone."""
        told, source = self.recipe.card, Path(self.recipe.model.source)
        stages = [log_of(self._folder(number)) for number in range(len(self.recipe.stages))]
        before, after = first_and_last(stages, MEASURE)
        return model_card(
            CardFacts(
                name=told.name or self.out.name,
                base_model=source.name if source.is_dir() else self.recipe.model.source,
                date=date,
                seed=self.recipe.seed,
                recipe=self.recipe.text,
                license=model.spec.license,
                data=told.data,
                representations=model.spec.representations,
                figures=after,
                before=before,
            )
        )

    def _folder(self, number: int) -> Path:
        """Where a stage works."""
        return self.work / f"{number + 1}-{self.recipe.stages[number].kind}"
