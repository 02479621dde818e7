"""Checkpoints and ids that would be read wrongly are refused, by name."""

from pathlib import Path

import pytest

from tercet.encoder import Encoder
from tercet.encoding.checkpoint import Checkpoint
from tercet.errors import CheckpointError, UnknownLayoutError
from tercet.testing.checkpoints import write_bge_m3, write_dense, write_pylate
from tercet.testing.checkpoints.tensors import write_json


def test_a_sparse_model_over_the_vocabulary_is_no_mean_of_token_states(tmp_path: Path) -> None:
    write_dense(tmp_path)
    write_json(
        tmp_path / "modules.json",
        [
            {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.MLMTransformer"},
            {"idx": 1, "name": "1", "path": "1_Splade", "type": "x.sparse_encoder.SpladePooling"},
        ],
    )
    with pytest.raises(UnknownLayoutError, match=r"\['MLMTransformer', 'SpladePooling'\].*SPLADE"):
        Checkpoint.open(tmp_path)


def test_a_pylate_model_without_its_settings_is_incomplete(tmp_path: Path) -> None:
    write_pylate(tmp_path)
    (tmp_path / "config_sentence_transformers.json").unlink()
    with pytest.raises(CheckpointError, match="which markers and lengths the model was trained"):
        Checkpoint.open(tmp_path)


def test_a_damaged_head_is_named_without_advice_to_run_its_code(tmp_path: Path) -> None:
    write_bge_m3(tmp_path)
    path = tmp_path / "colbert_linear.pt"
    for content in (b"", b"garbage", path.read_bytes()[:200]):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"colbert_linear\.pt") as caught:
            Checkpoint.open(tmp_path).read()
        assert "weights_only" not in str(caught.value)


def test_a_negative_term_is_refused(tmp_path: Path) -> None:
    encoder = Encoder.from_pretrained(write_bge_m3(tmp_path), device="cpu", dtype="float32")
    with pytest.raises(ValueError, match="no term -1"):
        encoder.terms([3, -1])
    assert encoder.terms([]) == []
