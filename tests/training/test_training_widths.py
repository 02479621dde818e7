"""Several heads in one layer, and a backbone that takes on the ways of a published family."""

from pathlib import Path

import pytest
import torch
from torch.nn import functional

from tercet.encoder import Encoder
from tercet.encoding.saving import write
from tercet.testing.checkpoints import write_bge_m3, write_dense, write_jacolbert, write_tercet
from tercet.training.models.model import TokenVectors
from tercet.training.models.opening import open_model
from tercet.training.widths.conventions import adopt
from tercet.training.widths.layer import (
    JINA_WIDTHS,
    Widths,
    draw_weight,
    give_widths,
    set_token_head,
    take_width,
    token_weight,
)

TEXTS = ["late interaction", "three views of a text, in one pass"]


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tercet(tmp_path_factory.mktemp("mini"), dim=16, quantise=False)


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dense(tmp_path_factory.mktemp("dense"))


def test_separate_heads_stand_side_by_side_and_tied_ones_share_columns() -> None:
    separate = Widths((2, 3, 8))
    assert separate.total == 13
    places = [separate.columns(dim) for dim in (2, 3, 8)]
    assert places == [slice(0, 2), slice(2, 5), slice(5, 13)]
    tied = Widths((2, 3, 8), heads="tied")
    assert tied.total == 8
    assert [tied.columns(dim) for dim in (2, 3, 8)] == [slice(0, 2), slice(0, 3), slice(0, 8)]
    assert Widths(JINA_WIDTHS).total == 1824


@pytest.mark.parametrize("heads", ["separate", "tied"])
def test_the_vectors_of_a_width_are_those_of_its_own_layer(heads: str) -> None:
    widths = Widths((2, 4), heads=heads)
    states, weight = torch.randn(1, 3, 5), draw_weight(widths.total, 5, seed=0)
    together = functional.normalize(states @ weight.T, dim=-1)
    views = widths.views(TokenVectors(together, torch.ones(1, 3, dtype=torch.bool)))
    for dim, view in views.items():
        alone = functional.normalize(states @ weight[widths.columns(dim)].T, dim=-1)
        torch.testing.assert_close(view.vectors, alone)


def test_a_model_without_widths_has_the_one_view() -> None:
    vectors = TokenVectors(torch.randn(1, 3, 5), torch.ones(1, 3, dtype=torch.bool))
    assert Widths().views(vectors) == {5: vectors}


def test_weights_belong_to_widths() -> None:
    assert Widths((2, 4), weights=(1, 0.5)).weight(4) == 0.5
    assert Widths((2, 4)).weight(2) == 1
    with pytest.raises(ValueError, match="3 weights for 2 widths"):
        Widths((2, 4), weights=(1, 1, 1))
    with pytest.raises(ValueError, match="ascending"):
        Widths((4, 2))


def test_the_head_that_a_model_has_is_where_its_width_starts(mini: Path) -> None:
    model, widths = open_model(mini), Widths((8, 16, 24))
    before = token_weight(model)
    assert before is not None
    give_widths(model, widths, seed=0)
    stacked = token_weight(model)
    assert stacked is not None
    assert stacked.shape == (48, 32)
    assert torch.equal(stacked[widths.columns(16)], before)
    batch = model.document_batch(TEXTS)
    vectors = model(batch).multi_vector
    assert vectors is not None
    own = open_model(mini)(batch).multi_vector
    assert own is not None
    torch.testing.assert_close(widths.views(vectors)[16].vectors, own.vectors)
    give_widths(model, widths, seed=1)  # it has them: nothing is drawn again
    again = token_weight(model)
    assert again is not None
    assert torch.equal(again, stacked)


def test_one_width_is_taken_as_a_model_of_its_own(mini: Path) -> None:
    model, widths = open_model(mini), Widths((8, 16))
    give_widths(model, widths, seed=0)
    stacked = token_weight(model)
    assert stacked is not None
    stacked = stacked.clone()
    with pytest.raises(ValueError, match=r"no head of 12 dimensions was trained"):
        take_width(model, widths, 12)
    take_width(model, widths, 8)
    assert model.spec.multi_vector is not None
    assert model.spec.multi_vector.dim == 8
    alone = token_weight(model)
    assert alone is not None
    assert torch.equal(alone, stacked[:8])
    with pytest.raises(ValueError, match="not that of these widths"):
        take_width(model, widths, 8)


def test_a_layer_with_a_bias_is_no_start_for_a_width(tmp_path: Path) -> None:
    model = open_model(write_bge_m3(tmp_path / "m3"))
    assert token_weight(model) is None
    give_widths(model, Widths((8, 16)), seed=0)
    assert token_weight(model) is not None


@pytest.mark.parametrize("family", ["colbert", "jacolbert", "jina-colbert"])
def test_a_dense_model_takes_on_a_familys_ways(dense: Path, tmp_path: Path, family: str) -> None:
    model = open_model(dense)
    adopt(model, family, dim=8, seed=0, folder=tmp_path / "tokenizer")
    assert [view.value for view in model.spec.representations] == ["multi_vector"]
    queries = model.query_batch(TEXTS)
    assert queries.ids.shape[1] == 32
    marker = model.tokenizer.terms(queries.ids[0, 1:2].tolist())[0]
    assert marker == model.spec.query.marker
    assert queries.attended.all() == (family == "jina-colbert")
    folder = tmp_path / "saved"
    write(model.spec, model.weights(), folder, tokenizer=model.folder)
    found = Encoder.from_pretrained(folder, dtype="float32").encode_queries(TEXTS)
    assert found.multi_vector is not None
    ours = model.eval()(queries).multi_vector
    assert ours is not None
    rows = ours.vectors[ours.mask].detach()
    torch.testing.assert_close(
        torch.from_numpy(found.multi_vector.vectors), rows, atol=1e-5, rtol=0
    )


def test_a_familys_head_of_the_same_length_is_kept(mini: Path, tmp_path: Path) -> None:
    model = open_model(mini)
    before = token_weight(model)
    adopt(model, "colbert", dim=16, seed=0, folder=tmp_path)
    after = token_weight(model)
    assert before is not None
    assert after is not None
    assert torch.equal(before, after)


def test_a_slow_tokenizer_keeps_its_vocabulary(tmp_path: Path) -> None:
    model = open_model(write_jacolbert(tmp_path / "ja"))
    before = model.spec.vocabulary
    adopt(model, "jacolbert", dim=16, seed=0, folder=tmp_path / "new")
    assert model.spec.vocabulary == before
    assert not (tmp_path / "new").exists()


def test_a_model_without_token_vectors_gets_a_head(dense: Path) -> None:
    model = open_model(dense)
    set_token_head(model, draw_weight(6, model.spec.hidden, seed=0))
    views = model(model.document_batch(TEXTS))
    assert views.multi_vector is not None
    assert views.multi_vector.vectors.shape[2] == 6
    assert views.dense is not None
