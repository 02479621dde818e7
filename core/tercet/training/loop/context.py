"""What a stage is told beside its settings: where to work, from which seed, who listens."""

import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from transformers import TrainerCallback


@dataclass(frozen=True, slots=True)
class Context:
    """The circumstances of a stage.

    Attributes:
        folder: Where its checkpoints and logs are written.
        seed: Of all its random numbers.
        resume: Whether to go on from the last checkpoint in the folder, if there is one.
        callbacks: Are told of every step; they evaluate, log and plot.
        show_progress: Whether to draw a bar on stderr.
    """

    folder: Path
    seed: int = 0
    resume: bool = False
    callbacks: tuple[TrainerCallback, ...] = ()
    show_progress: bool = False

    def part(self, name: str) -> Self:
        """The circumstances of a part of the stage: a folder of its own, another seed."""
        return replace(
            self, folder=self.folder / name, seed=(self.seed + zlib.crc32(name.encode())) % 2**31
        )
