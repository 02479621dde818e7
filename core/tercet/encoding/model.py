"""A loaded model: one pass of the backbone makes all the views of a batch of texts.

Knows no back end: what token states are, only a backbone and its views know.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from tercet.embeddings import MultiVectors, SparseVectors
from tercet.encoding.heads.sparse import lexical_weights
from tercet.encoding.heads.token_rows import TokenRows, TokenView
from tercet.encoding.packing import Pass, pack
from tercet.encoding.tokenised import TokenisedText

States = TypeVar("States")
"""Token states as a back end has them, pass after pass."""

Made_co = TypeVar("Made_co", covariant=True)
Read_contra = TypeVar("Read_contra", contravariant=True)


class Backbone(Protocol[Made_co]):
    """What turns passes into token states."""

    packs: bool
    """Whether passes stand in one row, at positions of their own."""

    def __call__(self, passes: Sequence[Pass]) -> Made_co:
        """The states of all rows, pass after pass."""
        ...


class PassView(Protocol[Read_contra]):
    """What makes one dense vector a pass, and joins those of a text."""

    def vectors(
        self, states: Read_contra, passes: Sequence[Pass], texts: Sequence[TokenisedText]
    ) -> NDArray[np.float32]:
        """One vector a pass, [P, E]."""
        ...

    def join(
        self, vectors: NDArray[np.float32], passes: Sequence[Pass], *, texts: int
    ) -> NDArray[np.float32]:
        """One vector a text, [N, E]."""
        ...


class WeightView(Protocol[Read_contra]):
    """What weighs tokens."""

    def weights(self, states: Read_contra) -> NDArray[np.float32]:
        """One weight a row, [rows]."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Views:
    """What a model makes of N texts; None for a view that it lacks.

    Attributes:
        dense: One vector a text, [N, E].
        sparse: Lexical weights.
        multi_vector: Token vectors.
    """

    dense: NDArray[np.float32] | None
    sparse: SparseVectors | None
    multi_vector: MultiVectors | None


class Model(Generic[States]):
    """Backbone and heads."""

    def __init__(
        self,
        backbone: Backbone[States],
        *,
        where: str,
        dense: PassView[States] | None,
        sparse: WeightView[States] | None,
        multi_vector: TokenView[States] | None,
    ) -> None:
        """Put a model together; a view that it lacks is None.

        Args:
            backbone: Makes token states.
            where: Where and how it computes, for people.
            dense: Makes dense vectors of them.
            sparse: Makes lexical weights.
            multi_vector: Makes token vectors.
        """
        self.backbone, self.where = backbone, where
        self._dense, self._sparse, self._multi_vector = dense, sparse, multi_vector

    def encode(self, texts: Sequence[TokenisedText], passes: Sequence[Pass]) -> Views:
        """Run all passes, a pack at a time, and join what belongs to one text.

        Args:
            texts: The texts, N.
            passes: Their passes, each text's in order.
        """
        ordered, dense, weights = [], [], []
        rows = None
        if self._multi_vector is not None:
            rows = TokenRows(passes, texts, dim=self._multi_vector.dim)
        for group in pack([len(item) for item in passes]):
            batch = [passes[n] for n in group]
            states = self.backbone(batch)  # [rows, H]
            ordered += batch
            if self._dense is not None:
                dense.append(self._dense.vectors(states, batch, texts))
            if self._sparse is not None:
                weights.append(self._sparse.weights(states))
            if rows is not None and self._multi_vector is not None:
                rows.put(self._multi_vector, states, batch)
        return Views(
            dense=self._dense.join(np.concatenate(dense), ordered, texts=len(texts))
            if self._dense is not None
            else None,
            sparse=lexical_weights(np.concatenate(weights), ordered, texts)
            if self._sparse is not None
            else None,
            multi_vector=None if rows is None else rows.result(),
        )
