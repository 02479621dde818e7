"""Makes a late interaction model of any backbone: markers, expansion and skiplist of a family."""

import string
from dataclasses import replace
from pathlib import Path
from typing import Literal

import tokenizers
import torch

from tercet.encoding.saving import copy_tokenizer
from tercet.encoding.tokenizing import Tokenizer
from tercet.models.jacolbert import JACOLBERT_V25
from tercet.models.jina_colbert import JINA_COLBERT_V2
from tercet.models.spec import LateInteraction, ModelSpec, Skiplist
from tercet.models.stanford import COLBERT_V2
from tercet.training.loop.gathering import share, wait
from tercet.training.models.model import TrainingModel
from tercet.training.widths.layer import draw_weight, set_token_head, token_weight

TOKENIZER_FILE = "tokenizer.json"

Family = Literal["colbert", "jacolbert", "jina-colbert"]

FAMILIES: dict[Family, ModelSpec] = {
    "colbert": COLBERT_V2,
    "jacolbert": JACOLBERT_V25,
    "jina-colbert": JINA_COLBERT_V2,
}
"""Whose way of writing queries and documents a model may take on."""


def adopt(model: TrainingModel, family: Family, *, dim: int, seed: int, folder: Path) -> None:
    """Let a model write queries and documents as a published family does.

    Late interaction is its one view from then on, in a form that Stanford's library reads. Markers
    that its vocabulary lacks are added to it, and their embeddings drawn at random.

    Args:
        model: Changed in place; a head of `dim` without bias is kept, another drawn at random.
        family: Which one.
        dim: Length of a token vector.
        seed: Of the random numbers.
        folder: Where a tokenizer with new tokens is written; made if needed.
    """
    published, kept = FAMILIES[family], token_weight(model)
    late = published.multi_vector or LateInteraction(dim)
    skiplist = Skiplist(tuple(string.punctuation), first_piece=True, pad=True)
    model.spec = replace(
        model.spec,
        name=published.name,
        dense=None,
        sparse=None,
        multi_vector=replace(late, skiplist=skiplist),
        query=published.query,
        document=published.document,
        tokenizer=replace(model.spec.tokenizer, pad_as_mask=True),
        hybrid_weights={},
    )
    model.dense_layers, model.sparse_layer = None, None
    drawn = draw_weight(dim, model.spec.hidden, seed=seed)
    set_token_head(model, kept if kept is not None and len(kept) == dim else drawn)
    _know_markers(model, seed=seed, folder=folder)
    model.tokenizer = Tokenizer(model.folder, model.spec)


def _know_markers(model: TrainingModel, *, seed: int, folder: Path) -> None:
    """Add the markers that a fast tokenizer lacks; a slow one stays as it is."""
    files = model.spec.tokenizer
    if not files.fast:
        return
    home = model.folder / files.folder
    known = tokenizers.Tokenizer.from_file(str(home / TOKENIZER_FILE))
    markers = [side.marker for side in (model.spec.query, model.spec.document) if side.marker]
    if not known.add_special_tokens([m for m in markers if known.token_to_id(m) is None]):
        return
    if share().rank == 0:
        folder.mkdir(parents=True, exist_ok=True)
        copy_tokenizer(home, folder)
        known.save(str(folder / TOKENIZER_FILE))
    wait()
    model.folder = folder
    rows = max(known.get_vocab_size(), model.spec.vocabulary)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model.backbone.resize_token_embeddings(rows, mean_resizing=False)
    model.spec = replace(
        model.spec,
        vocabulary=rows,
        config={**model.spec.config, "vocab_size": rows},
        tokenizer=replace(files, folder=""),
    )
