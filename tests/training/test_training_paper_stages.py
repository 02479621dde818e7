"""The stages of the papers beside M3's: each runs, learns, and leaves a model that opens."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tercet.encoder import Encoder
from tercet.errors import MissingViewError, SourceError, TrainingError
from tercet.testing.checkpoints import (
    write_bge_m3,
    write_colbert_v2,
    write_dense,
    write_jacolbert,
    write_jina_colbert,
    write_tercet,
)
from tercet.training.datasets.examples import Demand, Example
from tercet.training.guessing.masked_batches import MaskedBatches
from tercet.training.guessing.masking import UNSCORED
from tercet.training.loop.batching import Batching, LengthGroup
from tercet.training.loop.context import Context
from tercet.training.loop.optimisation import Optimisation
from tercet.training.loop.ranking_batches import TextBatches
from tercet.training.models.model import TrainingModel
from tercet.training.models.opening import open_model
from tercet.training.models.saving import save_model
from tercet.training.recipes.recipe import read_recipe
from tercet.training.stages.extend_positions import ExtendPositions
from tercet.training.stages.heads import AddHeads
from tercet.training.stages.late_interaction import LateInteractionStage
from tercet.training.stages.masked_lm import MaskedLM
from tercet.training.stages.n_way import NWay
from tercet.training.stages.pairs import Pairs
from tercet.training.stages.retromae import RetroMAE
from tercet.training.stages.table import STAGES, stage_class
from tercet.training.stages.triplets import Triplets
from tercet.training.widths.layer import Widths, token_weight

WORDS = [
    "late",
    "dense",
    "sparse",
    "token",
    "vector",
    "query",
    "document",
    "index",
    "search",
    "model",
    "text",
    "word",
]


def sentences(count: int) -> list[str]:
    rng = np.random.default_rng(0)
    return [
        " ".join(f"{' '.join(rng.choice(WORDS, 5))}.".capitalize() for _ in range(3))
        for _ in range(count)
    ]


def examples(*, scored: bool = True) -> list[Example]:
    texts = sentences(24)
    found = []
    for n in range(6):
        documents = texts[4 * n : 4 * n + 4]
        example = Example(documents[0][:20], (documents[0],), tuple(documents[1:]))
        found.append(example.scored([3.0, 1.0, 0.5, -1.0]) if scored else example)
    return found


@dataclass
class Given:
    """What a stage learns from, in memory."""

    of: Sequence[Example] = ()
    unlabelled: Sequence[str] = ()

    def examples(self, demand: Demand | None = None) -> Sequence[Example]:
        for number, example in enumerate(self.of, start=1):
            (demand or Demand()).check(example, place=f"line {number}")
        return self.of

    def texts(self) -> Sequence[str]:
        return self.unlabelled


SMALL = Batching(groups=(LengthGroup(512, 3),), documents=4, shuffle_segments=0.0)
PAIRED = Batching(groups=(LengthGroup(512, 3),), documents=1, shuffle_segments=0.0)
WIDTHS = Widths((4, 8))


def short(steps: int = 3, **changes: object) -> Optimisation:
    return Optimisation(steps=steps, learning_rate=1e-2, warmup=0.0, **changes)


def vectors(model: TrainingModel) -> torch.Tensor:
    views = model.eval()(model.document_batch(sentences(2)))
    assert views.multi_vector is not None
    found: torch.Tensor = views.multi_vector.vectors
    return found


def agreement(model: TrainingModel, given: Sequence[Example]) -> float:
    """How often a positive scores above its negatives."""
    first = 0
    for example in given:
        queries = model.eval()(model.query_batch([example.query])).multi_vector
        documents = model(model.document_batch(example.documents)).multi_vector
        assert queries is not None
        assert documents is not None
        similar = torch.einsum("qie,nje->nij", queries.vectors, documents.vectors)
        similar = similar.masked_fill(~documents.mask[:, None], -torch.inf)
        first += int(similar.amax(dim=2).sum(dim=1).argmax() == 0)
    return first / len(given)


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(tmp_path / "run", seed=1)


def test_every_kind_of_stage_has_its_class() -> None:
    for kind in STAGES:
        assert callable(stage_class(kind).run)


@pytest.mark.parametrize("write", [write_jacolbert, write_colbert_v2])
def test_n_way_trains_a_late_interaction_model_with_the_optimiser_of_the_paper(
    tmp_path: Path, context: Context, write: object
) -> None:
    model = open_model(write(tmp_path / "model"))
    before = vectors(model)
    stage = NWay(batching=SMALL, optimisation=short(optimiser="schedule_free", clip=0.0))
    assert stage.run(model, Given(examples()), context) is model
    assert not torch.equal(vectors(model), before)
    save_model(model, tmp_path / "out", layout="stanford")
    opened = Encoder.from_pretrained(tmp_path / "out", dtype="float32").encode_documents(
        sentences(2)
    )
    assert opened.multi_vector is not None


def test_n_way_learns_the_teachers_order(tmp_path: Path, context: Context) -> None:
    model, given = open_model(write_colbert_v2(tmp_path / "model")), examples()
    before = agreement(model, given)
    optimisation = Optimisation(
        steps=40, learning_rate=2e-2, warmup=0.0, optimiser="schedule_free", clip=0.0
    )
    NWay(batching=SMALL, optimisation=optimisation).run(model, Given(given), context)
    assert agreement(model, given) > before


def test_a_table_that_changes_one_number_leaves_the_papers_others(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        """
        [model]
        source = "tercet/mini"
        [[stages]]
        kind = "n_way"
        optimisation = { steps = 7 }
        [[stages]]
        kind = "triplets"
        widths = { heads = "tied" }
        """
    )
    n_way, triplets = (entry.stage for entry in read_recipe(recipe).stages)
    assert n_way == NWay(optimisation=replace(NWay().optimisation, steps=7))
    assert triplets == Triplets(widths=Widths((64, 96, 128, 256, 512, 768), heads="tied"))


def test_the_papers_settings_are_the_defaults() -> None:
    stage = NWay()
    assert (stage.batching.documents, stage.batching.document_tokens) == (32, 300)
    assert (stage.optimisation.learning_rate, stage.optimisation.optimiser) == (
        3e-5,
        "schedule_free",
    )
    assert stage.optimisation.clip == 0
    assert Triplets().widths.dims == (64, 96, 128, 256, 512, 768)
    assert Triplets().batching.documents == 8
    assert RetroMAE().encoder_share == 0.3


def test_distillation_needs_scores_and_says_so(tmp_path: Path, context: Context) -> None:
    model = open_model(write_colbert_v2(tmp_path / "model"))
    stage = NWay(batching=SMALL, optimisation=short())
    with pytest.raises(SourceError, match="line 1: no scores"):
        stage.run(model, Given(examples(scored=False)), context)


def test_a_model_without_token_vectors_is_told_how_to_get_some(
    tmp_path: Path, context: Context
) -> None:
    model = open_model(write_dense(tmp_path / "model"))
    with pytest.raises(TrainingError, match='a stage of the kind "late_interaction"'):
        NWay(batching=SMALL, optimisation=short()).run(model, Given(examples()), context)


@pytest.mark.parametrize("heads", ["separate", "tied"])
def test_the_stages_of_jina_train_all_widths_and_write_each_as_a_model(
    tmp_path: Path, context: Context, heads: str
) -> None:
    model = open_model(write_jina_colbert(tmp_path / "model"))
    widths = Widths((4, 8), heads=heads)
    pairs = Pairs(widths=widths, batching=PAIRED, optimisation=short())
    triplets = Triplets(widths=widths, keep=8, batching=SMALL, optimisation=short())
    pairs.run(model, Given(examples(scored=False)), context.part("pairs"))
    stacked = token_weight(model)
    assert stacked is not None
    assert len(stacked) == widths.total
    triplets.run(model, Given(examples()), context.part("triplets"))
    assert model.spec.multi_vector is not None
    assert model.spec.multi_vector.dim == 8
    for dim in widths.dims:
        folder = context.folder / "triplets" / str(dim)
        encoder = Encoder.from_pretrained(folder, dtype="float32")
        found = encoder.encode_documents(sentences(2)).multi_vector
        assert found is not None
        assert found.vectors.shape[1] == dim
    rows = vectors(model)[model.document_batch(sentences(2)).kept]
    torch.testing.assert_close(torch.from_numpy(found.vectors), rows, atol=1e-5, rtol=0)


def test_widths_of_a_model_without_markers_are_written_in_our_own_layout(
    tmp_path: Path, context: Context
) -> None:
    model = open_model(write_tercet(tmp_path / "model", dim=8, quantise=False))
    stage = Pairs(train="heads", widths=WIDTHS, keep=8, batching=PAIRED, optimisation=short())
    stage.run(model, Given(examples(scored=False)), context)
    opened = Encoder.from_pretrained(context.folder / "4", dtype="float32")
    assert [view.value for view in opened.representations] == ["dense", "sparse", "multi_vector"]


def test_the_same_document_twice_in_a_batch_is_no_negative(
    tmp_path: Path, context: Context
) -> None:
    model = open_model(write_colbert_v2(tmp_path / "model"))
    same = [Example(f"query {n}", ("one text for all",)) for n in range(3)]
    before = vectors(model)
    stage = Pairs(widths=Widths(), batching=PAIRED, optimisation=short(weight_decay=0.0))
    stage.run(model, Given(same), context)
    torch.testing.assert_close(vectors(model), before)  # nothing to tell apart


@pytest.mark.parametrize("write", [write_jina_colbert, write_bge_m3])
def test_a_backbone_learns_to_guess_words_with_rotary_and_with_learned_positions(
    tmp_path: Path, context: Context, write: object
) -> None:
    model = open_model(write(tmp_path / "model"))
    before = model.backbone.get_input_embeddings().weight.detach().clone()
    stage = MaskedLM(batching=SMALL, optimisation=short())
    stage.run(model, Given(unlabelled=sentences(8)), context)
    after = model.backbone.get_input_embeddings().weight
    assert not torch.equal(after, before)
    assert vectors(model).isfinite().all()


def test_special_tokens_and_markers_are_never_hidden(tmp_path: Path) -> None:
    model = open_model(write_jina_colbert(tmp_path / "model"))
    texts = TextBatches(model, sentences(6), SMALL, short(), seed=0)
    masked = MaskedBatches(model, texts, share=1.0, seed=0)
    batch = masked[0]
    assert len(masked) == 3
    assert not batch.inside[:, :2].any()  # <s> and the marker
    assert (batch.labels[batch.inside] == batch.whole[batch.inside]).all()
    assert (batch.labels[~batch.inside] == UNSCORED).all()
    assert torch.equal(masked[0].texts.ids, batch.texts.ids)
    assert not torch.equal(masked[0].texts.ids, masked[2].texts.ids)


@pytest.mark.parametrize("write", [write_bge_m3, write_tercet, write_jina_colbert])
def test_retromae_trains_the_pooled_state(tmp_path: Path, context: Context, write: object) -> None:
    model = open_model(write(tmp_path / "model"))
    before = vectors(model)
    stage = RetroMAE(batching=SMALL, optimisation=short(accumulate=2))
    stage.run(model, Given(unlabelled=sentences(8)), context)
    assert not torch.equal(vectors(model), before)


def test_extended_positions_are_saved_and_read(tmp_path: Path, context: Context) -> None:
    model = open_model(write_bge_m3(tmp_path / "model", positions=66))
    assert model.spec.max_tokens == 64
    ExtendPositions(positions=200, keep=16).run(model, Given(), context)
    assert model.spec.max_tokens == 200
    long = " ".join(WORDS * 12)
    save_model(model, tmp_path / "out")
    encoder = Encoder.from_pretrained(tmp_path / "out", dtype="float32", long_documents="plain")
    found = encoder.encode_documents([long])
    assert found.dense is not None
    batch = model.document_batch([long])
    assert batch.ids.shape[1] > 64
    ours = model(batch).dense
    assert ours is not None
    torch.testing.assert_close(torch.from_numpy(found.dense), ours, atol=1e-5, rtol=0)


def test_the_stage_of_late_interaction_gives_a_family(tmp_path: Path, context: Context) -> None:
    model = open_model(write_dense(tmp_path / "model"))
    LateInteractionStage(family="jacolbert", dim=8).run(model, Given(), context)
    assert model.spec.name == "jacolbert-v2.5"
    save_model(model, tmp_path / "out")  # Stanford's layout cannot tell of the dynamic length
    encoder = Encoder.from_pretrained(tmp_path / "out", dtype="float32")
    found = encoder.encode_queries(["late"]).multi_vector
    assert found is not None
    assert len(found.vectors) == 32
    assert len(model.query_batch(["late " * 30]).ids[0]) == 64


@pytest.mark.parametrize("train", ["heads", "all"])
def test_heads_are_added_to_a_dense_encoder_without_labels(
    tmp_path: Path, context: Context, train: str
) -> None:
    folder = write_dense(tmp_path / "model")
    model = open_model(folder)
    before = model(model.document_batch(sentences(2))).dense
    stage = AddHeads(
        train=train,
        multi_vector=8,
        optimisation=Optimisation(steps=2, learning_rate=1e-4, warmup=0.0),
    )
    stage.run(model, Given(unlabelled=sentences(20)), context)
    assert [view.value for view in model.spec.representations] == [
        "dense",
        "sparse",
        "multi_vector",
    ]
    after = model(model.document_batch(sentences(2))).dense
    assert before is not None
    assert after is not None
    assert torch.equal(after, before) == (train == "heads")
    save_model(model, tmp_path / "out")
    opened = Encoder.from_pretrained(tmp_path / "out", dtype="float32")
    found = opened.encode_documents(sentences(2))
    assert found.multi_vector is not None
    assert found.sparse is not None
    assert (found.sparse.weights > 0).any()
    assert found.multi_vector.vectors.shape[1] == 8


def test_heads_that_a_model_has_are_kept(tmp_path: Path, context: Context) -> None:
    model = open_model(write_tercet(tmp_path / "model", dim=16, quantise=False))
    before = token_weight(model)
    stage = AddHeads(
        optimisation=Optimisation(steps=1, learning_rate=1e-6, warmup=0.0),
    )
    stage.run(model, Given(unlabelled=sentences(20)), context)
    after = token_weight(model)
    assert before is not None
    assert after is not None
    torch.testing.assert_close(after, before, atol=1e-4, rtol=0)


def test_one_head_alone_can_be_added(tmp_path: Path, context: Context) -> None:
    for name, stage in (
        ("sparse", AddHeads(multi_vector=None, optimisation=short(1))),
        ("multi_vector", AddHeads(sparse=False, multi_vector=4, optimisation=short(1))),
    ):
        model = open_model(write_dense(tmp_path / name))
        stage.run(model, Given(unlabelled=sentences(9)), context.part(name))
        assert [view.value for view in model.spec.representations] == ["dense", name]


def test_heads_need_a_dense_view(tmp_path: Path, context: Context) -> None:
    model = open_model(write_colbert_v2(tmp_path / "model"))
    with pytest.raises(MissingViewError, match="no dense view"):
        AddHeads(optimisation=short(1)).run(model, Given(unlabelled=sentences(9)), context)
