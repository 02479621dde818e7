"""Threads for kernels: independent pieces of work, spread over the processors."""

import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cache
from threading import Event
from typing import TypeVar

Piece = TypeVar("Piece")


def in_parallel(work: Callable[[Piece], None], pieces: Sequence[Piece]) -> None:
    """Do every piece of work; numpy and kernels let go of the interpreter.

    As many threads as processors, or as `OMP_NUM_THREADS` says. The first error is raised, when no
    thread is at work any more: kernels write to memory that is the caller's.
    """
    count = min(thread_count(), len(pieces))
    if count <= 1:
        for piece in pieces:
            work(piece)
        return

    given_up = Event()

    def share(first: int) -> None:
        for piece in pieces[first::count]:
            if not given_up.is_set():
                work(piece)

    others: list[Future[None]] = []
    try:
        others += (_pool().submit(share, first) for first in range(1, count))
        share(0)
    except BaseException:  # an interrupt too
        given_up.set()
        raise
    finally:
        wait(others)
    for other in others:
        other.result()


@cache
def thread_count() -> int:
    """As many as processors, or as `OMP_NUM_THREADS` says."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdecimal() and int(asked):
        return int(asked)
    # macOS does not say which processors a process may use
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(thread_count(), thread_name_prefix="tercet-scoring")


os.register_at_fork(after_in_child=_pool.cache_clear)  # threads do not survive a fork
