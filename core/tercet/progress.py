"""A progress bar on stderr: off unless asked for, plain where stderr is no terminal."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID


class Progress(Protocol):
    """Where a long job says how far it has come."""

    def advance(self, documents: int, *, tokens: int = 0) -> None:
        """So many more texts, of so many tokens in all, are done."""
        ...


class _Silent:
    def advance(self, documents: int, *, tokens: int = 0) -> None:
        """Say nothing."""


@contextmanager
def progress(
    description: str, *, total: int | None = None, unit: str = "documents", show: bool = False
) -> Iterator[Progress]:
    """Follow a long job.

    Args:
        description: What is being done, as "encoding".
        total: How many texts there are, where that is known.
        unit: What the texts are.
        show: Draw a bar on stderr, with texts and tokens a second.
    """
    if not show:
        yield _Silent()
        return
    with _bar() as bar:
        yield _Shown(bar, bar.add_task(description, total=total, rate=""), unit)


def _bar() -> "Bar":
    from rich import progress as rich_progress  # noqa: PLC0415  only a shown bar needs it
    from rich.console import Console  # noqa: PLC0415

    return rich_progress.Progress(
        rich_progress.TextColumn("{task.description}"),
        rich_progress.BarColumn(),
        rich_progress.MofNCompleteColumn(),
        rich_progress.TextColumn("{task.fields[rate]}"),
        rich_progress.TimeElapsedColumn(),
        console=Console(stderr=True),
    )


class _Shown:
    def __init__(self, bar: "Bar", task: "TaskID", unit: str) -> None:
        self._bar, self._task, self._unit, self._tokens = bar, task, unit, 0

    def advance(self, documents: int, *, tokens: int = 0) -> None:
        """Move the bar and renew the rate."""
        self._tokens += tokens
        task = self._bar.tasks[self._bar.task_ids.index(self._task)]
        seconds = max(task.elapsed or 0.0, 1e-3)
        done = (task.completed + documents) / seconds
        rate = f"{done:,.1f} {self._unit}/s"
        if self._tokens:
            rate += f", {self._tokens / seconds:,.0f} tokens/s"
        self._bar.update(self._task, advance=documents, rate=rate)
