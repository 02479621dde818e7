"""Checkpoints are opened, checked, fingerprinted and read."""

import json
import os
import shutil
import struct
import sys
import warnings
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from tercet.encoder import Encoder
from tercet.encoding import checkpoint, fingerprint
from tercet.encoding.checkpoint import Checkpoint
from tercet.encoding.checkpoint_files import FolderFiles
from tercet.encoding.weights import dequantised
from tercet.errors import CheckpointError, MissingExtraError, MissingTensorError
from tercet.testing.checkpoints import (
    write_bge_m3,
    write_colbert_v2,
    write_dense,
    write_jina_colbert,
    write_pylate,
    write_tercet,
)


class TestReading:
    def test_int8_groups_come_back_within_half_a_step(self, tmp_path: Path) -> None:
        exact = Checkpoint.open(write_tercet(tmp_path / "exact", quantise=False)).read()
        small = Checkpoint.open(write_tercet(tmp_path / "small")).read()
        name = "encoder.layer.0.attention.self.query.weight"
        stored = load_file(tmp_path / "small" / "model.safetensors")
        assert stored[name].dtype == np.int8
        step = np.repeat(stored[f"{name}.scale"].astype(np.float32), 32, axis=1)
        error = (small.backbone[name] - exact.backbone[name].float()).abs().numpy()
        assert (error <= 0.51 * step + 1e-3).all()
        assert set(small.backbone) == set(exact.backbone)

    def test_groups_are_multiplied_by_their_own_scale(self) -> None:
        weights = torch.ones(2, 64, dtype=torch.int8)
        scale = torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.float16)
        row = dequantised("w", weights, scale)
        assert row[:, [0, 31, 32, 63]].tolist() == [[1, 1, 2, 2], [3, 3, 4, 4]]

    @pytest.mark.parametrize("shape", [None, (2, 1), (1, 2)])
    def test_scales_that_do_not_fit_are_refused(self, shape: tuple[int, int] | None) -> None:
        scale = None if shape is None else torch.ones(shape)
        with pytest.raises(CheckpointError, match=r"w is int8 \[2, 64\] with"):
            dequantised("w", torch.ones(2, 64, dtype=torch.int8), scale)

    def test_heads_are_named_by_their_role(self, tmp_path: Path) -> None:
        weights = Checkpoint.open(write_bge_m3(tmp_path)).read()
        shapes = {name: tuple(tensor.shape) for name, tensor in weights.heads.items()}
        assert shapes == {
            "sparse.weight": (1, 32),
            "sparse.bias": (1,),
            "multi_vector.0.weight": (32, 32),
            "multi_vector.0.bias": (32,),
        }

    def test_layers_of_a_dense_head_are_read(self, tmp_path: Path) -> None:
        weights = Checkpoint.open(write_dense(tmp_path, dense_dim=8)).read()
        assert set(weights.heads) == {"dense.0.weight", "dense.0.bias"}

    def test_residuals_are_read(self, tmp_path: Path) -> None:
        weights = Checkpoint.open(write_pylate(tmp_path, dims=(24, 16), residual=True)).read()
        assert set(weights.heads) == {
            "multi_vector.0.weight",
            "multi_vector.0.residual",
            "multi_vector.1.weight",
            "multi_vector.1.residual",
        }

    def test_the_prefix_of_the_backbone_is_taken_away(self, tmp_path: Path) -> None:
        weights = Checkpoint.open(write_colbert_v2(tmp_path)).read()
        assert "embeddings.word_embeddings.weight" in weights.backbone
        assert not any("linear" in name for name in weights.backbone)

    def test_a_head_that_changed_its_shape_is_refused(self, tmp_path: Path) -> None:
        opened = Checkpoint.open(write_colbert_v2(tmp_path))
        path = tmp_path / "model.safetensors"
        tensors = load_file(path)
        save_file(tensors | {"linear.weight": np.zeros((3, 3), dtype=np.float32)}, path)
        with pytest.raises(CheckpointError, match=r"linear\.weight.*shape \[3, 3\], not \[16, 32"):
            opened.read()
        del tensors["linear.weight"]
        save_file(tensors, path)
        with pytest.raises(MissingTensorError, match=r"lacks the tensor 'linear\.weight'"):
            opened.read()


