"""`tercet export` writes what `Encoder.from_pretrained` opens; test_onnx.py has graphs written."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from tercet.cli.app import app
from tercet.encoder import Encoder
from tercet.testing.checkpoints import write_bge_m3


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["export", *map(str, arguments)])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bge_m3(tmp_path_factory.mktemp("model") / "tiny", layers=1)


def test_a_model_is_written_as_a_plain_folder(model: Path, tmp_path: Path) -> None:
    done = run(model, tmp_path / "a", "--format", "folder")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith(f"{tmp_path / 'a'}: {model}, ")
    before, after = (
        Encoder.from_pretrained(folder, device="cpu", dtype="float32").encode_queries(["a word"])
        for folder in (model, tmp_path / "a")
    )
    assert before.dense is not None
    assert after.dense is not None
    np.testing.assert_allclose(after.dense, before.dense, atol=1e-6)


def test_it_says_what_was_written_or_nothing(model: Path, tmp_path: Path) -> None:
    told = json.loads(run(model, tmp_path / "a", "--format", "folder", "--json").stdout)
    assert told["views"] == ["dense", "sparse", "multi_vector"]
    assert told["files"]["model.safetensors"] > 0
    assert run(model, tmp_path / "b", "--format", "folder", "--quiet").stdout == ""


def test_a_folder_with_files_is_refused(model: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = run(model, tmp_path, "--format", "folder")
    assert done.exit_code == 1
    assert "is not empty" in done.stderr
    assert run(tmp_path / "none", tmp_path / "c").exit_code == 1
