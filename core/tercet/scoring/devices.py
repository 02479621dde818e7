"""Comparison on a device of torch's: vectors lie there, and scores come back.

The second door to torch, which is imported when a device is asked for. Products are float32 and
compare what is stored, so a GPU's scores are the CPU's but for rounding.
"""

from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tercet.embeddings import MultiVectors
from tercet.scoring.multi_vector import runs

SIMILARITIES = 1 << 25
"""Similarities of query and document tokens that are there at once: 128 MiB."""

Vectors = NDArray[np.float32]
Rows = NDArray[np.int64]


def check_device(device: str) -> str:
    """The name of a device that is there.

    Raises:
        ValueError: There is none of that name.
    """
    torch = import_module("torch")
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"vectors cannot be compared on the device {device!r}: {error}; 'cpu' is always there"
        ) from error
    return device


class DeviceVectors:
    """Dense vectors on a device.

    Args:
        vectors: Float32 rows, [N, E].
        device: Where they go.
    """

    def __init__(self, vectors: Vectors, device: str) -> None:
        self._vectors = _moved(vectors, device)

    def products(self, queries: Vectors, rows: Rows | None = None) -> Vectors:
        """Inner products with all vectors, or with some, [M, R]."""
        chosen = self._vectors
        if rows is not None:
            chosen = chosen[_moved(rows, chosen.device)]
        found: Vectors = (_moved(queries, chosen.device) @ chosen.T).cpu().numpy()
        return found


class DeviceTokens:
    """Token vectors on a device, as they are stored.

    Args:
        tokens: One row a token, [tokens, E]: int8, float16 or float32.
        scales: What each row is multiplied with, [tokens]; None leaves it.
        device: Where they go.
    """

    def __init__(self, tokens: NDArray[Any], scales: Vectors | None, device: str) -> None:
        self._tokens = _moved(tokens, device)
        self._scales = None if scales is None else _moved(scales, device)

    def maxsim(self, queries: MultiVectors, offsets: Rows, tokens: Rows | None = None) -> Vectors:
        """Sums over query tokens of the best similarity in each document, [M, N].

        Args:
            queries: Token vectors of M queries.
            offsets: Document n owns the tokens offsets[n] to offsets[n + 1], [N + 1].
            tokens: Which tokens are meant; None means all, as they lie.
        """
        torch = import_module("torch")
        asked = _moved(queries.vectors, self._tokens.device)
        scores = torch.zeros((len(queries), len(offsets) - 1), device=asked.device)
        chosen = None if tokens is None else _moved(tokens, asked.device)
        lengths = np.diff(queries.offsets).tolist()
        for first, last in runs(offsets, SIMILARITIES // max(1, len(asked))):
            own = slice(int(offsets[first]), int(offsets[last]))
            similarity = self._decoded(own if chosen is None else chosen[own]) @ asked.T
            counts = _moved(np.diff(offsets[first : last + 1]), asked.device)
            best = torch.segment_reduce(similarity, "max", lengths=counts, axis=0)  # [n, Q]
            for row, part in zip(scores, best.split(lengths, dim=1), strict=True):
                row[first:last] = part.sum(dim=1)
        found: Vectors = scores.cpu().numpy()
        return found

    def _decoded(self, chosen: Any) -> Any:
        values = self._tokens[chosen].float()
        return values if self._scales is None else values * self._scales[chosen, None]


def _moved(array: NDArray[Any], device: Any) -> Any:
    # A copy, since torch warns of memory that it may not write, as that of a mapped file.
    return import_module("torch").from_numpy(np.array(array)).to(device)