class TestDamage:
    def test_a_file_cut_short_is_told_by_its_size(self, tmp_path: Path) -> None:
        path = write_dense(tmp_path) / "model.safetensors"
        path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(CheckpointError, match="is cut short: its header promises"):
            Checkpoint.open(tmp_path)

    def test_a_file_cut_after_opening_is_an_error_of_reading(self, tmp_path: Path) -> None:
        opened = Checkpoint.open(write_dense(tmp_path))
        path = tmp_path / "model.safetensors"
        path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(CheckpointError, match="cannot be read"):
            opened.read()

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "no safetensors file"),
            (b"abc", "no safetensors file"),
            (struct.pack("<Q", 10**12), "no safetensors file"),
            (struct.pack("<Q", 4) + b"nope", "is no JSON"),
            (struct.pack("<Q", 2) + b"[]", "is no JSON object"),
            (struct.pack("<Q", 7) + b'{"a":1}', "is damaged"),
            (struct.pack("<Q", 8) + b'{"a":{}}', "is damaged"),
        ],
    )
    def test_a_damaged_header_is_told(self, tmp_path: Path, content: bytes, message: str) -> None:
        (write_dense(tmp_path) / "model.safetensors").write_bytes(content)
        with pytest.raises(CheckpointError, match=message):
            Checkpoint.open(tmp_path)

    @pytest.mark.parametrize("content", [b"", b"not a pickle at all", b"PK\x03\x04 half a zip"])
    def test_damaged_pickles_are_told(self, tmp_path: Path, content: bytes) -> None:
        (write_bge_m3(tmp_path) / "sparse_linear.pt").write_bytes(content)
        with pytest.raises(CheckpointError, match="cannot be read as pickled tensors"):
            Checkpoint.open(tmp_path)

    def test_code_in_a_pickle_is_never_run(self, tmp_path: Path) -> None:
        write_bge_m3(tmp_path)
        torch.save({"weight": Run(tmp_path / "ran")}, tmp_path / "sparse_linear.pt")
        with pytest.raises(CheckpointError, match="holds code, which is never run"):
            Checkpoint.open(tmp_path)
        assert not (tmp_path / "ran").exists()

    def test_a_pickle_without_names_is_refused(self, tmp_path: Path) -> None:
        write_bge_m3(tmp_path)
        torch.save([torch.ones(1)], tmp_path / "sparse_linear.pt")
        with pytest.raises(CheckpointError, match="holds a list, not tensors by name"):
            Checkpoint.open(tmp_path)

    @pytest.mark.parametrize(
        ("file", "content", "message"),
        [
            ("config.json", "{", "is no JSON"),
            ("config.json", "[]", "is no JSON object"),
            ("modules.json", "{}", "is no JSON list"),
            ("modules.json", "[1]", "is no JSON list"),
        ],
    )
    def test_damaged_json_is_named(
        self, tmp_path: Path, file: str, content: str, message: str
    ) -> None:
        (write_dense(tmp_path) / file).write_text(content)
        with pytest.raises(CheckpointError, match=message):
            Checkpoint.open(tmp_path)

    def test_a_missing_tokenizer_is_told(self, tmp_path: Path) -> None:
        write_dense(tmp_path)
        (tmp_path / "tokenizer.json").unlink()
        (tmp_path / "vocab.txt").unlink()
        with pytest.raises(CheckpointError, match="no tokenizer in"):
            Checkpoint.open(tmp_path)

    def test_a_file_is_no_checkpoint(self, tmp_path: Path) -> None:
        (tmp_path / "model").write_text("x")
        with pytest.raises(CheckpointError, match="is no folder"):
            Checkpoint.open(tmp_path / "model")

    def test_files_that_are_not_there_read_as_nothing(self, tmp_path: Path) -> None:
        (tmp_path / ".git").mkdir()
        (tmp_path / ".git/config.json").write_text("{}")
        deep = tmp_path / "a/b/c"
        deep.mkdir(parents=True)
        (deep / "config.json").write_text("{}")
        (tmp_path / "config.json").symlink_to(tmp_path / "nowhere")
        files = FolderFiles(tmp_path)
        assert files.names == frozenset()
        assert (files.json("a.json"), files.json_list("b.json"), files.text("c")) == ({}, [], "")


