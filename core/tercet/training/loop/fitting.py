"""Fits an objective to the labelled examples of a stage."""

from torch import nn

from tercet.training.datasets.examples import Demand
from tercet.training.loop.batching import Batching
from tercet.training.loop.context import Context
from tercet.training.loop.gathering import share
from tercet.training.loop.optimisation import Optimisation, Trained
from tercet.training.loop.ranking_batches import RankingBatches
from tercet.training.loop.trainer import fit
from tercet.training.models.model import TrainingModel
from tercet.training.recipes.sources import TrainingData


def fit_examples(
    model: TrainingModel,
    objective: nn.Module,
    data: TrainingData,
    *,
    batching: Batching,
    optimisation: Optimisation,
    train: Trained,
    context: Context,
    demand: Demand,
) -> None:
    """Train a model in place.

    Args:
        model: What is trained.
        objective: Called with the model and a batch of queries and documents, gives the loss.
        data: The examples.
        batching: What stands in a batch.
        optimisation: How it is optimised.
        train: What of the model learns.
        context: Where, and from which seed.
        demand: What each example must have.

    Raises:
        SourceError: An example lacks what it must have; it is named by its line.
        TrainingError: Training stopped.
    """
    batches = RankingBatches(
        model, data.examples(demand), batching, optimisation, seed=context.seed, share=share()
    )
    fit(model, objective, batches, optimisation=optimisation, train=train, context=context)
