"""The learning rate over a run."""

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

WARM_UP = 30  # steps


def cosine(optimiser: Optimizer, *, steps: int) -> LambdaLR:
    """Rise for a few steps, then fall along half a cosine to 0."""

    def factor(step: int) -> float:
        return min(1.0, (step + 1) / WARM_UP) * (1 + math.cos(math.pi * step / steps)) / 2

    return LambdaLR(optimiser, factor)
