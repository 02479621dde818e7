"""A loaded model: one pass of the backbone makes all the views of a batch of texts.

Knows no back end: what token states are, only a backbone and its views know.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from tercet.embeddings import MultiVectors, SparseVectors
from tercet.encoding.heads.sparse import lexical_weights
from tercet.encoding.heads.token_rows import ROWS_AT_ONCE, TokenRows
from tercet.encoding.outbox import Outbox
from tercet.encoding.packing import TOKEN_BUDGET, Pass, pack
from tercet.encoding.tokenised import TokenisedText

States = TypeVar("States")
"""Token states as a back end has them, pass after pass."""

Made = TypeVar("Made")
"""What its heads make of them: arrays, or what becomes one."""

Made_co = TypeVar("Made_co", covariant=True)
Read_contra = TypeVar("Read_contra", contravariant=True)


class Backbone(Protocol[Made_co]):
    """What turns passes into token states."""

    packs: bool
    """Whether passes stand in one row, at positions of their own."""

    def __call__(self, passes: Sequence[Pass]) -> Made_co:
        """The states of all rows, pass after pass."""
        ...


class PassView(Protocol[Read_contra, Made_co]):
    """What makes one dense vector a pass, and joins those of a text."""

    def vectors(
        self, states: Read_contra, passes: Sequence[Pass], texts: Sequence[TokenisedText]
    ) -> Made_co:
        """One vector a pass, [P, E]."""
        ...

    def join(
        self, vectors: NDArray[np.float32], passes: Sequence[Pass], *, texts: int
    ) -> NDArray[np.float32]:
        """One vector a text, [N, E]."""
        ...


class WeightView(Protocol[Read_contra, Made_co]):
    """What weighs tokens."""

    def weights(self, states: Read_contra) -> Made_co:
        """One weight a row, [rows]."""
        ...


class TokenView(Protocol[Read_contra, Made_co]):
    """What makes token vectors of token states."""

    dim: int

    def vectors(self, states: Read_contra, rows: NDArray[np.int64]) -> Made_co:
        """The vectors of some rows, [chosen, E]."""
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


@dataclass(frozen=True, slots=True, eq=False)
class Replica(Generic[States, Made]):
    """Backbone and heads on one device.

    Attributes:
        backbone: Makes token states.
        dense: Makes dense vectors of them; None for a view that the model lacks.
        sparse: Makes lexical weights.
        multi_vector: Makes token vectors.
        outbox: Takes what they make of one batch.
    """

    backbone: Backbone[States]
    dense: PassView[States, Made] | None
    sparse: WeightView[States, Made] | None
    multi_vector: TokenView[States, Made] | None
    outbox: Callable[[], Outbox[Made]]


class Batch:
    """What becomes of some texts, pack by pack, in whatever order packs are done."""

    def __init__(
        self, texts: Sequence[TokenisedText], passes: Sequence[Pass], *, budget: int, dim: int
    ) -> None:
        """Lay out packs.

        Args:
            texts: The texts, N.
            passes: Their passes, each text's in order.
            budget: Rows of a pack.
            dim: Of token vectors.
        """
        packs = pack([len(item) for item in passes], budget=budget)
        self.texts = texts
        self.packs = [[passes[n] for n in group] for group in packs]
        self.dense: dict[int, NDArray[np.float32]] = {}
        self.weights: dict[int, NDArray[np.float32]] = {}
        self.tokens = TokenRows(passes, texts, dim=dim)

    @property
    def passes(self) -> list[Pass]:
        """All passes, pack after pack."""
        return [item for group in self.packs for item in group]

    def ordered(self, made: dict[int, NDArray[np.float32]]) -> NDArray[np.float32]:
        """What was made of the packs, in the order of `passes`."""
        return np.concatenate([made[n] for n in range(len(self.packs))])


class Model(Generic[States, Made]):
    """Backbone and heads, on one device or the same on several."""

    def __init__(
        self,
        replicas: Sequence[Replica[States, Made]],
        *,
        where: str,
        scale: int = 1,
        runs_ahead: bool = False,
    ) -> None:
        """Put a model together.

        Args:
            replicas: The same model, once on each device.
            where: Where and how it computes, for people.
            scale: How many times what a CPU takes at once each of them takes.
            runs_ahead: Whether `start` comes back before the device is done.
        """
        self.replicas, self.where = list(replicas), where
        self._scale, self.runs_ahead = scale, runs_ahead

    @property
    def packs(self) -> bool:
        """Whether the backbone takes explicit positions."""
        return self.replicas[0].backbone.packs

    @property
    def scale(self) -> int:
        """How many times what a CPU takes at once all devices together take."""
        return self._scale * len(self.replicas)

    def start(self, texts: Sequence[TokenisedText], passes: Sequence[Pass]) -> Callable[[], Views]:
        """Begin to run all passes, a pack at a time, packs on all devices in turn.

        Args:
            texts: The texts, N.
            passes: Their passes, each text's in order.

        Returns:
            What waits for the devices and joins what belongs to one text.
        """
        late = self.replicas[0].multi_vector
        budget = TOKEN_BUDGET * self._scale
        batch = Batch(texts, passes, budget=budget, dim=0 if late is None else late.dim)
        count = len(self.replicas)
        shares = [range(n, len(batch.packs), count) for n in range(count)]
        if count == 1:
            outboxes = [self._run(self.replicas[0], batch, shares[0])]
        else:
            with ThreadPoolExecutor(count) as threads:
                run = threads.map(self._run, self.replicas, [batch] * count, shares)
                outboxes = list(run)
        return partial(self._finish, batch, outboxes)

    def _run(
        self, replica: Replica[States, Made], batch: Batch, packs: Iterable[int]
    ) -> Outbox[Made]:
        """Run some packs on a device."""
        outbox = replica.outbox()
        for n in packs:
            passes = batch.packs[n]
            states = replica.backbone(passes)  # [rows, H]
            if replica.dense is not None:
                vectors = replica.dense.vectors(states, passes, batch.texts)
                outbox.put(vectors, partial(batch.dense.__setitem__, n))
            if replica.sparse is not None:
                outbox.put(replica.sparse.weights(states), partial(batch.weights.__setitem__, n))
            if replica.multi_vector is not None:
                at_once = ROWS_AT_ONCE * self._scale
                for rows, places in batch.tokens.pieces(passes, at_once=at_once):
                    vectors = replica.multi_vector.vectors(states, rows)
                    outbox.put(vectors, partial(batch.tokens.put, places))
        return outbox

    def _finish(self, batch: Batch, outboxes: Iterable[Outbox[Made]]) -> Views:
        """Wait for the devices, and join what belongs to one text."""
        for outbox in outboxes:
            outbox.finish()
        whole = self.replicas[0]
        dense, sparse = None, None
        if whole.dense is not None:
            vectors = batch.ordered(batch.dense)
            dense = whole.dense.join(vectors, batch.passes, texts=len(batch.texts))
        if whole.sparse is not None:
            sparse = lexical_weights(batch.ordered(batch.weights), batch.passes, batch.texts)
        multi_vector = None if whole.multi_vector is None else batch.tokens.result()
        return Views(dense=dense, sparse=sparse, multi_vector=multi_vector)
