"""Attention of a whole pack on a CPU: a kernel of ours, on as many threads as torch has."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from tercet.encoding.packing import Run
from tercet.kernels.attention import BFLOAT16, Attention, Block, Numbers, Work, can_attend
from tercet.kernels.attention_blocks import QUERIES
from tercet.scoring.threads import in_parallel

WORTH_A_THREAD = 4_000_000
"""Products of two numbers below which handing work to another thread costs more than it saves."""


class RunsAtOnce:
    """A pack for the kernel: what stands where, listed once for all layers."""

    def __init__(self, runs: Sequence[Run], *, windows: bool = True) -> None:
        """List a pack.

        Args:
            runs: What stands where in it.
            windows: Whether the kernel knows sliding windows, as that of float32 does.
        """
        self._runs, self._windows = runs, windows
        self._work: dict[bool, Work] = {}
        self._known: dict[object, tuple[Attention, list[range]]] = {}

    def fits(self, window: int | None) -> bool:
        """Whether the kernel can do it."""
        return self._windows or window is None

    def __call__(
        self, query: Tensor, key: Tensor, value: Tensor, *, scale: float, window: int | None
    ) -> Tensor:
        """What each row read, [T, heads, head]; all three are of that shape, in one arithmetic."""
        states = [_numbers_in_rows(each) for each in (query, key, value)]
        read = torch.empty(query.shape, dtype=query.dtype)
        if len(read) > self._runs[-1].stop:
            read[self._runs[-1].stop :] = 0  # rows that fill the pack up
        attention, pieces = self._attention(states, read, scale=scale, window=window)
        places = [each.data_ptr() for each in (*states, read)]
        in_parallel(partial(attention.run, places), pieces)
        return read

    def _attention(
        self, states: Sequence[Tensor], read: Tensor, *, scale: float, window: int | None
    ) -> tuple[Attention, list[range]]:
        """How states that lie so are read, and what each thread does; all layers ask alike."""
        lie = tuple((each.shape, each.stride(), each.dtype) for each in states)
        asked = (lie, scale, window, torch.get_num_threads())
        if asked not in self._known:
            work = self._listed(windowed=window is not None)
            numbers = [_numbers(each) for each in (*states, read)]
            attention = Attention.of(numbers[:3], numbers[3], work, scale=scale, window=window)
            _, heads, head = read.shape
            products = 2 * head * heads * work.products
            threads = max(1, min(torch.get_num_threads(), products // WORTH_A_THREAD))
            self._known[asked] = attention, shares(work, heads, threads)
        return self._known[asked]

    def _listed(self, *, windowed: bool) -> Work:
        if windowed not in self._work:
            blocks = [block for run in self._runs for block in blocks_of(run, windowed=windowed)]
            self._work[windowed] = Work.of(blocks)
        return self._work[windowed]


def _numbers_in_rows(states: Tensor) -> Tensor:
    """The states, copied if the numbers of a head do not stand side by side."""
    return states if states.stride(2) == 1 else states.contiguous()


def _numbers(states: Tensor) -> Numbers:
    """The numbers of states where they are; numpy has no bfloat16, so its bits."""
    if states.dtype == torch.bfloat16:
        states = states.view(torch.int16)
    found: Numbers = states.numpy()
    return found


def blocks_of(run: Run, *, windowed: bool) -> Iterator[Block]:
    """The blocks of rows that ask in a run.

    They begin where their text does, so that no neighbour changes what stands together.
    """
    asking = run.visible if run.anchors else run.length
    for start in range(run.start, run.stop, run.length):
        for place in range(0, asking, QUERIES):
            rows = min(QUERIES, asking - place)
            yield Block(start + place, rows, start, run.visible, place)
        probes = start + run.visible
        if windowed:  # each stands elsewhere
            for n, anchor in enumerate(run.anchors):
                yield Block(probes + n, 1, start, run.visible, anchor, reads_itself=True)
        else:
            for n in range(0, len(run.anchors), QUERIES):
                rows = min(QUERIES, len(run.anchors) - n)
                yield Block(probes + n, rows, start, run.visible, 0, reads_itself=True)


def shares(work: Work, heads: int, count: int) -> list[range]:
    """Cut the pairs of blocks and heads into so many pieces of like cost, in order."""
    if count == 1:
        return [range(len(work.table) * heads)]
    costs = np.cumsum(np.repeat(work.table[:, 1] * work.table[:, 3], heads))
    wanted = costs[-1] * np.arange(1, count) // count
    edges = [0, *np.searchsorted(costs, wanted).tolist(), len(costs)]
    return [range(*edge) for edge in pairwise(edges)]


def find_kernel(
    *, device: torch.device, dtype: torch.dtype, head: int
) -> Callable[[Sequence[Run]], RunsAtOnce] | None:
    """What computes the attention of a pack at once there; None without such a kernel."""
    if device.type != "cpu":
        return None
    if dtype == torch.float32 and can_attend():
        return RunsAtOnce
    if dtype == torch.bfloat16 and can_attend(BFLOAT16, head=head):
        return partial(RunsAtOnce, windows=False)
    return None
