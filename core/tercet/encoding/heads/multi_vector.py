"""The multi-vector view: one vector for each token that is kept."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tercet.encoding.heads.projection import Projection, unit
from tercet.encoding.packing import padded_rows
from tercet.encoding.transfers import to_device

STEP = 256
"""Rows that a pack has in excess cost nothing beside the backbone's: two sizes are enough."""


class MultiVectorView:
    """Projects token states to unit length."""

    def __init__(self, projection: Projection, *, dim: int) -> None:
        self._projection, self.dim = projection, dim

    @torch.inference_mode()
    def vectors(self, states: Tensor, rows: NDArray[np.int64]) -> Tensor:
        """The vectors of some rows, [chosen, E].

        Args:
            states: Of all rows, [rows, H].
            rows: Those chosen.
        """
        filling = _size(len(rows)) - len(rows) if states.device.type == "cpu" else 0
        chosen = states[to_device(np.pad(rows, (0, filling)), states.device)]
        return unit(self._projection(chosen))[: len(rows)]


def _size(rows: int) -> int:
    """Rows that a CPU projects at once, as `padded_rows` has it."""
    return padded_rows(rows) if rows <= STEP // 2 else -(-rows // STEP) * STEP
