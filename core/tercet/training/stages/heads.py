"""The stage that adds lexical weights and token vectors to a dense encoder, without labels."""

from collections.abc import Sequence
from copy import copy, deepcopy
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import nn

from tercet.embeddings import Representation
from tercet.encoding.tokenizing import Tokenizer
from tercet.models.spec import LinearLayer, ModelSpec, SparseHead
from tercet.training.heads.batches import HeadBatches, nearest
from tercet.training.heads.distillation import HeadDistillation, HeadLoss
from tercet.training.heads.starts import Starts, read_starts
from tercet.training.loop.context import Context
from tercet.training.loop.optimisation import Optimisation, Trained
from tercet.training.loop.trainer import fit
from tercet.training.models.model import TrainingModel
from tercet.training.recipes.sources import TrainingData
from tercet.training.widths.layer import set_token_head

OPTIMISATION = Optimisation(
    learning_rate=5e-4, steps=400, warmup=0.0, schedule="cosine", weight_decay=0.0
)

HYBRID_WEIGHTS = {
    Representation.DENSE: 1.0,
    Representation.SPARSE: 0.05,
    Representation.MULTI_VECTOR: 2.0,
}
"""As chosen for tercet/mini, whose heads start and learn alike."""


@dataclass(frozen=True, slots=True)
class AddHeads:
    """The settings.

    Heads that the model has are kept and trained further. Its queries are sentences taken out of
    the texts; its teacher is itself.

    Attributes:
        train: What of the model learns; a backbone that learns is held to its own dense view.
        sparse: Whether it gets a head of lexical weights.
        multi_vector: Length of the token vectors that it gets; None for none.
        sample: Texts that are read at most, drawn at random.
        groups: Groups of similar texts in a batch.
        alike: Texts of a group.
        document_tokens: Length at which texts are cut.
        loss: Weights and temperatures.
        optimisation: How it is optimised.
    """

    train: Trained = "heads"
    sparse: bool = True
    multi_vector: int | None = 128
    sample: int = 4096
    groups: int = 4
    alike: int = 4
    document_tokens: int = 256
    loss: HeadLoss = field(default_factory=HeadLoss)
    optimisation: Optimisation = OPTIMISATION

    def run(self, model: TrainingModel, data: TrainingData, context: Context) -> TrainingModel:
        """Add heads and train them.

        Args:
            model: Changed in place; it must have a dense view.
            data: Unlabelled texts.
            context: Where, and from which seed.

        Returns:
            The same model.

        Raises:
            MissingViewError: It has no dense view.
            TrainingError: Training stopped.
        """
        texts = some(data.texts(), self.sample, seed=context.seed)
        given = model.spec
        self._add(model)
        model.in_bfloat16 = self.optimisation.precision == "bfloat16"
        starts = read_starts(model, texts, tokens=self.document_tokens)
        self._start(model, given, starts)
        teacher = None if self.train == "heads" else frozen_copy(model)
        batches = HeadBatches(
            model,
            texts,
            nearest(starts.dense),
            groups=self.groups,
            alike=self.alike,
            tokens=self.document_tokens,
            batches=self.optimisation.batches(max(1, len(texts) // (self.groups * self.alike))),
            seed=context.seed,
        )
        fit(
            model,
            HeadDistillation(self.loss, teacher=teacher),
            batches,
            optimisation=self.optimisation,
            train=self.train,
            context=context,
        )
        return model

    def _add(self, model: TrainingModel) -> None:
        """Give a model the heads that it lacks, with nothing in them yet."""
        hidden = model.spec.hidden
        if self.sparse and model.spec.sparse is None:
            model.sparse_layer = nn.Linear(hidden, 1).to(model.device)
            model.spec = replace(model.spec, sparse=SparseHead(LinearLayer(hidden, 1)))
        if self.multi_vector is not None and model.spec.multi_vector is None:
            set_token_head(model, torch.eye(self.multi_vector, hidden))
        views = model.spec.representations
        weights = {view: HYBRID_WEIGHTS[view] for view in views}
        model.spec = replace(model.spec, hybrid_weights=dict(model.spec.hybrid_weights) or weights)
        model.tokenizer = Tokenizer(model.folder, model.spec)

    def _start(self, model: TrainingModel, given: ModelSpec, starts: Starts) -> None:
        """Fill the heads that were added."""
        if given.sparse is None and model.sparse_layer is not None:
            with torch.no_grad():
                model.sparse_layer.weight.copy_(starts.lexical[None, :-1])
                model.sparse_layer.bias.copy_(starts.lexical[-1:])
        if given.multi_vector is None and self.multi_vector is not None:
            set_token_head(model, starts.projection(self.multi_vector))


def some(texts: Sequence[str], count: int, *, seed: int) -> list[str]:
    """At most so many texts, drawn at random, in their order."""
    rows = np.random.default_rng(seed).permutation(len(texts))[:count]
    return [texts[row] for row in sorted(rows.tolist())]


def frozen_copy(model: TrainingModel) -> TrainingModel:
    """A model that stays as this one is now; both read texts with one tokenizer."""
    teacher = copy(model)
    teacher._modules = {name: deepcopy(module) for name, module in model._modules.items()}
    return teacher.eval().requires_grad_(False)
