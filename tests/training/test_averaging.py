"""Checkpoints of one training are averaged, weight by weight."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tercet.encoder import Encoder
from tercet.errors import CheckpointError
from tercet.testing import checkpoints
from tercet.training.models.averaging import average

Tensors = dict[str, torch.Tensor]


def folder(path: Path, tensors: Tensors, *, file: str = "model.safetensors") -> Path:
    path.mkdir()
    (path / "config.json").write_text(f'{{"from": "{path.name}"}}', encoding="utf-8")
    if file.endswith(".safetensors"):
        save_file(tensors, path / file)
    else:
        torch.save(tensors, path / file)
    return path


@pytest.mark.parametrize("file", ["model.safetensors", "sparse_linear.pt"])
def test_a_mean_is_taken_in_float32_and_stored_as_the_checkpoints_are(
    file: str, tmp_path: Path
) -> None:
    ids = torch.arange(3)
    values = (2048.0, 2050.0, 2049.0)  # their sum has no place in float16
    made = [
        folder(tmp_path / str(n), {"a": torch.tensor([v, n]).half(), "ids": ids.clone()}, file=file)
        for n, v in enumerate(values)
    ]
    average(made, tmp_path / "mean")
    path = tmp_path / "mean" / file
    found = load_file(path) if file.endswith("s") else torch.load(path, weights_only=True)
    assert found["a"].dtype == torch.float16
    assert found["a"].tolist() == [2049.0 // 2 * 2, 1.0]
    assert torch.equal(found["ids"], ids)
    assert (tmp_path / "mean/config.json").read_text() == '{"from": "0"}'


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({}, r"0/model.safetensors has the tensor 'a', .*/1/model.safetensors lacks it"),
        (
            {"a": torch.ones(2), "b": torch.ones(1)},
            r"1/model.safetensors has the tensor 'b', .*/0/model.safetensors lacks it",
        ),
        ({"a": torch.ones(3)}, r"'a' is torch.float32 \[3\] in .*, and torch.float32 \[2\] in"),
        ({"a": torch.ones(2).half()}, r"'a' is torch.float16 \[2\] in .*/1"),
    ],
)
def test_checkpoints_that_do_not_fit_are_refused(
    tensors: Tensors, message: str, tmp_path: Path
) -> None:
    made = [folder(tmp_path / "0", {"a": torch.zeros(2)}), folder(tmp_path / "1", tensors)]
    with pytest.raises(CheckpointError, match=message):
        average(made, tmp_path / "mean")
    assert not (tmp_path / "mean").exists()


def test_quantised_checkpoints_have_no_mean(tmp_path: Path) -> None:
    made = [folder(tmp_path / str(n), {"a": torch.tensor([n], dtype=torch.int8)}) for n in (0, 1)]
    with pytest.raises(CheckpointError, match="whole numbers, which differ between the checkpoint"):
        average(made, tmp_path / "mean")


def test_folders_of_other_files_are_refused(tmp_path: Path) -> None:
    one = folder(tmp_path / "one", {"a": torch.zeros(2)})
    other = folder(tmp_path / "other", {"a": torch.zeros(2)}, file="sparse_linear.pt")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="1 checkpoints; a mean needs at least 2"):
        average([one], tmp_path / "mean")
    with pytest.raises(CheckpointError, match=r"holds the weights sparse_linear.pt; .*/one holds"):
        average([one, other], tmp_path / "mean")
    with pytest.raises(CheckpointError, match="no weights in"):
        average([tmp_path / "empty", tmp_path / "empty"], tmp_path / "mean")
    with pytest.raises(CheckpointError, match="no folder"):
        average([one, tmp_path / "nowhere"], tmp_path / "mean")
    (one / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(CheckpointError, match=r"cannot be read: .*; copy it again"):
        average([one, one], tmp_path / "mean")


def test_the_mean_of_a_checkpoint_with_itself_makes_the_same_vectors(tmp_path: Path) -> None:
    model = checkpoints.write_bge_m3(tmp_path / "model", positions=66)
    average([model, model, model], tmp_path / "mean")
    found = [
        Encoder.from_pretrained(path, device="cpu", dtype="float32").encode_queries(["a query"])
        for path in (model, tmp_path / "mean")
    ]
    assert found[0].dense is not None
    assert found[1].dense is not None
    np.testing.assert_allclose(found[0].dense, found[1].dense, rtol=0, atol=1e-6)
