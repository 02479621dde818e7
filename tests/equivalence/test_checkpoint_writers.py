"""The writers of tiny checkpoints keep their promises: same seed, same bytes; sizes as asked."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from tercet.testing import checkpoints
from tercet.testing.checkpoints.vocabularies import filled

WRITERS = sorted(name for name in checkpoints.__all__ if name.startswith("write_"))
PUBLISHED = [name for name in WRITERS if name != "write_tercet"]


def writer(name: str) -> Callable[..., Path]:
    found: Callable[..., Path] = getattr(checkpoints, name)
    return found


def content(folder: Path) -> dict[str, bytes]:
    """The files of a checkpoint, but for pickled ones, whose archive names its own file."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix not in {".bin", ".pt"}
    }


@pytest.mark.parametrize("name", WRITERS)
def test_the_same_seed_writes_the_same_checkpoint(name: str, tmp_path: Path) -> None:
    write = writer(name)
    first, second = (content(write(tmp_path / n, seed=7)) for n in ("first", "second"))
    assert first == second
    assert "config.json" in first


@pytest.mark.parametrize("name", sorted({*PUBLISHED} - {"write_bge_m3"}))
def test_another_seed_writes_other_weights(name: str, tmp_path: Path) -> None:
    write = writer(name)
    first, second = (content(write(tmp_path / str(seed), seed=seed)) for seed in (0, 1))
    assert first["model.safetensors"] != second["model.safetensors"]
    assert first["config.json"] == second["config.json"]


@pytest.mark.parametrize("name", PUBLISHED)
def test_sizes_are_those_asked_for(name: str, tmp_path: Path) -> None:
    folder = writer(name)(
        tmp_path, layers=3, hidden=24, heads=2, intermediate=40, positions=130, vocabulary=700
    )
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert config["num_hidden_layers"] == 3
    assert config["hidden_size"] == 24
    assert config["num_attention_heads"] == 2
    assert config["intermediate_size"] == 40
    assert config["max_position_embeddings"] == 130
    assert config["vocab_size"] in {700, 702}  # PyLate adds its markers behind the vocabulary


@pytest.mark.parametrize("backbone", ["modernbert", "xlm-roberta"])
@pytest.mark.parametrize("name", ["write_pylate", "write_multi_vector"])
def test_markers_stand_behind_the_vocabulary(name: str, backbone: str, tmp_path: Path) -> None:
    folder = writer(name)(tmp_path, backbone=backbone, vocabulary=700)
    tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    added = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    assert (added["[Q] "], added["[D] "]) == (700, 701)


def test_pickled_weights_are_the_same_as_safetensors(tmp_path: Path) -> None:
    pickled = checkpoints.write_bge_m3(tmp_path / "pickled", positions=66)
    plain = checkpoints.write_bge_m3(
        tmp_path / "plain", positions=66, weights_file="model.safetensors"
    )
    expected = load_file(plain / "model.safetensors")
    found = torch.load(pickled / "pytorch_model.bin", weights_only=True)
    assert set(found) == set(expected)
    assert all(np.array_equal(found[name].numpy(), expected[name]) for name in expected)


def test_the_heads_of_bge_m3_are_stored_in_half_precision(tmp_path: Path) -> None:
    folder = checkpoints.write_bge_m3(tmp_path, positions=66, multi_vector_dim=16)
    head = torch.load(folder / "colbert_linear.pt", weights_only=True)
    assert {name: tuple(tensor.shape) for name, tensor in head.items()} == {
        "weight": (16, 32),
        "bias": (16,),
    }
    assert head["weight"].dtype == torch.float16


def test_a_tensor_can_be_dropped(tmp_path: Path) -> None:
    weights = checkpoints.write_colbert_v2(tmp_path) / "model.safetensors"
    before = set(load_file(weights))
    checkpoints.drop_tensor(weights, "linear.weight")
    assert before - set(load_file(weights)) == {"linear.weight"}
    with pytest.raises(KeyError, match=r"no tensor 'linear\.weight'; it has: bert\."):
        checkpoints.drop_tensor(weights, "linear.weight")


def test_a_vocabulary_too_small_for_its_tokenizer_is_refused() -> None:
    assert filled(["a", "b", "a"], size=4, filler="~") == ["a", "b", "~0", "~1"]
    with pytest.raises(ValueError, match="vocabulary of 1 is too small: the tokenizer needs 2"):
        filled(["a", "b"], size=1, filler="~")
