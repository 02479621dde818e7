"""The commands, with a collection on a real server in place of a folder."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tercet.cli.app import app
from tercet.documents import Document
from tercet.errors import ModelMismatchError
from tercet.indexes.base import Index
from tercet.indexes.copying import copy_index
from tercet.progress import progress
from tercet.testing import HashEncoder
from tercet.testing.checkpoints import write_bge_m3

TEXTS = {"a": "late interaction keep one vector", "b": "sparse weight of a word", "c": "a query"}


def tercet(*arguments: str) -> str:
    result = CliRunner().invoke(app, [*arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_collection_is_indexed_searched_described_and_copied_there_and_back(
    tmp_path: Path, qdrant_address: Callable[[], str]
) -> None:
    model = str(write_bge_m3(tmp_path / "model", positions=66))
    lines = [json.dumps({"id": name, "text": text}) for name, text in TEXTS.items()]
    (tmp_path / "docs.jsonl").write_text("\n".join(lines))
    address, folder = qdrant_address(), str(tmp_path / "copy")
    told = tercet("index", str(tmp_path / "docs.jsonl"), "--to", address, "--model", model, "-q")
    assert told == ""
    question = ("sparse word", "-k", "3", "--json")
    found = json.loads(tercet("search", address, *question))["hits"]
    assert json.loads(tercet("info", address, "--json"))["documents"] == 3
    assert "3 documents copied, 0 unchanged, 3 in all" in tercet("copy", address, folder)
    assert "0 documents copied, 3 unchanged" in tercet("copy", address, folder)
    back = json.loads(tercet("copy", folder, f"{address}-again", "--json", "-q"))
    assert (back["documents"], back["committed"]) == (3, 3)
    assert "1 of 1 documents deleted" in tercet("delete", address, "a")
    for place in (folder, f"{address}-again"):
        again = json.loads(tercet("search", place, *question))["hits"]
        assert [hit["id"] for hit in again] == [hit["id"] for hit in found]
        assert [hit["score"] for hit in again] == pytest.approx(
            [hit["score"] for hit in found], abs=1e-2
        )
    failed = CliRunner().invoke(app, ["check", address])
    assert failed.exit_code == 1


def test_a_copy_to_an_index_of_another_model_is_refused(tmp_path: Path) -> None:
    encoder, other = HashEncoder(dense_dim=8), HashEncoder(dense_dim=4)
    with (
        Index.open(tmp_path / "a", spec=encoder.spec) as source,
        Index.open(tmp_path / "b", spec=other.spec) as target,
        progress("copying") as bar,
    ):
        source.add([Document("a", "cat")], encoder.encode_documents(["cat"]))
        with pytest.raises(ModelMismatchError, match="encoded by model"):
            copy_index(source, target, bar)
