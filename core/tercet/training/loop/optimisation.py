"""How a stage is optimised: what of the model is trained, for how long, by which rule."""

from dataclasses import dataclass, field
from typing import Literal

from tercet.training.models.low_rank import LowRank, add_adapters
from tercet.training.models.model import TrainingModel

Trained = Literal["heads", "all", "lora"]
"""What learns: the heads alone, everything, or the heads and low-rank adapters of the backbone."""


@dataclass(frozen=True, slots=True)
class Optimisation:
    """The settings of the optimiser and of the run.

    Attributes:
        learning_rate: The peak.
        epochs: How often the data is read.
        steps: Updates of the weights; the data is read as often as that takes. None for `epochs`.
        accumulate: Batches of one update.
        warmup: Share of the steps in which the learning rate rises.
        schedule: What it does after that.
        optimiser: AdamW, or AdamW without a schedule (the `schedulefree` package).
        weight_decay: Of AdamW.
        clip: The longest gradient; 0 for any.
        precision: Arithmetic of the backbone and the heads; weights stay float32.
        checkpoint_layers: Whether a layer of the backbone keeps its input alone until the backward
            pass and is run again there: less memory for long texts.
        save_every: Steps between checkpoints.
        keep: Checkpoints that are kept.
        log_every: Steps between lines of the log.
        low_rank: Of the adapters, where they are trained.
    """

    learning_rate: float = 1e-5
    epochs: int = 1
    steps: int | None = None
    accumulate: int = 1
    warmup: float = 0.1
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    optimiser: Literal["adamw", "schedule_free"] = "adamw"
    weight_decay: float = 0.01
    clip: float = 1.0
    precision: Literal["float32", "bfloat16"] = "float32"
    checkpoint_layers: bool = False
    save_every: int = 500
    keep: int = 2
    log_every: int = 10
    low_rank: LowRank = field(default_factory=LowRank)

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name in ("epochs", "accumulate", "save_every", "keep", "log_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; at least 1 is needed")
        if self.steps is not None and self.steps < 1:
            raise ValueError(f"steps is {self.steps}; at least 1 is needed")
        if not 0 <= self.warmup < 1:
            raise ValueError(f"warmup is {self.warmup}; it is a share of the steps, below 1")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate is {self.learning_rate}; it must be above 0")

    def batches(self, epoch: int) -> int:
        """Batches of the whole run on one device.

        Args:
            epoch: Batches of one reading of the data.
        """
        if self.steps is not None:
            return self.steps * self.accumulate
        return epoch * self.epochs


def choose_trained(model: TrainingModel, train: Trained, settings: LowRank, *, seed: int) -> None:
    """Say which parameters learn.

    Args:
        model: Changed in place: adapters are added where they are to be trained.
        train: What learns.
        settings: Of the adapters.
        seed: Of their random numbers.

    Raises:
        ValueError: Heads are to be trained, and there are none.
        MissingExtraError: peft is not installed.
    """
    if train == "heads" and not model.heads:
        raise ValueError(
            'train = "heads", but the model has none: name new ones under [model], or train "all"'
        )
    model.backbone.requires_grad_(train == "all")
    if train == "lora":
        add_adapters(model.backbone, settings, seed=seed)
    for head in model.heads:
        head.requires_grad_()
