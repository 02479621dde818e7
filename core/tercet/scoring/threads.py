"""Threads for kernels: independent pieces of work, spread over the processors; their memory."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import local
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Piece = TypeVar("Piece")


class Buffer(local):
    """Space for the numbers of one block, used again for the next; each thread has its own."""

    space = np.empty(0, dtype=np.float32)

    def take(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Floats of any value."""
        size = int(np.prod(shape))
        if size > len(self.space):
            self.space = np.empty(size, dtype=np.float32)
        return self.space[:size].reshape(shape)


def in_parallel(work: Callable[[Piece], None], pieces: Sequence[Piece]) -> None:
    """Do every piece of work; numpy lets go of the interpreter meanwhile.

    As many threads as processors, or as `OMP_NUM_THREADS` says. The first error is raised.
    """
    count = min(thread_count(), len(pieces))
    if count <= 1:
        for piece in pieces:
            work(piece)
        return

    def share(first: int) -> None:
        for piece in pieces[first::count]:
            work(piece)

    others = [_pool().submit(share, first) for first in range(1, count)]
    share(0)
    for other in others:
        other.result()


@cache
def thread_count() -> int:
    """As many as processors, or as `OMP_NUM_THREADS` says."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return int(asked) if asked.isdecimal() and int(asked) else len(os.sched_getaffinity(0))


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(thread_count(), thread_name_prefix="tercet-scoring")


os.register_at_fork(after_in_child=_pool.cache_clear)  # threads do not survive a fork
