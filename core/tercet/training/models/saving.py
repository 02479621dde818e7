"""Saves trained models: in our own layout, or in one that another library opens."""

import logging
import warnings
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np

from tercet.embeddings import Representation
from tercet.encoding.checkpoint_files import FolderFiles
from tercet.encoding.tokenised import TokenisedText
from tercet.encoding.tokenizing import Tokenizer
from tercet.errors import CheckpointError, MissingViewError
from tercet.models.layouts import detect
from tercet.models.spec import LinearLayer, ModelSpec
from tercet.training.models.model import TrainingModel
from tercet.training.models.replacing import replacing

LOG = logging.getLogger(__name__)

DENSE, SPARSE, MULTI_VECTOR = Representation

LAYOUTS: dict[str, tuple[str, tuple[Representation, ...]]] = {
    "tercet": ("tercet.encoding.saving", ()),
    "bge-m3": ("tercet.training.layouts.bge_m3", (DENSE, SPARSE, MULTI_VECTOR)),
    "stanford": ("tercet.training.layouts.stanford", (MULTI_VECTOR,)),
    "pylate": ("tercet.training.layouts.pylate", (MULTI_VECTOR,)),
    "sentence-transformers-multi-vector": (
        "tercet.training.layouts.multi_vector",
        (MULTI_VECTOR,),
    ),
    "sentence-transformers": ("tercet.training.layouts.dense", (DENSE,)),
}
"""Where the writer of each layout is, and the views that it holds; ours holds those there are."""

CARD = "README.md"

PROBES = (
    "A query, or a document: 2 words?",
    "! \" # $ % & ' ( ) * + , - . / : ; < = > ? @ [ \\ ] ^ _ ` { | } ~",
    "",
)
"""Texts that a model must read in one way before and after it is saved."""

WORD = "a "


def save_model(
    model: TrainingModel, folder: Path, *, layout: str = "tercet", card: str = ""
) -> None:
    """Write a model as a folder; what is there stays whole until the new one is.

    Args:
        model: As it is now.
        folder: Where to; a model that is there is replaced.
        layout: "tercet" holds every model. The others are for other libraries: "bge-m3"
            (FlagEmbedding), "stanford" (ColBERT), "pylate", "sentence-transformers-multi-vector"
            and "sentence-transformers" (dense); a view that a layout does not hold is left out.
        card: The model's card, Markdown; "" for none.

    Raises:
        ValueError: There is no such layout.
        MissingViewError: The model lacks a view of the layout.
        CheckpointError: The layout cannot say what the model is, so that another model would be
            opened from it.
        FileExistsError: The folder holds files and is no model.
        TrainingError: A file could not be written; what was there is as it was.
    """
    if layout not in LAYOUTS:
        raise ValueError(f"no layout {layout!r}; there are: {', '.join(LAYOUTS)}")
    module, views = LAYOUTS[layout]
    spec = _with_views(model.spec, views, layout)
    home = model.folder / model.spec.tokenizer.folder
    writer: Callable[..., None] = import_module(module).write
    with replacing(folder) as partial:
        writer(spec, model.weights(), partial, tokenizer=home)
        if card:
            (partial / CARD).write_text(card, encoding="utf-8")
        if views:
            _check(spec, model.folder, partial, layout=layout)


def _with_views(spec: ModelSpec, views: tuple[Representation, ...], layout: str) -> ModelSpec:
    """The model without the views that a layout does not hold."""
    lacking = [view for view in views if view not in spec.representations]
    if lacking:
        raise MissingViewError(
            f"the layout {layout!r} holds {', '.join(views)}; the model has "
            f"{', '.join(spec.representations)}: save it as 'tercet', which holds every model"
        )
    left_out = [view for view in spec.representations if views and view not in views]
    if not left_out:
        return spec
    LOG.warning("the layout %r does not hold %s: left out", layout, ", ".join(left_out))
    return replace(
        spec,
        dense=spec.dense if DENSE in views else None,
        sparse=spec.sparse if SPARSE in views else None,
        multi_vector=spec.multi_vector if MULTI_VECTOR in views else None,
    )


def _check(spec: ModelSpec, origin: Path, folder: Path, *, layout: str) -> None:
    """Refuse a folder from which another model would be opened.

    Raises:
        CheckpointError: Texts would be read in another way, or heads are used in another way.
    """
    read = detect(FolderFiles(folder))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of markers that lack, which shows in the comparison
        mine, theirs = Tokenizer(origin, spec), Tokenizer(folder, read)
    told = {
        "backbone": (spec.architecture, read.architecture),
        "tokens of a text": (spec.max_tokens, read.max_tokens),
        "heads": (_heads(spec), _heads(read)),
        "queries": (_queries(mine, spec), _queries(theirs, read)),
        "documents": (_documents(mine, spec), _documents(theirs, read)),
    }
    different = [name for name, (ours, another) in told.items() if ours != another]
    if different:
        raise CheckpointError(
            f"the layout {layout!r} cannot say what this model is: what is opened from it would "
            f"differ in its {', '.join(different)}: save it as 'tercet', which holds every model"
        )


def _heads(spec: ModelSpec) -> object:
    """How the heads use their tensors, wherever those are; what they keep shows in texts."""

    def bare(layers: tuple[LinearLayer, ...]) -> tuple[LinearLayer, ...]:
        return tuple(replace(layer, file="", prefix="") for layer in layers)

    dense, sparse, late = spec.dense, spec.sparse, spec.multi_vector
    return (
        dense and replace(dense, layers=bare(dense.layers)),
        sparse and replace(sparse, layer=bare((sparse.layer,))[0], keep_sep=False),
        late and (late.dim, bare(late.layers), late.reduction),
    )


def _probes(spec: ModelSpec) -> list[str]:
    return [*PROBES, WORD * spec.max_tokens]


def _queries(tokenizer: Tokenizer, spec: ModelSpec) -> object:
    late = spec.multi_vector
    limit = (
        None
        if late and late.expansion
        else min(spec.query.tokens or spec.max_tokens, spec.max_tokens)
    )
    return [_read(text) for text in tokenizer.queries(_probes(spec), limit=limit)]


def _documents(tokenizer: Tokenizer, spec: ModelSpec) -> object:
    limit = min(spec.document.tokens or spec.max_tokens, spec.max_tokens)
    return [_read(text) for text in tokenizer.documents(_probes(spec), limit=limit)]


def _read(text: TokenisedText) -> list[list[int]]:
    """Ids, the rows that others see, those with a token vector and those with a lexical weight."""
    rows = (text.attended, text.keep, text.lexical)
    return [text.ids.tolist(), *(np.flatnonzero(chosen).tolist() for chosen in rows)]
