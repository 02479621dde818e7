"""`tercet train`: a recipe, heads for a dense model, the mean of checkpoints."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from tercet.cli.app import app
from tercet.encoder import Encoder
from tercet.testing import checkpoints
from tercet.testing.checkpoints.vocabularies import WORDS


@pytest.fixture(autouse=True)
def _quiet_afterwards() -> Iterator[None]:
    yield
    logging.getLogger("tercet.training").handlers.clear()
    logging.getLogger("tercet.training").setLevel(logging.NOTSET)


def run(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["train", *map(str, arguments)])
    return done.exit_code, done.stderr + done.stdout


def test_a_dense_model_gets_heads_from_texts_alone(tmp_path: Path) -> None:
    checkpoints.write_dense(tmp_path / "dense")
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(f"the {w} of a {w}. what is {w}?" for w in WORDS), encoding="utf-8")
    options = ("--backbone", tmp_path / "dense", "--texts", texts, "--dim", 16, "--steps", 2)
    code, said = run("heads", *options, "--out", tmp_path / "three")
    assert code == 0, said
    assert "the model is in" in said
    encoder = Encoder.from_pretrained(tmp_path / "three", device="cpu")
    assert encoder.representations == ("dense", "sparse", "multi_vector")
    assert encoder.spec.multi_vector_dim == 16


def test_checkpoints_are_averaged(tmp_path: Path) -> None:
    made = [checkpoints.write_colbert_v2(tmp_path / str(seed), seed=seed) for seed in (0, 1)]
    code, said = run("average", *made, "--to", tmp_path / "mean")
    assert (code, "the mean of 2 checkpoints is in" in said) == (0, True), said
    first, second, mean = (load_file(f / "model.safetensors") for f in (*made, tmp_path / "mean"))
    name = "linear.weight"
    torch.testing.assert_close(mean[name], (first[name] + second[name]) / 2)


def test_a_word_that_is_no_command_is_a_recipe(tmp_path: Path) -> None:
    for arguments in (["recipe", "none.toml"], ["none.toml"]):
        code, said = run(*arguments, "--out", tmp_path / "out")
        assert (code, "none.toml" in said) == (1, True), said
    code, said = run("--out", tmp_path / "out", "none.toml")
    assert (code, "none.toml" in said) == (1, True), said


def test_the_help_names_the_commands() -> None:
    code, said = run("--help")
    assert code == 0
    assert all(command in said for command in ("recipe", "heads", "average"))
