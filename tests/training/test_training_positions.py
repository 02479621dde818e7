"""More positions are drawn out between the learned ones."""

import pytest
import torch
from transformers import (
    BertConfig,
    BertModel,
    JinaEmbeddingsV3Config,
    JinaEmbeddingsV3Model,
    XLMRobertaConfig,
    XLMRobertaModel,
)

from tercet.training.positions.table import extend_positions, stretched

SIZES = {
    "vocab_size": 40,
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 8,
}


def bert(positions: int = 16) -> BertModel:
    torch.manual_seed(0)
    config = BertConfig(**SIZES, max_position_embeddings=positions)
    return BertModel(config, add_pooling_layer=False).eval()


def test_rows_are_drawn_out_from_the_first_to_the_last() -> None:
    table = torch.tensor([[0.0, 10.0], [1.0, 20.0], [2.0, 0.0]])
    longer = stretched(table, rows=5, keep=0)
    torch.testing.assert_close(
        longer, torch.tensor([[0, 10], [0.5, 15], [1, 20], [1.5, 10], [2, 0]])
    )


def test_kept_rows_stay_as_they_are() -> None:
    table = torch.tensor([[5.0], [0.0], [4.0]])
    assert stretched(table, rows=6, keep=1)[:, 0].tolist() == [5, 0, 1, 2, 3, 4]


def test_a_bert_reads_longer_texts_afterwards() -> None:
    model = bert()
    extend_positions(model, positions=50)
    ids = torch.randint(3, 40, (1, 50))
    assert model(input_ids=ids).last_hidden_state.isfinite().all()
    assert model.config.max_position_embeddings == 50
    assert model.embeddings.position_ids.shape == (1, 50)
    assert model.embeddings.token_type_ids.shape == (1, 50)


def test_texts_within_the_kept_positions_are_read_as_before() -> None:
    model, ids = bert(), torch.randint(3, 40, (1, 10))
    before = model(input_ids=ids).last_hidden_state
    extend_positions(model, positions=50, keep=10)
    assert torch.equal(model(input_ids=ids).last_hidden_state, before)


def test_rows_before_the_first_token_are_not_drawn_out() -> None:
    config = XLMRobertaConfig(**SIZES, max_position_embeddings=18, pad_token_id=1)
    model = XLMRobertaModel(config, add_pooling_layer=False).eval()
    old = model.embeddings.position_embeddings.weight.detach().clone()
    extend_positions(model, positions=31)  # 16 learned rows: every other one of 31
    new = model.embeddings.position_embeddings
    assert new.weight.shape == (33, 8)
    assert new.padding_idx == 1
    assert torch.equal(new.weight[:2], old[:2])
    torch.testing.assert_close(new.weight[2::2], old[2:])
    assert model.config.max_position_embeddings == 33
    assert model(input_ids=torch.full((1, 31), 9)).last_hidden_state.isfinite().all()


def test_rotary_positions_need_no_table_and_the_message_says_so() -> None:
    model = JinaEmbeddingsV3Model(JinaEmbeddingsV3Config(**SIZES))
    with pytest.raises(ValueError, match="rotary positions go on without one"):
        extend_positions(model, positions=100)


@pytest.mark.parametrize(("positions", "keep"), [(16, 0), (50, 16), (50, -1)])
def test_numbers_of_positions_that_make_no_sense_are_refused(positions: int, keep: int) -> None:
    with pytest.raises(ValueError, match="positions"):
        extend_positions(bert(), positions=positions, keep=keep)
