"""The loop: a thin layer over transformers' `Trainer`, which saves whole checkpoints or none."""

import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, distributed, nn
from torch.utils.data import DataLoader
from transformers import (
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from tercet.errors import TrainingError, require
from tercet.progress import progress
from tercet.training.loop.batching import Batches
from tercet.training.loop.checkpoints import WRITING, last_checkpoint, publish
from tercet.training.loop.context import Context
from tercet.training.loop.following import Bar, Interruption
from tercet.training.loop.gathering import share, wait
from tercet.training.loop.optimisation import Optimisation, Trained, choose_trained
from tercet.training.models.low_rank import merge_adapters
from tercet.training.models.model import TrainingModel

Batch = TypeVar("Batch")

WEIGHTS = "model.safetensors"
"""What is trained, in a checkpoint; transformers looks for this name."""

OPTIMISERS = {"adamw": "adamw_torch", "schedule_free": "schedule_free_adamw"}

SCHEDULES = {"linear": "linear", "cosine": "cosine", "constant": "constant_with_warmup"}


class Learner(nn.Module):
    """A model and what it is trained for, as one module."""

    def __init__(self, model: TrainingModel, objective: nn.Module) -> None:
        """Put them together.

        Args:
            model: What is trained.
            objective: Called with the model and a batch, gives the loss; parameters of its own are
                trained and kept in checkpoints too.
        """
        super().__init__()
        self.model, self.objective = model, objective

    def forward(self, batch: Any) -> Tensor:
        """The loss of a batch."""
        loss: Tensor = self.objective(self.model, batch)
        return loss


def fit(
    model: TrainingModel,
    objective: nn.Module,
    batches: Batches[Batch],
    *,
    optimisation: Optimisation,
    train: Trained,
    context: Context,
) -> None:
    """Train a model in place.

    Args:
        model: What is trained; adapters are merged at the end, dropout is off.
        objective: Called with the model and a batch, gives the loss.
        batches: The batches of the whole run.
        optimisation: How.
        train: What of the model learns.
        context: Where, from which seed, and whether to go on from a checkpoint.

    Raises:
        FileExistsError: The folder holds checkpoints, and they are not to be resumed.
        TrainingError: The loss is no number any more, or a checkpoint cannot be written.
        KeyboardInterrupt: Ctrl-C was pressed; the checkpoint of the last step is there.
        MissingExtraError: accelerate, peft or schedulefree is not installed.
    """
    require("accelerate", extra="train")
    last = last_checkpoint(context.folder)
    if last is not None and not context.resume:
        raise FileExistsError(f"{last} is of another run: resume that, or train in another folder")
    choose_trained(model, train, optimisation.low_rank, seed=context.seed)
    model.in_bfloat16 = optimisation.precision == "bfloat16"
    if optimisation.checkpoint_layers:
        model.checkpoint_layers()
    steps = max(1, len(batches) // optimisation.accumulate)
    context.folder.mkdir(parents=True, exist_ok=True)
    with (
        Interruption() as interruption,
        progress("training", total=steps, unit="steps", show=context.show_progress) as bar,
    ):
        trainer = RecipeTrainer(
            Learner(model, objective),
            batches,
            arguments(optimisation, steps=steps, context=context),
            callbacks=[*context.callbacks, interruption, Bar(bar)],
            keep=optimisation.keep,
        )
        trainer.train(resume_from_checkpoint=None if last is None else str(last))
    trainer.average_weights()
    if interruption.asked:
        raise KeyboardInterrupt(f"stopped behind step {trainer.state.global_step}")
    merge_adapters(model.backbone)
    model.eval().requires_grad_(False)


def arguments(optimisation: Optimisation, *, steps: int, context: Context) -> TrainingArguments:
    """The settings as transformers names them."""
    if optimisation.optimiser == "schedule_free":
        require("schedulefree", extra="train")
    found = TrainingArguments(
        output_dir=str(context.folder),
        per_device_train_batch_size=1,  # one item of the data set is a whole batch
        gradient_accumulation_steps=optimisation.accumulate,
        max_steps=steps,
        learning_rate=optimisation.learning_rate,
        warmup_steps=math.ceil(optimisation.warmup * steps),
        lr_scheduler_type="constant"
        if optimisation.optimiser == "schedule_free"
        else SCHEDULES[optimisation.schedule],
        optim=OPTIMISERS[optimisation.optimiser],
        weight_decay=optimisation.weight_decay,
        max_grad_norm=optimisation.clip,
        save_strategy="steps",
        save_steps=optimisation.save_every,
        logging_steps=optimisation.log_every,
        logging_nan_inf_filter=False,
        report_to="none",
        use_cpu=not torch.accelerator.is_available(),
        seed=context.seed,
        disable_tqdm=True,  # its bar prints on stdout, which belongs to results
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        ddp_find_unused_parameters=share().devices > 1,
    )
    found._n_gpu = min(found.n_gpu, 1)  # one process a device; several in one are not for us
    return found


class RecipeTrainer(Trainer):
    """Runs a `Learner` over numbered batches."""

    def __init__(
        self,
        learner: Learner,
        batches: Batches[Any],
        args: TrainingArguments,
        *,
        callbacks: list[TrainerCallback],
        keep: int,
    ) -> None:
        """Put a run together.

        Args:
            learner: What is trained.
            batches: What it reads.
            args: The settings.
            callbacks: Are told of every step.
            keep: Checkpoints that stay.
        """
        super().__init__(
            model=learner,
            args=args,
            train_dataset=batches,
            callbacks=callbacks,
        )
        self._learner, self._batches = learner, batches
        self._folder, self._keep = Path(str(args.output_dir)), keep
        self.remove_callback(PrinterCallback)  # so does this

    def get_train_dataloader(self) -> DataLoader[Any]:
        """The batches in their order; each process makes its own."""
        return DataLoader(
            self._batches,  # type: ignore[arg-type]  # it asks for `len` and items alone
            batch_size=1,
            shuffle=False,
            collate_fn=_alone,
        )

    def compute_loss(
        self,
        model: nn.Module,
        inputs: Mapping[str, Any],
        return_outputs: bool = False,  # noqa: FBT001, FBT002  transformers' signature
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """The loss of a batch.

        Raises:
            TrainingError: It is no number on some device.
        """
        del return_outputs, num_items_in_batch
        loss: Tensor = model(inputs["batch"].to(self.args.device))
        sound = torch.isfinite(loss.detach()).float()
        if share().devices > 1:
            distributed.all_reduce(sound, distributed.ReduceOp.MIN)
        if not sound:
            raise TrainingError(
                f"the loss of step {self.state.global_step + 1} is {loss.item()}: training "
                f"stopped; {self._kept()}; a lower learning rate or float32 may help"
            )
        return loss

    def average_weights(self) -> None:
        """Put those weights into the model that schedule-free AdamW averages; others have one."""
        switch = getattr(self.optimizer, "eval", None)
        if switch is not None:
            switch()

    def _get_output_dir(self, trial: Any) -> str:
        del trial
        return str(self._folder / WRITING)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        """Write what is trained, and nothing that is opened again from where it came."""
        del state_dict
        folder = Path(output_dir or self._folder)
        folder.mkdir(parents=True, exist_ok=True)
        if self.args.should_save:
            trained = self._trained()
            if not all(bool(torch.isfinite(parameter).all()) for parameter in trained.values()):
                raise TrainingError(
                    f"a weight is no number behind step {self.state.global_step}: training "
                    f"stopped; {self._kept()}; a lower learning rate or float32 may help"
                )
            tensors = {name: parameter.detach().cpu() for name, parameter in trained.items()}
            save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """Take back what is trained.

        Raises:
            TrainingError: The checkpoint is damaged, or of another training.
        """
        del model
        path = Path(resume_from_checkpoint) / WEIGHTS
        try:
            tensors = load_file(path)
        except (SafetensorError, OSError) as error:
            raise TrainingError(
                f"{path} cannot be read: {error}; remove its folder to go on from the one before"
            ) from error
        if tensors.keys() != self._trained().keys():
            raise TrainingError(f"{path} holds other weights than those that are trained now")
        self._learner.load_state_dict(tensors, strict=False)

    def _trained(self) -> dict[str, nn.Parameter]:
        """What is trained, by name."""
        return {n: p for n, p in self._learner.named_parameters() if p.requires_grad}

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """Write a checkpoint beside the others, and give it its name when it is whole."""
        alone = self.args.should_save
        if alone:
            shutil.rmtree(self._folder / WRITING, ignore_errors=True)
        wait()
        self.average_weights()
        try:
            super()._save_checkpoint(model, trial)
        except (OSError, RuntimeError, SafetensorError) as error:
            shutil.rmtree(self._folder / WRITING, ignore_errors=True)
            raise TrainingError(
                f"the checkpoint of step {self.state.global_step} could not be written: {error}; "
                f"{self._kept()}"
            ) from error
        wait()
        if alone:
            publish(self._folder, self.state.global_step, keep=self._keep)

    def _kept(self) -> str:
        """Which checkpoint a run can go on from, for messages."""
        last = last_checkpoint(self._folder)
        return (
            "there is no checkpoint yet" if last is None else f"the last good checkpoint is {last}"
        )


def _alone(items: list[Any]) -> dict[str, Any]:
    """The one item of a list, under the name that the trainer hands on."""
    return {"batch": items[0]}