class Run:
    """An object whose unpickling would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return os.system, (f"touch {self.path}",)  # never run: that is what the test is about


class TestFingerprint:
    @pytest.fixture(autouse=True)
    def _cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TERCET_CACHE", str(tmp_path / "cache"))

    def test_a_copy_elsewhere_has_the_same_one(self, tmp_path: Path) -> None:
        write_tercet(tmp_path / "a")
        shutil.copytree(tmp_path / "a", tmp_path / "b")
        first, second = Checkpoint.open(tmp_path / "a"), Checkpoint.open(tmp_path / "b")
        assert first.model_id == second.model_id
        assert len(first.model_id) == 64

    @pytest.mark.parametrize(
        "file",
        ["model.safetensors", "artifact.metadata", "tokenizer_config.json", "config.json"],
    )
    def test_any_file_that_shapes_vectors_changes_it(self, tmp_path: Path, file: str) -> None:
        before = Checkpoint.open(write_colbert_v2(tmp_path)).model_id
        path = tmp_path / file
        if file == "model.safetensors":
            write_colbert_v2(tmp_path, seed=1)
        else:
            path.write_text(json.dumps(json.loads(path.read_text()) | {"new": 1}))
        assert Checkpoint.open(tmp_path).model_id != before

    def test_heads_in_folders_of_their_own_change_it(self, tmp_path: Path) -> None:
        before = Checkpoint.open(write_pylate(tmp_path)).model_id
        path = tmp_path / "1_Dense/model.safetensors"
        tensors = load_file(path)
        save_file({"linear.weight": tensors["linear.weight"] + 1}, path)
        assert Checkpoint.open(tmp_path).model_id != before

    def test_the_model_card_does_not_change_it(self, tmp_path: Path) -> None:
        before = Checkpoint.open(write_tercet(tmp_path / "m")).model_id
        (tmp_path / "m/README.md").write_text("hello")
        assert Checkpoint.open(tmp_path / "m").model_id == before

    def test_hashes_are_kept_while_size_and_time_stay(self, tmp_path: Path) -> None:
        path = tmp_path / "weights"
        path.write_bytes(b"one")
        os.utime(path, (1_000_000_000, 1_000_000_000))
        first = fingerprint.file_hash(path)
        path.write_bytes(b"two")
        os.utime(path, (1_000_000_000, 1_000_000_000))
        assert fingerprint.file_hash(path) == first
        os.utime(path, (1_000_000_001, 1_000_000_001))
        assert fingerprint.file_hash(path) != first

    def test_a_file_changed_just_now_is_not_kept(self, tmp_path: Path) -> None:
        path = tmp_path / "weights"
        path.write_bytes(b"one")
        fingerprint.file_hash(path)
        assert not fingerprint.cache_folder().exists()

    def test_a_damaged_or_unwritable_cache_is_done_without(self, tmp_path: Path) -> None:
        path = tmp_path / "weights"
        path.write_bytes(b"one")
        os.utime(path, (1_000_000_000, 1_000_000_000))
        first = fingerprint.file_hash(path)
        (kept,) = fingerprint.cache_folder().iterdir()
        kept.write_text("{")
        assert fingerprint.file_hash(path) == first
        shutil.rmtree(tmp_path / "cache")
        (tmp_path / "cache").write_text("a file where the folder should be")
        assert fingerprint.file_hash(path) == first

    def test_the_cache_is_in_the_users_cache_folder(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("TERCET_CACHE")
        monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
        assert fingerprint.cache_folder() == Path("/somewhere/tercet/file-hashes")


class TestLicence:
    @pytest.fixture(autouse=True)
    def _fresh(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(checkpoint, "_WARNED", set())

    def test_one_that_forbids_commercial_use_is_said_once(self, tmp_path: Path) -> None:
        write_jina_colbert(tmp_path)
        (tmp_path / "README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\n")
        with pytest.warns(UserWarning, match=r"cc-by-nc-4\.0: it forbids commercial use"):
            Checkpoint.open(tmp_path)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            Checkpoint.open(tmp_path)

    def test_others_are_not_spoken_of(self, tmp_path: Path) -> None:
        assert Checkpoint.open(write_tercet(tmp_path)).spec.license == "mit"


class TestSources:
    def test_a_folder_is_named_by_its_absolute_path(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_tercet(tmp_path / "m")
        monkeypatch.chdir(tmp_path)
        opened = Checkpoint.open("m")
        assert opened.source.name == str((tmp_path / "m").resolve())
        assert opened.revision is None

    def test_the_small_model_is_the_folder_of_its_package(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        package = ModuleType("tercet_mini")
        package.PATH = write_tercet(tmp_path)  # type: ignore[attr-defined]  a module made here
        monkeypatch.setitem(sys.modules, "tercet_mini", package)
        opened = Checkpoint.open("tercet/mini")
        assert (opened.source.name, opened.folder) == ("tercet/mini", tmp_path)

    def test_without_its_package_it_says_how_to_install_it(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "tercet_mini", None)  # as if it were not installed
        with pytest.raises(MissingExtraError, match="pip install tercet-mini"):
            Checkpoint.open("tercet/mini")

    def test_what_the_small_models_package_lacks_is_not_hidden(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "tercet_mini.py").write_text("import nothing_of_that_name\n")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "tercet_mini", raising=False)
        with pytest.raises(ModuleNotFoundError, match="nothing_of_that_name"):
            Checkpoint.open("tercet/mini")

    @pytest.mark.parametrize("source", ["./nowhere", "/nowhere", "~/nowhere", "a/b/c"])
    def test_a_path_without_a_folder_is_an_error(self, source: str) -> None:
        with pytest.raises(CheckpointError, match=f"there is no folder {source}"):
            Checkpoint.open(source)

    def test_an_empty_source_is_an_error(self) -> None:
        with pytest.raises(ValueError, match="the source is empty"):
            Checkpoint.open(" ")

    def test_a_folder_has_no_revision(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="is no hub repository"):
            Checkpoint.open(write_tercet(tmp_path), revision="main")


@pytest.mark.parametrize("name", ["special_tokens_map.json", "tokenizer_config.json"])
@pytest.mark.parametrize("content", ["", "[]"])
def test_a_damaged_file_of_the_tokenizer_is_named(tmp_path: Path, name: str, content: str) -> None:
    folder = write_tercet(tmp_path)
    (folder / name).write_text(content)
    with pytest.raises(CheckpointError, match=f"{name} is no JSON"):
        Encoder.from_pretrained(folder)
