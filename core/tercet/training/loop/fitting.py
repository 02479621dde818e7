"""Fits an objective to the data of a stage, as its settings say."""

from typing import Protocol

from torch import nn

from tercet.training.datasets.examples import Demand
from tercet.training.loop.batching import Batching
from tercet.training.loop.context import Context
from tercet.training.loop.gathering import share
from tercet.training.loop.optimisation import Optimisation, Trained
from tercet.training.loop.ranking_batches import RankingBatches, TextBatches
from tercet.training.loop.trainer import fit
from tercet.training.models.model import TrainingModel
from tercet.training.recipes.sources import TrainingData


class TextSettings(Protocol):
    """What the settings of a stage say of its batches."""

    @property
    def batching(self) -> Batching:
        """What stands in a batch."""
        ...

    @property
    def optimisation(self) -> Optimisation:
        """How it is optimised."""
        ...


class ExampleSettings(TextSettings, Protocol):
    """The same of a stage that trains on queries and documents."""

    @property
    def train(self) -> Trained:
        """What of the model learns."""
        ...


def fit_examples(
    model: TrainingModel,
    objective: nn.Module,
    data: TrainingData,
    context: Context,
    *,
    settings: ExampleSettings,
    demand: Demand,
) -> None:
    """Train a model in place.

    Args:
        model: What is trained.
        objective: Called with the model and a batch of queries and documents, gives the loss.
        data: The examples.
        context: Where, and from which seed.
        settings: Of the stage.
        demand: What each example must have.

    Raises:
        SourceError: An example lacks what it must have; it is named by its line.
        TrainingError: Training stopped.
    """
    given, optimisation = data.examples(demand), settings.optimisation
    batches = RankingBatches(
        model, given, settings.batching, optimisation, seed=context.seed, share=share()
    )
    fit(model, objective, batches, optimisation=optimisation, train=settings.train, context=context)


def text_batches(
    model: TrainingModel, data: TrainingData, context: Context, *, settings: TextSettings
) -> TextBatches:
    """The unlabelled texts of a stage.

    Args:
        model: Its tokenizer writes them.
        data: The texts.
        context: From which seed.
        settings: Of the stage.

    Raises:
        ValueError: There is no text.
    """
    return TextBatches(
        model,
        data.texts(),
        settings.batching,
        settings.optimisation,
        seed=context.seed,
        share=share(),
    )
