"""How what a back end made becomes numpy arrays: now, or when the device has come so far."""

from collections.abc import Callable
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

Made_contra = TypeVar("Made_contra", contravariant=True)

Deliver = Callable[[NDArray[np.float32]], None]
"""Takes an array that has arrived."""


class Outbox(Protocol[Made_contra]):
    """Takes what a model made of one batch and delivers it as arrays."""

    def put(self, made: Made_contra, deliver: Deliver) -> None:
        """Send something on its way."""
        ...

    def finish(self) -> None:
        """Deliver what is still on its way."""
        ...


class ArraysAtOnce:
    """For back ends that make arrays."""

    def put(self, made: NDArray[np.float32], deliver: Deliver) -> None:
        """Deliver an array."""
        deliver(made)

    def finish(self) -> None:
        """Nothing is left."""
