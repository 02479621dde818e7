"""A saved folder opens as the same model, here and as a dense model in its modules' layout."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from tercet.embeddings import Embeddings
from tercet.encoder import Encoder
from tercet.encoding.checkpoint import Checkpoint
from tercet.models.saved import spec_from_json, spec_to_json
from tercet.testing import checkpoints

TEXTS = ["late interaction, scored.", "", "\u6771\u4eac \u05e9\u05dc\u05d5\u05dd", "word " * 40]
WRITTEN = {
    "write_bge_m3": {},
    "write_jina_colbert": {},
    "write_colbert_v2": {},
    "write_jacolbert": {},
    "write_pylate": {"dims": (24, 16), "residual": True, "transformer_folder": "0_Transformer"},
    "write_multi_vector": {},
    "write_dense": {},
    "write_tercet": {},
}


def load(folder: Path) -> Encoder:
    return Encoder.from_pretrained(folder, device="cpu", dtype="float32")


def assert_equal(left: Embeddings, right: Embeddings) -> None:
    assert left.representations == right.representations
    if left.dense is not None:
        assert np.array_equal(left.dense, right.dense)
    if left.sparse is not None and right.sparse is not None:
        assert left.sparse.to_dicts() == right.sparse.to_dicts()
    if left.multi_vector is not None and right.multi_vector is not None:
        assert np.array_equal(left.multi_vector.vectors, right.multi_vector.vectors)


@pytest.mark.filterwarnings("ignore::tercet.errors.TruncationWarning")
@pytest.mark.parametrize("writer", sorted(WRITTEN))
def test_a_saved_model_gives_the_same_vectors(writer: str, tmp_path: Path) -> None:
    encoder = load(getattr(checkpoints, writer)(tmp_path / "model", **WRITTEN[writer]))
    encoder.save_pretrained(tmp_path / "saved")
    again = load(tmp_path / "saved")
    assert_equal(again.encode_queries(TEXTS), encoder.encode_queries(TEXTS))
    assert_equal(again.encode_documents(TEXTS), encoder.encode_documents(TEXTS))
    assert Checkpoint.open(tmp_path / "saved").spec.layout == "tercet"
    assert again.spec.weights == encoder.spec.weights
    again.save_pretrained(tmp_path / "twice")
    assert load(tmp_path / "twice").spec.model_id == again.spec.model_id


@pytest.mark.parametrize("writer", ["write_bge_m3", "write_dense", "write_tercet"])
def test_other_libraries_find_the_dense_model_by_its_modules(writer: str, tmp_path: Path) -> None:
    encoder = load(getattr(checkpoints, writer)(tmp_path / "model"))
    encoder.save_pretrained(str(tmp_path / "saved"))
    for name in ("tercet.json", "heads.safetensors"):
        (tmp_path / "saved" / name).unlink(missing_ok=True)
    plain = load(tmp_path / "saved")
    assert Checkpoint.open(tmp_path / "saved").spec.layout == "sentence-transformers"
    expected = encoder.encode_documents(TEXTS).dense
    assert np.array_equal(plain.encode_documents(TEXTS).dense, expected)


def test_a_dense_layer_is_a_module_of_its_own(tmp_path: Path) -> None:
    model = checkpoints.write_dense(tmp_path / "model", dense_dim=12)
    encoder = load(model)
    encoder.save_pretrained(tmp_path / "saved")
    for name in ("tercet.json", "heads.safetensors"):
        (tmp_path / "saved" / name).unlink()
    plain = load(tmp_path / "saved")
    assert plain.spec.dense_dim == 12
    expected = encoder.encode_documents(TEXTS).dense
    assert np.array_equal(plain.encode_documents(TEXTS).dense, expected)


def test_weights_are_saved_in_one_floating_point_type(tmp_path: Path) -> None:
    load(checkpoints.write_tercet(tmp_path / "model")).save_pretrained(tmp_path / "saved")
    with safe_open(tmp_path / "saved" / "model.safetensors", "pt") as file:
        assert {file.get_tensor(name).dtype for name in file.keys()} == {torch.float32}  # noqa: SIM118
    config = json.loads((tmp_path / "saved" / "config.json").read_text())
    assert config["dtype"] == "float32"


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    encoder = load(checkpoints.write_dense(tmp_path / "model"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("years of work")
    with pytest.raises(FileExistsError, match="is not empty"):
        encoder.save_pretrained(tmp_path / "full")


@pytest.mark.parametrize("writer", sorted(WRITTEN))
def test_a_description_survives_json(writer: str, tmp_path: Path) -> None:
    folder = getattr(checkpoints, writer)(tmp_path / "model", **WRITTEN[writer])
    spec = Checkpoint.open(folder).spec
    told = json.loads(json.dumps(spec_to_json(spec)))
    assert spec_from_json(told) == spec
    assert spec_from_json({**told, "from_the_future": 1}) == spec


def test_vectors_that_the_model_does_not_scale_are_saved_so(tmp_path: Path) -> None:
    encoder = load(checkpoints.write_dense(tmp_path / "model", normalize=False, similarity="dot"))
    encoder.save_pretrained(tmp_path / "saved")
    modules = json.loads((tmp_path / "saved" / "modules.json").read_text())
    assert not any("Normalize" in module["type"] for module in modules)
    (tmp_path / "saved" / "tercet.json").unlink()
    assert_equal(load(tmp_path / "saved").encode_documents(TEXTS), encoder.encode_documents(TEXTS))
