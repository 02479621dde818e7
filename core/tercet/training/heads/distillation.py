"""What new heads are trained for: to rank as the model's dense view and full-width tokens do."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from tercet.training.heads.batches import HeadBatch
from tercet.training.losses.scores import dense_scores, multi_vector_scores, sparse_scores
from tercet.training.models.model import LexicalWeights, TokenVectors, TrainingModel, Views
from tercet.training.models.texts import TokenBatch

TOKENS_COMPARED = 1024
"""Document tokens of a batch whose inner products are held in place."""


@dataclass(frozen=True, slots=True)
class HeadLoss:
    """Weights and temperatures; tercet/mini's heads were trained with most of these numbers.

    Attributes:
        temperature: Divides the teachers' scores, which are cosines and means of cosines.
        lexical_temperature: Divides lexical scores; a factor learned beside it corrects it.
        gram: Weight of the squared error of inner products between tokens.
        sparsity: Weight of the documents' mean lexical weight, which pushes words to 0.
        dense: Weight of the dense view's own divergence, where the backbone is trained.
    """

    temperature: float = 0.01
    lexical_temperature: float = 0.1
    gram: float = 100.0
    sparsity: float = 0.5
    dense: float = 1.0


class HeadDistillation(nn.Module):
    """Self-distillation without labels.

    Token vectors learn from late interaction over the full token states, and lexical weights from
    the sum of that and the dense view: each by the divergence of the softmax over the documents of
    a batch. The teacher is the model as it was before: its frozen backbone, or a copy of that.
    """

    def __init__(self, settings: HeadLoss, *, teacher: TrainingModel | None) -> None:
        """Choose the form of the loss.

        Args:
            settings: Weights and temperatures.
            teacher: A frozen copy of the model where its backbone is trained; None where the
                backbone is frozen itself.
        """
        super().__init__()
        self.settings = settings
        self._teacher = teacher
        self.sharpness = nn.Parameter(torch.zeros(2))

    def forward(self, model: TrainingModel, batch: HeadBatch) -> Tensor:
        """The loss of a batch."""
        teacher = self._teacher
        with torch.no_grad():
            source = teacher or model
            asked, read = source.states(batch.queries), source.states(batch.documents)
            wide = multi_vector_scores(
                full_width(asked, batch.queries),
                full_width(read, batch.documents),
                reduction="mean",
            )
            dense = _dense(source.views(asked, batch.queries), source.views(read, batch.documents))
        if teacher is None:
            queries, documents = (
                model.views(asked, batch.queries),
                model.views(read, batch.documents),
            )
        else:
            states = model.states(batch.documents)
            queries, documents = model(batch.queries), model.views(states, batch.documents)
        loss = self._tokens(queries, documents, wide, read, batch.documents)
        loss = loss + self._words(queries, documents, wide if dense is None else (wide + dense) / 2)
        if teacher is not None and dense is not None:
            found = _dense(queries, documents)
            if found is not None:
                settings = self.settings
                loss = loss + settings.dense * divergence(found, dense, settings.temperature)
        return loss

    def _tokens(
        self, queries: Views, documents: Views, wide: Tensor, read: Tensor, texts: TokenBatch
    ) -> Tensor:
        """What token vectors miss of late interaction at full width."""
        if queries.multi_vector is None or documents.multi_vector is None:
            return wide.new_zeros(())
        scores = multi_vector_scores(queries.multi_vector, documents.multi_vector, reduction="mean")
        settings, sharp = self.settings, self.sharpness[0].exp()
        lost = divergence(scores * sharp, wide, settings.temperature)
        whole = functional.normalize(read.detach()[texts.kept].float(), dim=1)
        narrow = documents.multi_vector.vectors[texts.kept]
        rows = torch.randperm(len(whole), device=whole.device)[:TOKENS_COMPARED]
        gram = narrow[rows] @ narrow[rows].T - whole[rows] @ whole[rows].T
        return lost + settings.gram * gram.square().mean()

    def _words(self, queries: Views, documents: Views, wanted: Tensor) -> Tensor:
        """What lexical weights miss of the teacher, and the price of their number."""
        if queries.sparse is None or documents.sparse is None:
            return wanted.new_zeros(())
        settings, sharp = self.settings, self.sharpness[1].exp()
        scores = sparse_scores(queries.sparse, documents.sparse)
        scaled = scores * sharp * (settings.temperature / settings.lexical_temperature)
        lost = divergence(scaled, wanted, settings.temperature)
        return lost + settings.sparsity * mean_weight(documents.sparse)


def divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """KL of the softmax of scores over a batch's documents, mean over queries, [Q, N] -> scalar."""
    return functional.kl_div(
        functional.log_softmax(student.float() / temperature, dim=1),
        functional.log_softmax(teacher.float() / temperature, dim=1),
        log_target=True,
        reduction="batchmean",
    )


def full_width(states: Tensor, texts: TokenBatch) -> TokenVectors:
    """Token states themselves as token vectors."""
    return TokenVectors(functional.normalize(states.float(), dim=-1), texts.kept)


def mean_weight(documents: LexicalWeights) -> Tensor:
    """The mean lexical weight of all rows."""
    return documents.weights.mean()


def _dense(queries: Views, documents: Views) -> Tensor | None:
    if queries.dense is None or documents.dense is None:
        return None
    return dense_scores(queries.dense, documents.dense)
