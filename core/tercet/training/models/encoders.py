"""A model in training as the encoder that it would be if it were saved now."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tercet.encoder import Encoder
from tercet.training.models.model import TrainingModel
from tercet.training.models.saving import save_model


@contextmanager
def as_encoder(model: TrainingModel) -> Iterator[Encoder]:
    """Write a model to a temporary folder and open it, on the same device.

    Args:
        model: As it is now.
    """
    with tempfile.TemporaryDirectory(prefix="tercet-") as folder:
        save_model(model, Path(folder) / "model")
        yield Encoder.from_pretrained(Path(folder) / "model", device=str(model.device))
