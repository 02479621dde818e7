"""Which texts stand in which batch: grouped by length, seeded, the same group on all devices.

A batch is a pure function of its number, so a run that was stopped goes on as if it never had been.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

T_co = TypeVar("T_co", covariant=True)

SHORTEST_SHUFFLED = 100
"""Characters of a text that is never shuffled, as in BGE-M3's released code."""

SEGMENTS = 3


class Batches(Protocol[T_co]):
    """What a run reads, batch after batch."""

    def __len__(self) -> int:
        """Batches of the whole run on this device."""
        ...

    def __getitem__(self, number: int) -> T_co:
        """Always the same batch under the same number; it has `to(device)`."""
        ...


@dataclass(frozen=True, slots=True)
class LengthGroup:
    """Texts that share batches.

    Attributes:
        tokens: The longest of them.
        batch: Queries, or texts without queries, of a batch on one device.
    """

    tokens: int
    batch: int


@dataclass(frozen=True, slots=True)
class Batching:
    """The settings of batches.

    Attributes:
        groups: By length, the shortest first; what is longer belongs to the last one.
        documents: Of each query in a batch: one positive, the others negatives.
        query_tokens: Length at which queries are cut; None for the model's own.
        document_tokens: Of documents.
        shuffle_segments: Share of positives of more than 100 characters whose three parts are
            shuffled, so that no model learns that the answer stands in front (arXiv 2402.03216v4).
    """

    groups: tuple[LengthGroup, ...] = (LengthGroup(8192, 8),)
    documents: int = 8
    query_tokens: int | None = None
    document_tokens: int | None = None
    shuffle_segments: float = 0.002

    def __post_init__(self) -> None:
        """Check that the groups follow one another."""
        tokens = [group.tokens for group in self.groups]
        if not tokens or tokens != sorted(set(tokens)):
            raise ValueError(f"groups end at {tokens} tokens; each must end behind the last one")
        if any(group.batch < 1 for group in self.groups):
            raise ValueError("a group's batch is empty; at least 1 is needed")
        if self.documents < 1:
            raise ValueError(f"documents is {self.documents}; a query has at least its positive")


@dataclass(frozen=True, slots=True)
class Share:
    """Which part of every batch this process reads.

    Attributes:
        devices: Processes that train together.
        rank: Which one this is, from 0.
    """

    devices: int = 1
    rank: int = 0


class Schedule:
    """Rows of a data set as batches, epoch after epoch."""

    def __init__(
        self, lengths: Sequence[int], groups: Sequence[LengthGroup], *, seed: int, share: Share
    ) -> None:
        """Sort rows into groups.

        Args:
            lengths: Tokens of each row.
            groups: The groups, the shortest first.
            seed: Of the order.
            share: This process's part.

        Raises:
            ValueError: There are fewer rows than devices.
        """
        ends = [group.tokens for group in groups]
        places = np.minimum(np.searchsorted(ends, np.asarray(lengths)), len(groups) - 1)
        self._members = [np.flatnonzero(places == place) for place in range(len(groups))]
        self._groups, self._seed, self._share = groups, seed, share
        self._epoch, self._batches = 0, self._order(0)
        if not self._batches:
            raise ValueError(f"{len(lengths)} examples are too few for {share.devices} devices")

    def __len__(self) -> int:
        """Batches of an epoch."""
        return len(self._batches)

    def rows(self, number: int) -> NDArray[np.int64]:
        """The rows of this process in a batch, counted through all epochs."""
        epoch, place = divmod(number, len(self._batches))
        if epoch != self._epoch:
            self._epoch, self._batches = epoch, self._order(epoch)
        own = self._batches[place].reshape(self._share.devices, -1)
        rows: NDArray[np.int64] = own[self._share.rank]
        return rows

    def _order(self, epoch: int) -> list[NDArray[np.int64]]:
        """The batches of all devices in one epoch, [devices * batch] each, in random order.

        What is left over in a group is a smaller batch; fewer rows than devices are left out.
        """
        rng = np.random.default_rng([self._seed, epoch])
        devices = self._share.devices
        found = []
        for group, members in zip(self._groups, self._members, strict=True):
            shuffled = rng.permutation(members)
            for start in range(0, len(shuffled), group.batch * devices):
                batch = shuffled[start : start + group.batch * devices]
                whole = len(batch) - len(batch) % devices
                if whole:
                    found.append(batch[:whole])
        return [found[place] for place in rng.permutation(len(found))]


def segments_shuffled(text: str, rng: np.random.Generator, *, share: float) -> str:
    """A text, or the text with its three parts in another order.

    Args:
        text: The text.
        rng: Decides.
        share: Of the texts of more than 100 characters, how many are shuffled.

    Source: BGE-M3's released code; Chen et al. 2024, appendix A.
    """
    if len(text) <= SHORTEST_SHUFFLED or rng.random() >= share:
        return text
    size = len(text) // SEGMENTS + 1
    parts = [text[start : start + size] for start in range(0, len(text), size)]
    return " ".join(parts[n] for n in rng.permutation(len(parts)))
