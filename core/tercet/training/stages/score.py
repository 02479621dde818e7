"""The stage that asks a cross-encoder for the scores that later stages learn from."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tercet.training.datasets.teachers import CrossEncoder, score_to_file
from tercet.training.loop.context import Context
from tercet.training.loop.gathering import share, wait
from tercet.training.models.model import TrainingModel
from tercet.training.recipes.sources import TrainingData


@dataclass(frozen=True, slots=True)
class Score:
    """The settings; the model is left as it is.

    Attributes:
        teacher: Folder of a cross-encoder.
        to: The file that is written, in FlagEmbedding's layout; later stages name it as their
            data.
        tokens: Tokens of a query and a document together; None for the teacher's own limit.
        precision: Arithmetic of the teacher.
    """

    teacher: Path
    to: Path
    tokens: int | None = None
    precision: Literal["float32", "bfloat16"] = "float32"

    def run(self, model: TrainingModel, data: TrainingData, context: Context) -> TrainingModel:
        """Score the examples; a run that was stopped goes on with those that lack.

        Args:
            model: Plays no part.
            data: The examples.
            context: Plays no part.
        """
        del context
        if share().rank == 0:
            teacher = CrossEncoder.from_pretrained(
                self.teacher,
                device=str(model.device),
                dtype=self.precision,
                max_tokens=self.tokens,
            )
            self.to.parent.mkdir(parents=True, exist_ok=True)
            score_to_file(data.examples(), teacher, self.to)
        wait()
        return model
