"""The stage that mines hard negatives with the model as it is, for the stages behind it.

Between two rounds of training it is ANCE's refreshing: all documents are encoded anew.
"""

from dataclasses import dataclass, field
from pathlib import Path

from tercet.errors import TrainingError
from tercet.training.datasets.mining import MiningRule, refresh
from tercet.training.loop.context import Context
from tercet.training.loop.gathering import share, wait
from tercet.training.models.encoders import as_encoder
from tercet.training.models.model import TrainingModel
from tercet.training.recipes.sources import TrainingData


@dataclass(frozen=True, slots=True)
class Mine:
    """The settings; the model is left as it is.

    Attributes:
        to: The file that is written, in FlagEmbedding's layout; later stages name it as their
            data.
        plan: How is searched; None is the model's default.
        rule: Which documents become negatives; another seed a round brings other ones.
    """

    to: Path
    plan: str | None = None
    rule: MiningRule = field(default_factory=MiningRule)

    def run(self, model: TrainingModel, data: TrainingData, context: Context) -> TrainingModel:
        """Mine, and write the examples.

        Args:
            model: Encodes the documents.
            data: The examples; its texts, or else all documents of the examples, are searched.
            context: Whether to draw bars.

        Raises:
            TrainingError: No example has a negative.
        """
        if share().rank == 0:
            examples = data.examples()
            texts = data.texts() if data.settings.texts else _documents(data)
            self.to.parent.mkdir(parents=True, exist_ok=True)
            with as_encoder(model) as encoder:
                report = refresh(
                    encoder,
                    texts,
                    examples,
                    self.to,
                    self.rule,
                    plan=self.plan,
                    show_progress=context.show_progress,
                )
            if not report.examples:
                raise TrainingError(
                    f"no negative was found for any of {len(examples)} examples: widen the window "
                    "of ranks, or lower the margin"
                )
        wait()
        return model


def _documents(data: TrainingData) -> list[str]:
    return list(dict.fromkeys(text for example in data.examples() for text in example.documents))
