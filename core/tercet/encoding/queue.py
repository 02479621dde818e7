"""The queue before an encoder, and the one worker that empties it in batches of a useful size."""

import os
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock, RLock, local
from types import TracebackType
from typing import Self
from weakref import WeakSet

import numpy as np

from tercet.embeddings import Embeddings, TextEncoder
from tercet.encoding.calls import TextRole, encode_silently
from tercet.encoding.gathering import Gathering

CAPACITY = 65_536
"""Most texts that wait in a queue, unless told otherwise."""

BATCH_CHARACTERS = 8_192
"""Text that is encoded at once, so some 2,000 tokens: more gain nothing, and hold others up."""

BATCH_TEXTS = 256
"""Most texts that are encoded at once."""


@dataclass(slots=True, eq=False)
class _Job:
    """One call: its texts, how many of them were taken, and what became of those."""

    role: TextRole
    texts: Sequence[str]
    future: Future[Embeddings] = field(default_factory=Future)
    taken: int = 0
    gathering: Gathering = field(default_factory=Gathering)

    @property
    def left(self) -> int:
        """Texts that nobody has taken."""
        return len(self.texts) - self.taken

    def end(self, outcome: Future[Embeddings]) -> None:
        """Hand over views or an error, unless the call was cancelled meanwhile."""
        if not self.future.set_running_or_notify_cancel():
            return
        if error := outcome.exception():
            self.future.set_exception(error)
        else:
            self.future.set_result(outcome.result())


@dataclass(frozen=True, slots=True)
class _Piece:
    """Neighbouring texts of a job."""

    job: _Job
    start: int
    stop: int

    @property
    def texts(self) -> Sequence[str]:
        """The texts."""
        return self.job.texts[self.start : self.stop]

    @property
    def is_last(self) -> bool:
        """Whether the job has no more texts."""
        return self.stop == len(self.job.texts)


class _Attempt:
    """A block of code whose error becomes the outcome: it belongs to a caller, not the worker."""

    def __init__(self) -> None:
        self.outcome: Future[Embeddings] = Future()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if error is not None:
            self.outcome.set_exception(error)
        return error is not None


class Queue:
    """Calls that wait for an encoder; safe to use from many threads, and after a fork."""

    def __init__(self, encoder: TextEncoder, *, capacity: int) -> None:
        """Begin without a worker: it comes with the first call, and goes with the queue.

        Args:
            encoder: What the worker calls.
            capacity: Most texts that wait; jobs beyond it wait outside.
        """
        if capacity < 1:
            raise ValueError(f"capacity is {capacity}; at least 1 text must find room")
        self._encoder, self._capacity = encoder, capacity
        self._closed = False
        self.start_anew()
        _QUEUES.add(self)

    def start_anew(self) -> None:
        """Have nothing that waits and no worker, as at first and in a forked process."""
        self.busy = RLock()
        self._lock = Lock()
        self._inside: dict[TextRole, deque[_Job]] = {role: deque() for role in TextRole}
        self._turns = deque(TextRole)
        self._outside: deque[_Job] = deque()
        self._waiting = 0
        self._working = False
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="tercet-serving")

    @property
    def waiting(self) -> int:
        """Texts in the queue."""
        return self._waiting

    def put(self, role: TextRole, texts: Sequence[str]) -> Future[Embeddings]:
        """Have texts encoded; cancelling what is returned takes them out again.

        Raises:
            RuntimeError: The queue was closed.
        """
        job = _Job(role, list(texts))
        with self._lock:
            if self._closed:
                raise RuntimeError("this Serving was closed: make another one")
            self._outside.append(job)
            self._admit()
            if not self._working:
                self._worker.submit(self._work)
                self._working = True
        return job.future

    def close(self) -> None:
        """Refuse further calls, and wait for the end of those that were made."""
        with self._lock:
            self._closed = True
        self._worker.shutdown()

    def _admit(self) -> None:
        """Let jobs in, in their order, while there is room; a large one when nothing waits."""
        while self._outside:
            left = self._outside[0].left
            if self._waiting and self._waiting + left > self._capacity:
                return
            job = self._outside.popleft()
            self._inside[job.role].append(job)
            self._waiting += left

    def _work(self) -> None:
        while batch := self._take():
            with self.busy:
                self._encode(batch)

    def _take(self) -> list[_Piece]:
        """The texts to encode next: of one role, the roles in turn; none where nothing waits."""
        with self._lock:
            for role in tuple(self._turns):
                batch = self._fill(self._inside[role])
                self._admit()
                if batch:
                    self._turns.remove(role)
                    self._turns.append(role)
                    return batch
            self._working = False
            return []

    def _fill(self, jobs: deque[_Job]) -> list[_Piece]:
        """Take texts from the front, in a batch of a useful size; cancelled jobs fall out."""
        batch: list[_Piece] = []
        texts = characters = 0
        while jobs and texts < BATCH_TEXTS and characters < BATCH_CHARACTERS:
            job, start = jobs[0], jobs[0].taken
            if job.future.done():
                self._waiting -= jobs.popleft().left
                continue
            while job.left and texts < BATCH_TEXTS and characters < BATCH_CHARACTERS:
                characters += len(job.texts[job.taken])
                texts += 1
                job.taken += 1
            batch.append(_Piece(job, start, job.taken))
            self._waiting -= job.taken - start
            if not job.left:
                jobs.popleft()
        return batch

    def _encode(self, batch: Sequence[_Piece]) -> None:
        """Encode texts together; where that fails, each job alone: its error is then its own."""
        job = batch[0].job
        outcome = self._attempt(job.role, [text for piece in batch for text in piece.texts])
        if outcome.exception() is None:
            _hand_out(outcome.result(), batch)
        elif len(batch[0].texts) == len(job.texts) and len(batch) == 1:
            job.end(outcome)
        else:
            for piece in batch:
                piece.job.end(self._attempt(piece.job.role, piece.job.texts))

    def _attempt(self, role: TextRole, texts: Sequence[str]) -> Future[Embeddings]:
        with _Attempt() as attempt:
            attempt.outcome.set_result(encode_silently(self._encoder, role, texts))
        return attempt.outcome


def _hand_out(found: Embeddings, batch: Sequence[_Piece]) -> None:
    """Give each job its rows, and its caller the whole with the last of them."""
    row = 0
    for piece in batch:
        rows = np.arange(row, row + len(piece.texts))
        row += len(rows)
        piece.job.gathering.add(found if len(batch) == 1 else found.take(rows))
        if piece.is_last:
            whole: Future[Embeddings] = Future()
            whole.set_result(piece.job.gathering.result())
            piece.job.end(whole)


_QUEUES: WeakSet[Queue] = WeakSet()
_FORKING = local()


def _before_fork() -> None:
    """Wait until no worker holds a lock of its encoder, which a child could never release."""
    _FORKING.queues = list(_QUEUES)
    for queue in _FORKING.queues:
        queue.busy.acquire()


def _after_fork_in_parent() -> None:
    for queue in _FORKING.queues:
        queue.busy.release()


def _after_fork_in_child() -> None:
    for queue in list(_QUEUES):
        queue.start_anew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
