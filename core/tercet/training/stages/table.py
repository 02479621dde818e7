"""The kinds of stages: a new one is its own file and a row here."""

from importlib import import_module
from typing import TYPE_CHECKING, Protocol

from tercet.errors import RecipeError
from tercet.training.recipes.naming import nearest

if TYPE_CHECKING:
    from tercet.training.loop.context import Context
    from tercet.training.models.model import TrainingModel
    from tercet.training.recipes.sources import TrainingData

STAGES = {
    "m3": "tercet.training.stages.m3:M3",
    "dense": "tercet.training.stages.dense:Dense",
    "heads": "tercet.training.stages.heads:AddHeads",
    "late_interaction": "tercet.training.stages.late_interaction:LateInteractionStage",
    "pairs": "tercet.training.stages.pairs:Pairs",
    "triplets": "tercet.training.stages.triplets:Triplets",
    "n_way": "tercet.training.stages.n_way:NWay",
    "masked_lm": "tercet.training.stages.masked_lm:MaskedLM",
    "retromae": "tercet.training.stages.retromae:RetroMAE",
    "extend_positions": "tercet.training.stages.extend_positions:ExtendPositions",
    "mine": "tercet.training.stages.mine:Mine",
    "score": "tercet.training.stages.score:Score",
}
"""Kind to module and class; a module is imported when its kind is asked for."""


class Stage(Protocol):
    """A record of settings that trains a model."""

    def run(
        self, model: "TrainingModel", data: "TrainingData", context: "Context"
    ) -> "TrainingModel":
        """Train a model.

        Args:
            model: What is trained, in place where that can be done.
            data: What it learns from.
            context: Where, and from which seed.

        Returns:
            The trained model.
        """
        ...


def stage_class(kind: str) -> type[Stage]:
    """The class of a kind of stage.

    Raises:
        RecipeError: There is no such kind.
    """
    if kind not in STAGES:
        raise RecipeError(f"no kind of stage {kind!r}{nearest(kind, STAGES)}")
    module, _, name = STAGES[kind].partition(":")
    found: type[Stage] = getattr(import_module(module), name)
    return found
