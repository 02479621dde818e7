"""The stage of BGE-M3: three views and their sum, with self-knowledge distillation."""

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from tercet.errors import MissingViewError
from tercet.models.spec import ModelSpec
from tercet.training.datasets.examples import Demand
from tercet.training.loop.batching import Batching
from tercet.training.loop.cached_gradients import encode
from tercet.training.loop.context import Context
from tercet.training.loop.fitting import fit_examples
from tercet.training.loop.gathering import gather, gather_views, share
from tercet.training.loop.optimisation import Optimisation, Trained
from tercet.training.loop.ranking_batches import RankingBatch
from tercet.training.losses.m3 import FORMS, contrastive, distil, m3_loss
from tercet.training.losses.scores import dense_scores, multi_vector_scores, sparse_scores
from tercet.training.models.model import TrainingModel, Views
from tercet.training.recipes.sources import TrainingData

HIDDEN = -1e4
"""Score of a document that is no negative: its probability is 0, and 0 times it is no NaN."""


@dataclass(frozen=True, slots=True)
class M3:
    """The settings, as FlagEmbedding's example of fine-tuning has them.

    Attributes:
        train: What of the model learns; a stage of "heads" before one of "all" warms the heads up.
        temperature: tau of every InfoNCE.
        edition: Of the paper; in v1 all views weigh alike.
        self_distillation: Whether views learn from their sum as well.
        teacher_share: Weight of what is learned from a teacher's scores; 0 leaves them aside.
        teacher_temperature: Divides those scores before their softmax.
        share_negatives: Whether documents of all devices are negatives.
        sub_batch_tokens: Padded tokens of a sub-batch, of which only embeddings are kept; None
            keeps the activations of the batch.
        batching: What stands in a batch.
        optimisation: How it is optimised.
    """

    train: Trained = "all"
    temperature: float = 0.02
    edition: Literal["v4", "v1"] = "v4"
    self_distillation: bool = True
    teacher_share: float = 0.0
    teacher_temperature: float = 1.0
    share_negatives: bool = True
    sub_batch_tokens: int | None = None
    batching: Batching = field(default_factory=Batching)
    optimisation: Optimisation = field(default_factory=Optimisation)

    def run(self, model: TrainingModel, data: TrainingData, context: Context) -> TrainingModel:
        """Train a model on queries with their documents.

        Args:
            model: Trained in place; it must have all three views.
            data: Labelled examples.
            context: Where, and from which seed.

        Returns:
            The same model.

        Raises:
            MissingViewError: The model lacks a view.
            TrainingError: Training stopped.
        """
        check_views(model.spec)
        demand = Demand(negatives=min(1, self.batching.documents - 1))
        fit_examples(model, M3Objective(self), data, context, settings=self, demand=demand)
        return model


class M3Objective(nn.Module):
    """The loss of one batch."""

    def __init__(self, settings: M3) -> None:
        super().__init__()
        self.settings = settings

    def forward(self, model: TrainingModel, batch: RankingBatch) -> Tensor:
        """Encode the batch and compare each query with every document."""
        settings, tokens = self.settings, self.settings.sub_batch_tokens
        queries = encode(model, batch.queries, tokens=tokens)
        documents, names = encode(model, batch.documents, tokens=tokens), batch.names
        first = 0
        if settings.share_negatives:
            first = share().rank * len(names)
            documents, names = gather_views(documents), gather(names.unsqueeze(1)).squeeze(1)
        own = own_columns(len(batch.queries), batch.each, first=first, device=names.device)
        scores = scores_of_views(queries, documents, model.spec)
        seen = [hide_copies(score, names, own) for score in scores]
        loss = m3_loss if settings.self_distillation else contrastive
        found = loss(
            seen, own[:, 0], temperature=settings.temperature, form=FORMS[settings.edition]
        )
        if settings.teacher_share and batch.teacher is not None:
            found = found + settings.teacher_share * self._taught(scores, own, batch.teacher)
        return found

    def _taught(self, scores: list[Tensor], own: Tensor, teacher: Tensor) -> Tensor:
        """What each view misses of a teacher's ranking of a query's own documents, on average."""
        wanted = functional.softmax(teacher.float() / self.settings.teacher_temperature, dim=1)
        temperature = self.settings.temperature
        losses = [distil(s.gather(1, own), wanted, temperature=temperature) for s in scores]
        return torch.stack(losses).mean()


def check_views(spec: ModelSpec) -> None:
    """Refuse a model without one of the views.

    Raises:
        MissingViewError: It lacks one.
    """
    missing = [view for view in ("dense", "sparse", "multi_vector") if getattr(spec, view) is None]
    if missing:
        raise MissingViewError(
            f"this stage trains dense, sparse and multi_vector, and {spec.name} has no "
            f"{' and no '.join(missing)}: ask for new heads under [model], sparse = true and "
            "multi_vector = 128"
        )


def scores_of_views(queries: Views, documents: Views, spec: ModelSpec) -> list[Tensor]:
    """Dense, sparse and multi-vector scores, each [Q, N]; a view that is lacking is left out."""
    found = []
    if queries.dense is not None and documents.dense is not None:
        found.append(dense_scores(queries.dense, documents.dense))
    if queries.sparse is not None and documents.sparse is not None:
        found.append(sparse_scores(queries.sparse, documents.sparse))
    late = spec.multi_vector
    if late is not None and queries.multi_vector and documents.multi_vector:
        found.append(
            multi_vector_scores(
                queries.multi_vector, documents.multi_vector, reduction=late.reduction
            )
        )
    return found


def own_columns(queries: int, each: int, *, first: int, device: torch.device) -> Tensor:
    """Columns of each query's own documents, its positive first, [Q, n].

    Args:
        queries: Q.
        each: n.
        first: Column of the first query's positive.
        device: Where the result is.
    """
    return first + torch.arange(queries * each, device=device).view(queries, each)


def hide_copies(scores: Tensor, names: Tensor, own: Tensor) -> Tensor:
    """Scores in which copies of a query's positive are no negatives.

    Args:
        scores: [Q, N].
        names: Equal for documents of equal text, [N].
        own: Columns of each query's documents, its positive first, [Q, n].
    """
    positives = own[:, :1]
    copies = names.unsqueeze(0) == names[positives]  # [Q, N]
    return scores.masked_fill(copies.scatter(1, positives, value=False), HIDDEN)
