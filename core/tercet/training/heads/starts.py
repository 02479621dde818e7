"""Where new heads start: closed forms that need unlabelled texts and no training."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from tercet.errors import MissingViewError
from tercet.training.models.model import TrainingModel
from tercet.training.models.texts import TokenBatch

RIDGE = 1e-3
"""Of the mean square of a state's dimension (tercet/mini was made with it)."""

TEXTS_AT_ONCE = 32


@dataclass(frozen=True, slots=True, eq=False)
class Starts:
    """What one reading of texts gives.

    Attributes:
        directions: Of the energy of token states at unit length, the weakest first, [H, H].
        lexical: Weight and bias of the layer of lexical weights, [H + 1].
        dense: The texts' dense vectors, [N, E].
    """

    directions: Tensor
    lexical: Tensor
    dense: NDArray[np.float32]

    def projection(self, dim: int) -> Tensor:
        """The directions that hold most of the energy, orthonormal, the strongest first, [dim, H].

        States are not centred: late interaction compares directions from the origin.
        """
        return self.directions[:, -dim:].T.flip(0).contiguous()


def read_starts(model: TrainingModel, texts: Sequence[str], *, tokens: int) -> Starts:
    """Read texts once and solve for both heads.

    The layer of lexical weights is the one nearest to the root of the inverse frequency, since the
    weights of query and document are multiplied:
        min_w sum_t (w . h_t + b - sqrt(idf(t) / max idf))^2 + ridge |(w, b)|^2

    Args:
        model: It has both heads already, whatever is in them: they say which tokens count.
        texts: The texts, N.
        tokens: Length at which they are cut.

    Raises:
        MissingViewError: The model has no dense view.
    """
    wanted = rarity(model, texts, tokens=tokens).sqrt()  # [V]
    hidden = model.spec.hidden
    energy = torch.zeros(hidden, hidden, dtype=torch.float64)
    normal = torch.zeros(hidden + 1, hidden + 1, dtype=torch.float64)
    moment = torch.zeros(hidden + 1, dtype=torch.float64)
    dense = []
    for start in range(0, len(texts), TEXTS_AT_ONCE):
        batch = model.document_batch(texts[start : start + TEXTS_AT_ONCE], tokens=tokens)
        states, vectors = _read(model, batch.to(model.device))
        units = functional.normalize(states[batch.kept].double(), dim=1)
        energy += units.T @ units
        rows = functional.pad(states[batch.lexical].double(), (0, 1), value=1.0)  # [tokens, H + 1]
        normal += rows.T @ rows
        moment += rows.T @ wanted[batch.ids[batch.lexical]]
        dense.append(vectors)
    ridge = RIDGE * normal.trace() / len(normal)
    system = normal + ridge * torch.eye(len(normal), dtype=torch.float64)
    return Starts(
        directions=torch.linalg.eigh(energy).eigenvectors.float(),
        lexical=torch.linalg.lstsq(system, moment[:, None]).solution[:, 0].float(),
        dense=np.concatenate(dense),
    )


def rarity(model: TrainingModel, texts: Sequence[str], *, tokens: int) -> Tensor:
    """How rare each term is, from 0 to 1: idf(t) = log(1 + (N - n_t + 0.5) / (n_t + 0.5)).

    Args:
        model: Its tokenizer reads the texts.
        texts: The texts, N.
        tokens: Length at which they are cut.

    Returns:
        In float64, [V].
    """
    counts = np.zeros(model.spec.vocabulary)
    for start in range(0, len(texts), TEXTS_AT_ONCE):
        batch = model.document_batch(texts[start : start + TEXTS_AT_ONCE], tokens=tokens)
        for ids, lexical in zip(batch.ids.numpy(), batch.lexical.numpy(), strict=True):
            counts[np.unique(ids[lexical])] += 1
    found = np.log1p((len(texts) - counts + 0.5) / (counts + 0.5))
    return torch.from_numpy(found / found.max())


@torch.no_grad()
def _read(model: TrainingModel, batch: TokenBatch) -> tuple[Tensor, NDArray[np.float32]]:
    """Token states, [N, L, H], and dense vectors, [N, E], of a batch, on the CPU."""
    states = model.states(batch)
    dense = model.views(states, batch).dense
    if dense is None:
        raise MissingViewError(
            f"{model.spec.name} has no dense view, and new heads learn from it: name a pooling "
            "under [model]"
        )
    return states.float().cpu(), dense.cpu().numpy()
