"""The dense view alone: InfoNCE on pairs, the unsupervised stage of BGE-M3."""

from dataclasses import dataclass, field

from torch import Tensor, nn

from tercet.errors import MissingViewError
from tercet.training.datasets.examples import Demand
from tercet.training.loop.batching import Batching
from tercet.training.loop.cached_gradients import encode
from tercet.training.loop.context import Context
from tercet.training.loop.fitting import fit_examples
from tercet.training.loop.gathering import gather, share
from tercet.training.loop.optimisation import Optimisation, Trained
from tercet.training.loop.ranking_batches import RankingBatch
from tercet.training.losses.infonce import info_nce
from tercet.training.losses.scores import dense_scores
from tercet.training.models.model import TrainingModel
from tercet.training.recipes.sources import TrainingData
from tercet.training.stages.m3 import hide_copies, own_columns

PAIRS = Batching(documents=1)


@dataclass(frozen=True, slots=True)
class Dense:
    """The settings.

    Attributes:
        train: What of the model learns.
        temperature: tau of InfoNCE.
        sub_batch_tokens: Padded tokens of a sub-batch, of which only embeddings are kept; None
            keeps the activations of the batch.
        batching: What stands in a batch; with one document a query, all negatives are those of
            other queries.
        optimisation: How it is optimised.
    """

    train: Trained = "all"
    temperature: float = 0.02
    sub_batch_tokens: int | None = None
    batching: Batching = PAIRS
    optimisation: Optimisation = field(default_factory=Optimisation)

    def run(self, model: TrainingModel, data: TrainingData, context: Context) -> TrainingModel:
        """Train a model on queries with their documents.

        Args:
            model: Trained in place; it must have a dense view.
            data: Labelled examples.
            context: Where, and from which seed.

        Returns:
            The same model.

        Raises:
            MissingViewError: It has no dense view.
            TrainingError: Training stopped.
        """
        if model.spec.dense is None:
            raise MissingViewError(
                f"this stage trains a dense view, and {model.spec.name} has none"
            )
        demand = Demand(negatives=min(1, self.batching.documents - 1))
        fit_examples(model, DenseObjective(self), data, context, settings=self, demand=demand)
        return model


class DenseObjective(nn.Module):
    """The loss of one batch; documents of all devices are negatives."""

    def __init__(self, settings: Dense) -> None:
        super().__init__()
        self.settings = settings

    def forward(self, model: TrainingModel, batch: RankingBatch) -> Tensor:
        """Encode the batch and compare each query with every document."""
        queries = encode(model, batch.queries, tokens=self.settings.sub_batch_tokens).dense
        documents = encode(model, batch.documents, tokens=self.settings.sub_batch_tokens).dense
        if queries is None or documents is None:
            raise MissingViewError("the model has no dense view")
        names = gather(batch.names.unsqueeze(1)).squeeze(1)
        first = share().rank * len(documents)
        own = own_columns(len(queries), batch.each, first=first, device=names.device)
        scores = hide_copies(dense_scores(queries, gather(documents)), names, own)
        return info_nce(scores, own[:, 0], temperature=self.settings.temperature)
