"""Dense search through codes: what it finds under filters, and without faiss."""

import sys
from pathlib import Path

import numpy as np
import pytest

from tercet.documents import Document
from tercet.embeddings import Embeddings, EncoderSpec, Representation
from tercet.errors import IndexCorruptError
from tercet.indexes.base import Index
from tercet.indexes.local.columns import dense, dense_codes
from tercet.indexes.local.columns.dense_codes import open_codes
from tercet.indexes.local.files.segments import Column, open_segment, write_segment

DIM = 32
SPEC = EncoderSpec(
    family="test",
    representations=(Representation.DENSE,),
    dense_dim=DIM,
    model_id="m",
    document_id="d",
)


def vectors(count: int, seed: int) -> np.ndarray:
    centres = np.random.default_rng(5).standard_normal((40, DIM))
    rng = np.random.default_rng(seed)
    found = centres[rng.integers(0, 40, count)] + rng.standard_normal((count, DIM)) * 0.7
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(dense_codes, "LARGE", 1000)
    monkeypatch.setattr(dense, "CANDIDATES", 120)
    held = vectors(3000, 1)
    with Index.open(tmp_path / "index", spec=SPEC) as index:
        docs = [Document(f"d{n:05d}", "text", {"n": n}) for n in range(3000)]
        index.add(docs, Embeddings(dense=held, model_id="m", document_id="d"))
        index.compact()
    return tmp_path / "index"


def recall(index: Index, **options: object) -> float:
    queries = Embeddings(dense=vectors(20, 2), model_id="m")
    found = index.search(queries, k=10, plan="dense", **options)  # type: ignore[arg-type]
    truth = index.search(queries, k=10, plan="dense", exact=True, **options)  # type: ignore[arg-type]
    shared = [
        len({hit.document.id for hit in a} & {hit.document.id for hit in b}) / 10
        for a, b in zip(found, truth, strict=True)
    ]
    return float(np.mean(shared))


def test_codes_bring_the_best_and_a_filter_loses_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Index.open(path) as index:
        asked: list[int] = []
        original = dense_codes.DenseCodes.candidates

        def counted(codes: dense_codes.DenseCodes, queries: np.ndarray, limit: int) -> object:
            asked.append(limit)
            return original(codes, queries, limit)

        monkeypatch.setattr(dense_codes.DenseCodes, "candidates", counted)
        assert recall(index) >= 0.98
        assert recall(index, filter={"n": {"$gte": 1500}}) >= 0.98
        assert recall(index, filter={"n": {"$lt": 100}}) == 1.0
        assert asked == [160, 320]  # 16 for each of the ten, more behind a filter
        deep = index.search(
            Embeddings(dense=vectors(1, 2), model_id="m", document_id="d"), k=2000, plan="dense"
        )
        assert len(deep[0]) == 2000


def test_where_candidates_all_fail_the_filter_everything_is_compared(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dense, "LEAST_SHARE", 1.0)
    monkeypatch.setattr(dense, "CANDIDATES", 40)
    query = vectors(1, 2)
    order = np.argsort(-(vectors(3000, 1) @ query[0]))
    far = {int(n) for n in order[1500:]}
    with Index.open(path) as index:
        found = index.search(
            Embeddings(dense=query, model_id="m", document_id="d"),
            k=5,
            plan="dense",
            filter={"n": {"$in": sorted(far)}},
        )[0]
    assert [hit.document.metadata["n"] for hit in found] == order[1500:1505].tolist()


def test_without_faiss_everything_is_compared_and_said(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with (
        Index.open(path) as index,
        pytest.warns(UserWarning, match=r"searched without its codes.*tercet\[faiss-cpu\]"),
    ):
        assert recall(index) == 1.0
    with pytest.warns(UserWarning, match="2000 dense vectors are searched one by one"):
        assert dense_codes.build_codes(lambda: iter([vectors(2000, 1)]), 2000, DIM) == {}


def test_few_vectors_and_odd_dimensions_have_no_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dense_codes, "LARGE", 10)
    assert dense_codes.build_codes(lambda: iter(()), 9, DIM) == {}
    assert dense_codes.build_codes(lambda: iter(()), 99, 33) == {}


def test_damaged_codes_are_never_read(path: Path, tmp_path: Path) -> None:
    with Index.open(path) as index, index.reading() as reader:
        segment = reader.snapshot.parts[0].segment  # type: ignore[attr-defined]
        content, codec = np.array(segment.arrays["dense.codes"]), segment.codecs["dense.codes"]
    write_segment(tmp_path / "other", {"dense.codes": Column.of(codec, content)}, rows=7)
    with pytest.raises(IndexCorruptError, match="codes of 3000 rows, and 7 rows"):
        open_codes(open_segment(tmp_path / "other", rows=7))
    content[100] ^= 1
    write_segment(tmp_path / "damaged", {"dense.codes": Column.of(codec, content)}, rows=7)
    with pytest.raises(IndexCorruptError, match="damaged codes"):
        open_codes(open_segment(tmp_path / "damaged", rows=7))
