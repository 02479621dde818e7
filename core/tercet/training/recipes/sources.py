"""What a stage learns from, read when it is asked for."""

from collections.abc import Sequence
from dataclasses import dataclass

from tercet.training.datasets.examples import Demand, Example
from tercet.training.datasets.settings import DataSettings, read_examples, read_texts


@dataclass(frozen=True, slots=True)
class TrainingData:
    """Examples and texts of one stage.

    Attributes:
        settings: Where they are.
    """

    settings: DataSettings

    def examples(self, demand: Demand | None = None) -> Sequence[Example]:
        """Queries with their documents.

        Args:
            demand: What each must have.

        Raises:
            SourceError: None are named, a file cannot be read, or an example lacks what it must.
        """
        return read_examples(self.settings, demand=demand)

    def texts(self) -> Sequence[str]:
        """Texts without queries.

        Raises:
            SourceError: None are named, or a file cannot be read.
        """
        return read_texts(self.settings)
