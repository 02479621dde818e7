"""Comparison on a device: the same rankings as numpy's, by the same code on "cpu" and on a GPU."""

from pathlib import Path

import numpy as np
import pytest

from tercet.documents import Document
from tercet.embeddings import Embeddings, EncoderSpec, MultiVectors, Representation
from tercet.filters import Filter
from tercet.indexes import codebooks
from tercet.indexes.base import Index
from tercet.indexes.local.index import LocalIndex
from tercet.indexes.local.writing import compaction, training
from tercet.indexes.storage import Storage
from tercet.scoring import devices
from tercet.scoring.devices import DeviceTokens, DeviceVectors, check_device
from tercet.scoring.multi_vector import maxsim

DIM = 16


@pytest.fixture(params=["cpu", "gpu"])
def device(request: pytest.FixtureRequest) -> str:
    name: str = request.getfixturevalue("gpu") if request.param == "gpu" else request.param
    return name


SPEC = EncoderSpec(
    family="test",
    representations=(Representation.DENSE, Representation.MULTI_VECTOR),
    model_id="m",
    document_id="d",
)


def embedded(count: int, seed: int) -> Embeddings:
    fixed = np.random.default_rng(7).standard_normal((60, DIM))
    rng = np.random.default_rng(seed)
    tokens = fixed[rng.integers(0, 60, 8 * count)] + 0.2 * rng.standard_normal((8 * count, DIM))
    tokens /= np.linalg.norm(tokens, axis=1, keepdims=True)
    views = MultiVectors(tokens.astype(np.float32), np.arange(0, 8 * count + 1, 8))
    dense = rng.standard_normal((count, DIM)).astype(np.float32)
    return Embeddings(dense=dense, multi_vector=views, model_id="m", document_id="d")


def found(
    index: Index, plan: str, *, exact: bool, filter: Filter | None = None
) -> list[dict[str, float]]:
    rankings = index.search(embedded(6, 3), k=8, plan=plan, exact=exact, filter=filter)
    return [{hit.document.id: hit.score for hit in ranking} for ranking in rankings]


@pytest.mark.parametrize("tokens", ["int8", "float16", "4bit", "1bit"])
def test_an_index_ranks_on_a_device_as_without_one(
    tmp_path: Path, device: str, tokens: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "LARGE_DOCUMENTS", 300)
    monkeypatch.setattr(training, "LARGE_DOCUMENTS", 300)
    monkeypatch.setattr(training, "LARGE_TOKENS", 1000)
    monkeypatch.setattr(codebooks, "CELLS", 64)
    storage = Storage(tokens=tokens)  # type: ignore[arg-type]
    with LocalIndex.open(tmp_path / "index", spec=SPEC, storage=storage) as index:
        assert isinstance(index, LocalIndex)
        index.add([Document(f"d{n:03d}", "") for n in range(500)], embedded(500, 1))
        cases = [(plan, exact) for plan in ("dense", "multi_vector") for exact in (False, True)]
        before = [found(index, plan, exact=exact) for plan, exact in cases]
        index.move_to(device)
        for (plan, exact), expected in zip(cases, before, strict=True):
            rankings = zip(found(index, plan, exact=exact), expected, strict=True)
            for scores, known in rankings:
                assert scores == pytest.approx(known, rel=1e-4)


def test_token_vectors_are_compared_in_blocks_and_by_choice(
    device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "AT_ONCE", 200)
    rng = np.random.default_rng(0)
    offsets = np.asarray([0, 3, 4, 40, 41])
    queries = MultiVectors(rng.standard_normal((5, 4)).astype(np.float32), np.asarray([0, 2, 5]))
    documents = MultiVectors(rng.standard_normal((41, 4)).astype(np.float32), offsets)
    expected = np.stack([maxsim(queries[n], documents) for n in range(2)])
    held = DeviceTokens(documents.vectors, None, device)
    np.testing.assert_allclose(held.maxsim(queries, offsets), expected, rtol=1e-5)
    chosen = np.asarray([40, *range(3)])
    some = held.maxsim(queries, np.asarray([0, 1, 4]), chosen)
    np.testing.assert_allclose(some, expected[:, [3, 0]], rtol=1e-5)
    scaled = DeviceTokens(documents.vectors, np.full(41, 2, dtype=np.float32), device)
    np.testing.assert_allclose(scaled.maxsim(queries, offsets), 2 * expected, rtol=1e-5)


