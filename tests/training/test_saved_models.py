"""Trained models are saved in the layouts of other libraries, which make the same vectors of them.

The golden files were written by `saved/make_golden.py` in the libraries' own environments.
"""

import json
import logging
import runpy
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from tercet.embeddings import Embeddings
from tercet.encoder import Encoder
from tercet.encoding import saving as encoding_saving
from tercet.errors import CheckpointError, MissingViewError, TrainingError
from tercet.testing import checkpoints
from tercet.training.models import replacing, saving
from tercet.training.models.model import TrainingModel
from tercet.training.models.opening import open_model
from tercet.training.models.replacing import replacing as replaced
from tercet.training.models.saving import LAYOUTS, save_model

SAVED = Path(__file__).parent / "saved"
CASES = runpy.run_path(str(SAVED / "cases.py"))
TEXTS = runpy.run_path(str(SAVED / "make_golden.py"))
NAMES = sorted(path.stem for path in (SAVED / "golden").glob("*.safetensors"))


def golden(name: str) -> tuple[dict[str, str], dict[str, NDArray[Any]]]:
    with safe_open(SAVED / "golden" / f"{name}.safetensors", "np") as file:
        return file.metadata(), {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  not iterable itself


def encoded(folder: Path, side: str) -> Embeddings:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a tiny vocabulary may lack a marker
        encoder = Encoder.from_pretrained(
            folder, device="cpu", dtype="float32", long_documents="plain"
        )
    if side == "query":
        return encoder.encode_queries(TEXTS["QUERIES"])
    return encoder.encode_documents(TEXTS["DOCUMENTS"])


def assert_same(ours: Embeddings, theirs: dict[str, NDArray[Any]], side: str) -> None:
    close: dict[str, Any] = {"rtol": 0, "atol": 1e-5}
    views = {key.partition(".")[2]: value for key, value in theirs.items() if key.startswith(side)}
    if "dense" in views:
        assert ours.dense is not None
        np.testing.assert_allclose(ours.dense, views["dense"], **close)
    if "terms" in views:
        assert ours.sparse is not None
        np.testing.assert_array_equal(ours.sparse.ids, views["terms"])
        np.testing.assert_allclose(ours.sparse.weights, views["weights"], **close)
    if "vectors" in views:
        assert ours.multi_vector is not None
        np.testing.assert_array_equal(ours.multi_vector.offsets, views["offsets"])
        np.testing.assert_allclose(ours.multi_vector.vectors, views["vectors"], **close)


def test_every_case_and_every_layout_of_others_has_a_golden_file() -> None:
    assert sorted(CASES["CASES"]) == NAMES
    assert {case.layout for case in CASES["CASES"].values()} == set(LAYOUTS) - {"tercet"}


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_model_makes_the_vectors_that_the_library_of_its_layout_makes(
    name: str, tmp_path: Path
) -> None:
    folder = CASES["write"](name, tmp_path)
    header, views = golden(name)
    assert CASES["digest"](folder) == header["model"]
    for side in ("query", "document"):
        assert_same(encoded(folder, side), views, side)


@pytest.fixture(scope="module")
def m3(tmp_path_factory: pytest.TempPathFactory) -> TrainingModel:
    folder = checkpoints.write_bge_m3(tmp_path_factory.mktemp("m3"), positions=130)
    return open_model(folder)


def test_our_own_layout_holds_every_view(m3: TrainingModel, tmp_path: Path) -> None:
    save_model(m3, tmp_path / "ours")
    batch = m3.document_batch(TEXTS["DOCUMENTS"][:1])
    with torch.no_grad():
        made = m3.eval()(batch)
    found = encoded(tmp_path / "ours", "document")
    assert found.dense is not None
    assert found.multi_vector is not None
    np.testing.assert_allclose(made.dense.numpy()[0], found.dense[0], rtol=0, atol=1e-5)
    vectors = made.multi_vector.vectors[made.multi_vector.mask].numpy()
    np.testing.assert_allclose(vectors, found.multi_vector[0], rtol=0, atol=1e-5)


def test_views_that_a_layout_does_not_hold_are_left_out_and_named(
    m3: TrainingModel, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        save_model(m3, tmp_path / "dense", layout="sentence-transformers")
    assert "'sentence-transformers' does not hold sparse, multi_vector: left out" in caplog.text
    assert not {"tercet.json", "heads.safetensors"} & {p.name for p in tmp_path.rglob("*")}
    assert (
        json.loads((tmp_path / "dense/sentence_bert_config.json").read_text())["do_lower_case"]
        is False
    )


def test_a_layout_that_cannot_say_what_a_model_is_is_refused(
    m3: TrainingModel, tmp_path: Path
) -> None:
    with pytest.raises(
        CheckpointError, match=r"'stanford' cannot say .* heads, queries, documents"
    ):
        save_model(m3, tmp_path / "stanford", layout="stanford", card="# A card")
    assert list(tmp_path.iterdir()) == []


def test_unexpanded_queries_and_no_skiplist_are_held_by_modules(tmp_path: Path) -> None:
    folder = checkpoints.write_multi_vector(
        tmp_path / "opened", expansion=None, query_tokens=24, skiplist_words=(), prompts={}
    )
    save_model(open_model(folder), tmp_path / "saved", layout="sentence-transformers-multi-vector")
    before, after = (encoded(tmp_path / name, "query").multi_vector for name in ("opened", "saved"))
    assert before is not None
    assert after is not None
    np.testing.assert_array_equal(before.vectors, after.vectors)


def test_other_names_of_layouts_and_missing_views_are_refused(tmp_path: Path) -> None:
    model = open_model(checkpoints.write_dense(tmp_path / "dense"))
    with pytest.raises(ValueError, match="no layout 'onnx'; there are: tercet, bge-m3, stanford"):
        save_model(model, tmp_path / "saved", layout="onnx")
    with pytest.raises(MissingViewError, match="'pylate' holds multi_vector; the model has dense"):
        save_model(model, tmp_path / "saved", layout="pylate")


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_model_that_is_there_is_replaced(m3: TrainingModel, tmp_path: Path) -> None:
    save_model(m3, tmp_path / "model")
    (tmp_path / "model/old.txt").touch()
    save_model(m3, tmp_path / "model", layout="bge-m3")
    assert (tmp_path / "model/colbert_linear.pt").is_file()
    assert not (tmp_path / "model/old.txt").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_full_disk_leaves_the_previous_model_whole(
    m3: TrainingModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_model(m3, tmp_path / "model")
    before = content(tmp_path / "model")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    def written_in_part(*_: object, **__: object) -> None:
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    for module, function, fault in (
        (replacing.os, "fsync", full),
        (shutil, "copyfile", full),
        (encoding_saving, "save_file", written_in_part),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(module, function, fault)
            with pytest.raises(TrainingError, match=r"No space left .*as it was"):
                save_model(m3, tmp_path / "model")
        assert content(tmp_path / "model") == before
        assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_renaming_that_fails_puts_the_previous_folder_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").touch()
    rename: Callable[[Path, Path], Path] = Path.rename

    def refusing(self: Path, target: Path) -> Path:
        if self.name.startswith(".model."):
            raise OSError(5, "Input/output error")
        return rename(self, target)

    for there in (True, False):
        with monkeypatch.context() as patched:
            patched.setattr(Path, "rename", refusing)
            with pytest.raises(TrainingError, match="Input/output"), replaced(folder):
                pass
        assert [path.name for path in tmp_path.iterdir()] == ["model"] * there
        shutil.rmtree(folder, ignore_errors=True)


def test_a_folder_that_is_no_model_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").touch()
    with pytest.raises(FileExistsError, match="holds files and is no model"), replaced(tmp_path):
        pass
    assert (tmp_path / "letter.txt").exists()


def test_every_layout_has_a_writer() -> None:
    for module, _ in LAYOUTS.values():
        assert callable(saving.import_module(module).write)
