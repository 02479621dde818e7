"""Comparison on a device of torch's: vectors lie there as they are stored, and scores come back.

The second door to torch, which is imported when a device is asked for. Products are float32 and
compare what is stored, so a GPU's scores are the CPU's but for rounding; only who lets torch round
(`torch.set_float32_matmul_precision`) has it round here too.

torch rather than faiss compares dense vectors too. faiss's own comparison on GPUs is no faster than
a product and `torch.topk` (faiss#3045 and #3621, cuvs#277), finds 2,048 rows at most, and keeps
float32 or float16 of its own; and it cannot move the 4-bit codes that bring candidates on a CPU.
Nothing needs them there: a million rows of 384 are 1.5 GB, which a GPU reads in 1 or 2 ms.
"""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tercet.embeddings import MultiVectors
from tercet.scoring.multi_vector import runs

AT_ONCE = 1 << 25
"""Decoded numbers, or similarities of tokens, that are there at once: 128 MiB."""

Vectors = NDArray[np.float32]
Rows = NDArray[np.int64]
Best = list[tuple[Rows, Vectors]]
"""For each query some rows, ascending, and their scores, [R] each."""


def check_device(device: str) -> str:
    """The name of a device that is there.

    Raises:
        ValueError: There is none of that name.
    """
    torch = import_module("torch")
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        why = str(error).partition("\n")[0]  # torch adds pages where a build lacks a back end
        raise ValueError(
            f"vectors cannot be compared on the device {device!r}: {why}; 'cpu' is always there"
        ) from error
    return device


@dataclass(frozen=True, slots=True, eq=False)
class Residuals:
    """What bytes stand for that hold several numbers each, the distance of a row to its centroid.

    Attributes:
        table: The numbers of each byte, [256, numbers].
        spread: What each dimension is multiplied with, [E].
        centroids: [C, E].
        cells: The centroid of each row, [rows].
    """

    table: Vectors
    spread: Vectors
    centroids: Vectors
    cells: NDArray[np.uint16]


class _Stored:
    """Rows on a device, decoded when they are looked at.

    Args:
        numbers: [rows, E]: int8, float16 or float32.
        scales: What each row is multiplied with, [rows]; None leaves it.
        device: Where they go.
    """

    def __init__(self, numbers: NDArray[Any], scales: Vectors | None, device: str) -> None:
        self._numbers = _moved(numbers, device)
        self._scales = None if scales is None else _moved(scales, device)
        self.shape = numbers.shape
        self.device = self._numbers.device

    def take(self, chosen: Any) -> Any:
        """Float32 of some rows, [R, E]."""
        values = self._values(chosen)
        return values.float() if self._scales is None else values * self._scales[chosen, None]

    def _values(self, chosen: Any) -> Any:
        return self._numbers[chosen]


class _StoredResiduals(_Stored):
    """The same of bytes, [rows, bytes], that stand for residuals."""

    def __init__(
        self,
        numbers: NDArray[np.uint8],
        scales: Vectors | None,
        residuals: Residuals,
        device: str,
    ) -> None:
        super().__init__(numbers, scales, device)
        self._table, self._spread, self._centroids = (
            _moved(array, device)
            for array in (residuals.table, residuals.spread, residuals.centroids)
        )
        self._cells = _moved(residuals.cells.astype(np.int32), device)  # what torch looks up by

    def take(self, chosen: Any) -> Any:
        """Float32 of some rows, [R, E]."""
        return super().take(chosen) + self._centroids[self._cells[chosen]]

    def _values(self, chosen: Any) -> Any:
        numbers = self._table[super()._values(chosen).int()].flatten(1)  # [R, bytes * numbers]
        return numbers[:, : len(self._spread)] * self._spread