def test_the_best_dense_vectors_come_back_with_all_that_tie(device: str) -> None:
    rows = np.asarray([[1, 0], [0, 1], [3, 4], [0, 1], [-9, 0]], dtype=np.float32)
    held = DeviceVectors(rows, None, device)
    queries = np.asarray([[2, 1], [0, 1]], dtype=np.float32)
    assert held.products(queries, np.asarray([2, 0])).tolist() == [[10, 2], [4, 0]]
    (first, scores), (second, ties) = held.best(queries, 2, None, near=1e-6)
    assert (first.tolist(), scores.tolist()) == ([0, 2], [2, 10])
    assert (second.tolist(), ties.tolist()) == ([1, 2, 3], [1, 4, 1])
    near, _ = held.best(queries, 2, None, near=0.06)  # 0.06 x 18 below the second best of the first
    assert near[0].tolist() == [0, 1, 2, 3]


def test_only_what_a_filter_lets_through_comes_back(device: str) -> None:
    rows = np.eye(5, 3, dtype=np.float32) + np.float32(0.5)
    held = DeviceVectors(rows, None, device)
    allowed = np.asarray([False, True, False, True, True])
    (found, _), (same, _) = held.best(np.ones((2, 3), np.float32), 1, allowed, near=0.0)
    assert found.tolist() == same.tolist() == [1]
    ((every, scores),) = held.best(np.ones((1, 3), np.float32), 9, allowed, near=0.0)
    assert every.tolist() == [1, 3, 4]
    assert scores.tolist() == [2.5, 1.5, 1.5]
    ((nothing, _),) = held.best(np.ones((1, 3), np.float32), 9, ~allowed & allowed, near=0.0)
    assert nothing.tolist() == []


@pytest.mark.parametrize("dense", ["float32", "float16", "int8"])
def test_dense_vectors_are_compared_on_a_device_as_they_are_stored(
    tmp_path: Path, device: str, dense: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "AT_ONCE", 100 * DIM)
    storage = Storage(dense=dense)  # type: ignore[arg-type]
    filters: list[Filter | None] = [None, {"n": {"$lt": 130}}, {"n": {"$lt": 20}}]
    with LocalIndex.open(tmp_path / "index", spec=SPEC, storage=storage) as index:
        assert isinstance(index, LocalIndex)
        documents = [Document(f"d{n:03d}", "", {"n": n}) for n in range(250)]
        index.add(documents, embedded(250, 1))
        before = [found(index, "dense", exact=False, filter=each) for each in filters]
        index.move_to(device)
        for expected, each in zip(before, filters, strict=True):
            after = found(index, "dense", exact=False, filter=each)
            for scores, known in zip(after, expected, strict=True):
                assert scores == pytest.approx(known, rel=1e-4)


def test_candidates_of_cells_are_compared_on_a_device_at_once(
    tmp_path: Path, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "LARGE_DOCUMENTS", 300)
    monkeypatch.setattr(training, "LARGE_DOCUMENTS", 300)
    monkeypatch.setattr(training, "LARGE_TOKENS", 1000)
    monkeypatch.setattr(codebooks, "CELLS", 64)
    compared: list[int] = []
    plain = DeviceTokens.maxsim

    def counted(
        self: DeviceTokens,
        queries: MultiVectors,
        offsets: np.ndarray,
        tokens: np.ndarray | None = None,
    ) -> np.ndarray:
        compared.append(len(offsets) - 1)
        return plain(self, queries, offsets, tokens)

    monkeypatch.setattr(DeviceTokens, "maxsim", counted)
    with LocalIndex.open(tmp_path / "index", spec=SPEC) as index:
        assert isinstance(index, LocalIndex)
        index.add([Document(f"d{n:03d}", "") for n in range(700)], embedded(700, 1))
        index.move_to(device)
        found(index, "multi_vector", exact=False)
    assert compared == [512] * 6  # one comparison a query


def test_an_index_is_opened_on_a_device(tmp_path: Path) -> None:
    with Index.open(tmp_path / "index", spec=SPEC) as index:
        index.add([Document(f"d{n}", "") for n in range(20)], embedded(20, 1))
        expected = found(index, "dense", exact=False)
    with Index.open(tmp_path / "index", device="cpu") as index:
        for scores, known in zip(found(index, "dense", exact=False), expected, strict=True):
            assert scores == pytest.approx(known, rel=1e-4)
    with pytest.raises(ValueError, match="cannot be compared on the device 'abacus'"):
        Index.open(tmp_path / "index", device="abacus")


def test_an_engine_that_compares_elsewhere_refuses_a_device(tmp_path: Path) -> None:
    with (
        Index.open(tmp_path / "index", spec=SPEC) as index,
        pytest.raises(ValueError, match="compares them where it runs: open it without device="),
    ):
        Index.move_to(index, "cuda")


def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match=r"cannot be compared on the device 'cuda:77'.*'cpu'"):
        check_device("cuda:77")
    with pytest.raises(ValueError, match="the device 'abacus'"):
        check_device("abacus")
