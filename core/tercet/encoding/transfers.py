"""Tensors between numpy and a device, so that neither side waits for the other."""

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from tercet.encoding.outbox import Deliver, Outbox


def to_device(array: NDArray[Any], device: torch.device) -> Tensor:
    """An array as a tensor; one on its way to a CUDA device is waited for by nobody here."""
    tensor = torch.from_numpy(array)
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def outbox_of(device: torch.device) -> Outbox[Tensor]:
    """What takes the tensors of one batch off a device."""
    if device.type == "cuda":
        return PinnedCopies(device)
    return TensorsAtOnce() if device.type == "cpu" else TensorsAtLast()


class TensorsAtOnce:
    """For the CPU, where what was made is there."""

    def put(self, made: Tensor, deliver: Deliver) -> None:
        """Deliver a tensor."""
        deliver(made.numpy(force=True))

    def finish(self) -> None:
        """Nothing is left."""


class TensorsAtLast:
    """For devices that compute behind our back: to ask for a tensor is to wait for it."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Tensor, Deliver]] = []

    def put(self, made: Tensor, deliver: Deliver) -> None:
        """Keep a tensor."""
        self._waiting.append((made, deliver))

    def finish(self) -> None:
        """Deliver all tensors, in the order in which they came."""
        for made, deliver in self._waiting:
            deliver(made.numpy(force=True))
        self._waiting = []


class PinnedCopies:
    """For CUDA: tensors are copied into pinned memory while the device computes what comes next."""

    def __init__(self, device: torch.device) -> None:
        self._stream: torch.cuda.Stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._waiting: list[tuple[Tensor, torch.cuda.Event, Deliver]] = []

    def put(self, made: Tensor, deliver: Deliver) -> None:
        """Begin to copy a tensor, when it will have been computed."""
        self._stream.wait_stream(torch.cuda.current_stream(made.device))
        with torch.cuda.stream(self._stream):
            here = made.to("cpu", non_blocking=True)  # pinned, since nobody waits for it
            arrived = self._stream.record_event()
        made.record_stream(self._stream)  # its memory is not given to others before it was read
        self._waiting.append((here, arrived, deliver))

    def finish(self) -> None:
        """Deliver all tensors, in the order in which they came."""
        for here, arrived, deliver in self._waiting:
            arrived.synchronize()
            deliver(here.numpy())
        self._waiting = []
