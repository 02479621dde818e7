"""Trains as one of some processes: one_of_two_devices.py MODEL OUT BATCH, the rest is in the
environment as torchrun has it."""

import sys
from pathlib import Path

from safetensors.torch import save_file
from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from tercet.training.datasets.examples import Example
from tercet.training.datasets.settings import DataSettings
from tercet.training.loop.batching import Batching, LengthGroup
from tercet.training.loop.context import Context
from tercet.training.loop.gathering import share
from tercet.training.loop.optimisation import Optimisation
from tercet.training.models.opening import open_model
from tercet.training.recipes.sources import TrainingData
from tercet.training.stages.m3 import M3


class Given(TrainingData):
    def examples(self, demand: object = None) -> list[Example]:
        return [
            Example(f"where is {'the ' * n}place", (f"place {n} is far " * (n + 1),), ("nowhere",))
            for n in range(8)
        ]


class Gradients(TrainerCallback):
    def on_pre_optimizer_step(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **told: nn.Module,
    ) -> None:
        found = {n: p.grad for n, p in told["model"].named_parameters() if p.grad is not None}
        save_file(found, f"{sys.argv[2]}.{share().rank}")


stage = M3(
    sub_batch_tokens=30,
    temperature=0.5,
    batching=Batching((LengthGroup(300, int(sys.argv[3])),), documents=2),
    optimisation=Optimisation(steps=1),
)
context = Context(Path(sys.argv[2]), seed=1, callbacks=(Gradients(),))
stage.run(open_model(sys.argv[1]), Given(DataSettings()), context)
