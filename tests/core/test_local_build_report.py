"""What an index says of the search that it was built for, and the codebooks that it keeps."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from tercet.cli.app import app
from tercet.documents import Document
from tercet.embeddings import Embeddings, EncoderSpec, MultiVectors, Representation
from tercet.errors import IndexLocked
from tercet.indexes import codebooks
from tercet.indexes.base import Index
from tercet.indexes.local import index as local_index
from tercet.indexes.local.columns import late_interaction
from tercet.indexes.local.writing import build_report, compaction, training
from tercet.indexes.local.writing.pseudo_queries import hard_queries
from tercet.indexes.reader import BuildReport, TokenVectorStats
from tercet.indexes.storage import Storage

DIM = 16
SPEC = EncoderSpec(
    family="test",
    representations=(Representation.MULTI_VECTOR,),
    multi_vector_dim=DIM,
    model_id="m",
    document_id="d",
)


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def add(index: Index, start: int, stop: int, *, drifted: bool = False) -> None:
    """Documents of eight tokens each, near one of some words."""
    words = unit(np.random.default_rng(7 + drifted).standard_normal((60, DIM)))
    rng = np.random.default_rng(start)
    tokens = words[rng.integers(0, 60, 8 * (stop - start))]
    tokens = unit(tokens + rng.standard_normal(tokens.shape) * (1 if drifted else 0.3 / 4))
    views = MultiVectors(tokens, np.arange(0, len(tokens) + 1, 8))
    documents = [Document(f"d{n}", f"text {n}") for n in range(start, stop)]
    index.add(documents, Embeddings(multi_vector=views, model_id="m", document_id="d"))


def told(index: Index) -> TokenVectorStats:
    found = index.stats().token_vectors
    assert found is not None
    return found


def report(index: Index) -> BuildReport:
    found = told(index).report
    assert found is not None
    return found


def codebook_keys(path: Path) -> list[int]:
    with closing(sqlite3.connect(path / "catalog.sqlite")) as connection:
        return [key for (key,) in connection.execute("SELECT id FROM codebooks ORDER BY id")]


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "LARGE_DOCUMENTS", 200)
    monkeypatch.setattr(compaction, "LARGE_DOCUMENTS", 200)
    monkeypatch.setattr(training, "LARGE_TOKENS", 1000)
    monkeypatch.setattr(codebooks, "CELLS", 64)
    monkeypatch.setattr(late_interaction, "MOST", 150)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "index"


@pytest.fixture
def index(path: Path) -> Iterator[Index]:
    with Index.open(path, spec=SPEC) as opened:
        yield opened


def test_a_small_index_says_that_its_search_is_exact(index: Index) -> None:
    assert (told(index).count, told(index).codec, told(index).search) == (0, "int8", "exact")
    add(index, 0, 50)
    index.compact()
    found = told(index)
    assert (found.search, found.cells, found.distortion, found.report) == ("exact", 0, 0.0, None)
    assert (found.count, found.codec, found.pooling) == (400, "int8", 1)
    assert found.bytes_each == index.stats().bytes["multi_vector"] / 400


def test_cells_that_were_made_anew_are_measured(index: Index) -> None:
    add(index, 0, 100)
    add(index, 100, 250)
    found = told(index)
    assert (found.search, found.cells) == ("cells", 64)
    assert 0 < found.distortion < 1
    made = report(index)
    assert (made.codebook, made.documents, made.queries) == (1, 250, 16)
    assert made.compared_as_arrived == 150, "the first hundred came in another call"
    assert 0.9 <= made.recall_at_10 <= 1
    assert made.seconds > 0
    assert made.exact_seconds > 0
    assert made.build_seconds > 0


def test_a_compaction_is_measured_against_what_is_stored(index: Index) -> None:
    add(index, 0, 250)
    before = report(index)
    assert before.compared_as_arrived == 250
    index.delete(["d0"])
    index.compact()
    after = report(index)
    assert (after.documents, after.compared_as_arrived) == (249, 0)


def test_what_storage_loses_shows_where_vectors_are_still_at_hand(tmp_path: Path) -> None:
    recalls = []
    for tokens in ("int8", "1bit"):
        storage = Storage(tokens=tokens)  # type: ignore[arg-type]
        with Index.open(tmp_path / tokens, spec=SPEC, storage=storage) as opened:
            add(opened, 0, 250)
            assert told(opened).codec == tokens
            recalls.append(report(opened).recall_at_10)
    assert recalls[1] < recalls[0] - 0.1


def test_a_report_holds_until_documents_are_four_times_as_many(index: Index) -> None:
    add(index, 0, 250)
    add(index, 250, 900)
    assert report(index).documents == 250
    add(index, 900, 1010)
    assert report(index).documents == 1010
    index.clear()
    assert told(index).report is None
    index.compact()
    assert told(index).report is None


def test_many_token_vectors_get_fewer_queries(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build_report, "PRODUCTS", 1)
    add(index, 0, 250)
    assert report(index).queries == build_report.FEWEST_QUERIES


def test_a_report_that_cannot_be_kept_does_not_undo_what_was_written(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(*_: object) -> None:
        raise IndexLocked("another writer holds it")

    monkeypatch.setattr(local_index, "keep_report", locked)
    add(index, 0, 250)
    assert len(index) == 250
    assert (told(index).search, told(index).report) == ("cells", None)
    monkeypatch.undo()
    add(index, 250, 251)
    assert report(index).documents == 251, "what is not measured yet is due"


def test_a_report_is_checked_as_all_that_was_committed(index: Index, path: Path) -> None:
    add(index, 0, 250)
    assert index.check().damage == ()  # type: ignore[attr-defined]
    with closing(sqlite3.connect(path / "catalog.sqlite")) as connection:
        change = "UPDATE meta SET value = replace(value, '250', '251') WHERE key = 'build_report'"
        connection.execute(change)
        connection.commit()
    assert "its values do not have its hash" in index.check().damage[0].what  # type: ignore[attr-defined]


def test_info_shows_what_was_measured(index: Index, path: Path) -> None:
    def info(*options: str) -> str:
        return CliRunner().invoke(app, ["info", str(path), *options]).stdout

    add(index, 0, 50)
    assert "search exact, count 400, codec int8" in info()
    add(index, 50, 250)
    text = info()
    assert "search cells, count 2,000, codec int8, pooling 1, bytes_each" in text
    assert "compared_as_arrived 200, queries 16, recall_at_10" in text
    shown: dict[str, Any] = json.loads(info("--json"))
    assert shown["build_report"] == asdict(report(index))
    assert shown["token_vectors"]["cells"] == 64


def test_hard_queries_lie_near_four_tokens_of_a_document_and_twelve_of_others() -> None:
    tokens = np.eye(40, dtype=np.float32) * 3
    documents = MultiVectors(tokens, np.asarray([0, 8, 16, 40]))
    queries = hard_queries(documents.take(np.asarray([0])), documents, rng=np.random.default_rng(0))
    (query,) = (queries[n] for n in range(len(queries)))
    nearest = (query @ tokens.T).argmax(axis=1)
    assert query.shape == (32, 40)
    assert len(set(nearest[:20].tolist())) <= 4
    assert nearest[:20].max() < 8
    np.testing.assert_allclose(np.linalg.norm(query, axis=1), 3, rtol=1e-5)


@pytest.mark.usefixtures("in_files")
def test_codebooks_stay_while_a_reader_needs_them(index: Index, path: Path) -> None:
    add(index, 0, 250)
    with index.reading():
        add(index, 250, 1000, drifted=True)
        index.compact()
        assert index.stats().waiting > 0
        assert codebook_keys(path) == [1, 2]
    with Index.open(path) as other:
        add(other, 1000, 1001)
        assert codebook_keys(path) == [2]
        assert other.check().damage == ()  # type: ignore[attr-defined]
        other.delete([f"d{n}" for n in range(1001)])
        other.compact()
        assert codebook_keys(path) == [2], "the next documents will use it"


def test_compaction_measures_anew_only_what_has_changed(tmp_path: Path) -> None:
    with Index.open(tmp_path / "index", spec=SPEC) as index:
        add(index, 0, 300)
        made = report(index)
        index.compact()
        assert report(index) == made
        index.delete(["d1", "d2"])
        index.compact()
        assert report(index).documents == 298
