"""What late interaction models are trained for, at one width of token vectors or at several."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from tercet.errors import TrainingError
from tercet.training.loop.cached_gradients import encode
from tercet.training.loop.ranking_batches import RankingBatch
from tercet.training.losses.distillation import MinMax, n_way_distillation
from tercet.training.losses.matryoshka import matryoshka_sum
from tercet.training.losses.scores import multi_vector_scores, own_multi_vector_scores
from tercet.training.losses.symmetric import symmetric_contrastive
from tercet.training.models.model import TokenVectors, TrainingModel
from tercet.training.widths.layer import Widths


class ListDistillation(nn.Module):
    """Each query's own documents, ranked as a teacher ranks them."""

    def __init__(self, widths: Widths, *, normalise: MinMax, sub_batch: int | None) -> None:
        """Choose the form of the loss.

        Args:
            widths: Trained together.
            normalise: Whose scores are stretched to [0, 1].
            sub_batch: Padded tokens of a sub-batch with cached gradients; None for none.
        """
        super().__init__()
        self.widths, self.normalise, self.sub_batch = widths, normalise, sub_batch

    def forward(self, model: TrainingModel, batch: RankingBatch) -> Tensor:
        """The loss of a batch.

        Raises:
            TrainingError: The examples carry no teacher's scores.
        """
        teacher = batch.teacher
        if teacher is None:
            raise TrainingError(
                "examples without a teacher's scores cannot be distilled from: have a "
                "cross-encoder score them first, or train on pairs"
            )
        late = model.spec.multi_vector
        reduction = "sum" if late is None else late.reduction

        def loss(queries: TokenVectors, documents: TokenVectors) -> Tensor:
            scores = own_multi_vector_scores(queries, documents, reduction=reduction)
            return n_way_distillation(scores, teacher, normalise=self.normalise)

        return over_widths(model, batch, self.widths, loss, sub_batch=self.sub_batch)


class PairContrast(nn.Module):
    """Each query finds its document among those of the batch, and each document its query."""

    def __init__(self, widths: Widths, *, temperature: float, sub_batch: int | None) -> None:
        """Choose the form of the loss.

        Args:
            widths: Trained together.
            temperature: Divides scores, which are means over the query's tokens.
            sub_batch: Padded tokens of a sub-batch with cached gradients; None for none.
        """
        super().__init__()
        self.widths, self.temperature, self.sub_batch = widths, temperature, sub_batch

    def forward(self, model: TrainingModel, batch: RankingBatch) -> Tensor:
        """The loss of a batch."""

        def loss(queries: TokenVectors, documents: TokenVectors) -> Tensor:
            scores = multi_vector_scores(queries, documents, reduction="mean")
            scores = scores.masked_fill(same_document(batch.names), -torch.inf)
            return symmetric_contrastive(scores, temperature=self.temperature)

        return over_widths(model, batch, self.widths, loss, sub_batch=self.sub_batch)


def over_widths(
    model: TrainingModel,
    batch: RankingBatch,
    widths: Widths,
    loss: Callable[[TokenVectors, TokenVectors], Tensor],
    *,
    sub_batch: int | None,
) -> Tensor:
    """The weighted sum of a loss on the token vectors of each width.

    Args:
        model: Encodes the batch, once for all widths.
        batch: Queries and documents.
        widths: The widths.
        loss: Of queries and documents at one width.
        sub_batch: Padded tokens of a sub-batch with cached gradients; None for none.

    Raises:
        TrainingError: The model has no token vectors.
    """
    queries = encode(model, batch.queries, tokens=sub_batch).multi_vector
    documents = encode(model, batch.documents, tokens=sub_batch).multi_vector
    if queries is None or documents is None:
        raise TrainingError(
            "the model has no token vectors to train: give it a head, by multi_vector_dim under "
            '[model] or by a stage of the kind "late_interaction"'
        )
    of_documents = widths.views(documents)
    losses = {dim: loss(view, of_documents[dim]) for dim, view in widths.views(queries).items()}
    return matryoshka_sum(losses, weights={dim: widths.weight(dim) for dim in widths.dims})


def same_document(names: Tensor) -> Tensor:
    """Which pairs of a batch have one text as their document, their own pair apart, [N, N].

    Args:
        names: Equal for equal texts, [N].
    """
    same = names[:, None] == names[None, :]
    return same & ~torch.eye(len(names), dtype=torch.bool, device=names.device)
