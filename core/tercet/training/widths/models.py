"""Writes each width of a model as a checkpoint of its own, and goes on with one of them."""

from copy import copy
from pathlib import Path

from tercet.training.loop.gathering import share
from tercet.training.models.model import TrainingModel
from tercet.training.models.saving import save_model
from tercet.training.widths.layer import Widths, take_width


def keep_width(model: TrainingModel, widths: Widths, keep: int | None, *, folder: Path) -> None:
    """Leave a model the head of one width, and write every width as a model.

    A model with markers and queries of one length is written in Stanford's layout, as
    jina-colbert-v2 and its smaller siblings are published; any other in our own.

    Args:
        model: Changed in place.
        widths: Those that it has.
        keep: The one that stays; None changes and writes nothing.
        folder: Where the models are written, under their widths.
    """
    if keep is None or not widths.dims:
        return
    late = model.spec.multi_vector
    fixed = late is not None and late.expansion is not None and late.expansion.rule == "fixed"
    layout = "stanford" if fixed and model.spec.query.marker else "tercet"
    for dim in widths.dims:
        single = copy(model)  # the backbone is shared, the head is not
        single._modules = dict(model._modules)
        take_width(single, widths, dim)
        if share().rank == 0:
            save_model(single, folder / str(dim), layout=layout)
    take_width(model, widths, keep)