class DeviceVectors:
    """Dense vectors on a device, as they are stored.

    Args:
        numbers: One row a vector, [N, E]: int8, float16 or float32.
        scales: What each row is multiplied with, [N]; None leaves it.
        device: Where they go.
    """

    def __init__(self, numbers: NDArray[Any], scales: Vectors | None, device: str) -> None:
        self._stored = _Stored(numbers, scales, device)

    def products(self, queries: Vectors, rows: Rows) -> Vectors:
        """Inner products with some vectors, [M, R]."""
        asked, chosen = (_moved(array, self._stored.device) for array in (queries, rows))
        found: Vectors = (asked @ self._stored.take(chosen).T).cpu().numpy()
        return found

    def best(
        self, queries: Vectors, depth: int, allowed: NDArray[np.bool_] | None, *, near: float
    ) -> Best:
        """The vectors with the largest inner products; only these come back from the device.

        Args:
            queries: M of them, [M, E].
            depth: How many are looked for.
            allowed: Which may be found, [N]; None where all may.
            near: The same again that lie this far below the last, relative to the largest product.
        """
        torch = import_module("torch")
        scores = self._all_products(_moved(queries, self._stored.device))
        margin = near * scores.abs().amax()
        if allowed is not None:
            scores.masked_fill_(~_moved(allowed, scores.device), -torch.inf)
        least = scores.topk(min(depth, scores.shape[1]), dim=1).values[:, -1:]  # [M, 1]
        chosen = (scores >= least - margin) & (scores > -torch.inf)
        owners, rows = chosen.nonzero().T.cpu().numpy()  # query by query
        found = scores[chosen].cpu().numpy()
        cuts = np.searchsorted(owners, np.arange(1, len(queries)))
        return list(zip(np.split(rows, cuts), np.split(found, cuts), strict=True))

    def _all_products(self, asked: Any) -> Any:
        count, dim = self._stored.shape
        size = max(1, AT_ONCE // dim)
        blocks = (slice(start, start + size) for start in range(0, count, size))
        parts = [asked @ self._stored.take(block).T for block in blocks]
        return import_module("torch").cat(parts, dim=1)  # [M, N]


class DeviceTokens:
    """Token vectors on a device, as they are stored.

    Args:
        tokens: One row a token, [tokens, E]: int8, float16 or float32; or bytes of residuals.
        scales: What each row is multiplied with, [tokens]; None leaves it.
        device: Where they go.
        residuals: What bytes stand for.
    """

    def __init__(
        self,
        tokens: NDArray[Any],
        scales: Vectors | None,
        device: str,
        residuals: Residuals | None = None,
    ) -> None:
        self._stored = (
            _Stored(tokens, scales, device)
            if residuals is None
            else _StoredResiduals(tokens, scales, residuals, device)
        )

    def maxsim(self, queries: MultiVectors, offsets: Rows, tokens: Rows | None = None) -> Vectors:
        """Sums over query tokens of the best similarity in each document, [M, N].

        Args:
            queries: Token vectors of M queries.
            offsets: Document n owns the tokens offsets[n] to offsets[n + 1], [N + 1].
            tokens: Which tokens are meant; None means all, as they lie.
        """
        torch = import_module("torch")
        asked = _moved(queries.vectors, self._stored.device)
        scores = torch.zeros((len(queries), len(offsets) - 1), device=asked.device)
        chosen = None if tokens is None else _moved(tokens, asked.device)
        lengths = np.diff(queries.offsets).tolist()
        for first, last in runs(offsets, AT_ONCE // max(1, *asked.shape)):
            own = slice(int(offsets[first]), int(offsets[last]))
            documents = self._stored.take(own if chosen is None else chosen[own])
            counts = _moved(np.diff(offsets[first : last + 1]), asked.device)
            similarity = documents @ asked.T  # [tokens, E] @ [E, Q] -> [tokens, Q]
            best = torch.segment_reduce(similarity, "max", lengths=counts, axis=0)  # -> [n, Q]
            for row, part in zip(scores, best.split(lengths, dim=1), strict=True):
                row[first:last] = part.sum(dim=1)
        found: Vectors = scores.cpu().numpy()
        return found


def _moved(array: NDArray[Any], device: Any) -> Any:
    # A copy, since torch warns of memory that it may not write, as that of a mapped file.
    return import_module("torch").from_numpy(np.array(array)).to(device)
