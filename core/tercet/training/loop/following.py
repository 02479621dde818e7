"""What follows a run step by step: Ctrl-C, and the bar."""

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from tercet.progress import Progress


class Bar(TrainerCallback):
    """Moves a bar with every step."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **unused: object,
    ) -> None:
        """Begin where a resumed run begins."""
        del args, control, unused
        self._bar.advance(state.global_step)

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **unused: object,
    ) -> None:
        """Move on."""
        del args, state, control, unused
        self._bar.advance(1)


class Interruption(TrainerCallback):
    """Listens for Ctrl-C while it is entered: the step is finished and saved.

    A second Ctrl-C stops at once.

    Attributes:
        asked: Whether it was pressed.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: Callable[[int, FrameType | None], Any] | int | None = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # Python's rule for signals
            self._before = signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **unused: object,
    ) -> None:
        """Save and stop, if that was asked for."""
        del args, state, unused
        if self.asked:
            control.should_save = control.should_training_stop = True

    def _ask(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
