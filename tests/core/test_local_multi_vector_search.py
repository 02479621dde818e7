"""Late interaction through cells: what it finds, what it stores, when it trains."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from tercet.documents import Document
from tercet.embeddings import Embeddings, EncoderSpec, MultiVectors, Representation
from tercet.errors import IndexCorruptError, IndexFormatError
from tercet.indexes import codebooks
from tercet.indexes.base import Index
from tercet.indexes.clusters import nearest_cells
from tercet.indexes.codebooks import Codebook, Probes
from tercet.indexes.local.columns import cells, late_interaction
from tercet.indexes.local.columns.cells import cell_columns, codebook_key
from tercet.indexes.local.columns.multi_vector import MultiVectorColumn
from tercet.indexes.local.columns.tokens import CELLS, Int8, Residual, codec_for, codec_named
from tercet.indexes.local.files.segments import Column, open_segment, write_segment
from tercet.indexes.local.writing import compaction, training
from tercet.indexes.pooling import pooled
from tercet.indexes.storage import Storage
from tercet.scoring import multi_vector as scoring

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


def vectors(count: int, seed: int, *, dim: int = DIM, words: int = 60) -> MultiVectors:
    """Texts of 4 to 12 tokens, each token near one of some words."""
    vocabulary = unit(np.random.default_rng(7).standard_normal((words, dim)))
    rng = np.random.default_rng(seed)
    lengths = rng.integers(4, 13, count)
    tokens = vocabulary[rng.integers(0, words, lengths.sum())]
    noise = rng.standard_normal(tokens.shape) * 0.3 / np.sqrt(dim)
    return MultiVectors(unit(tokens + noise), np.concatenate(([0], np.cumsum(lengths))))


def documents(start: int, stop: int) -> list[Document]:
    return [
        Document(f"d{n:05d}", f"text {n}", {"n": n, "tenth": n % 10 == 0})
        for n in range(start, stop)
    ]


def embedded(tokens: MultiVectors) -> Embeddings:
    return Embeddings(multi_vector=tokens, model_id="m", document_id="d")


def asked(tokens: MultiVectors) -> Embeddings:
    return Embeddings(multi_vector=tokens, model_id="m")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "LARGE_DOCUMENTS", 300)
    monkeypatch.setattr(compaction, "LARGE_DOCUMENTS", 300)
    monkeypatch.setattr(training, "LARGE_TOKENS", 1000)
    monkeypatch.setattr(codebooks, "CELLS", 64)
    monkeypatch.setattr(late_interaction, "MOST", 150)


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    with Index.open(tmp_path / "index", spec=SPEC) as opened:
        opened.add(documents(0, 800), embedded(vectors(800, 1)))
        yield opened


def trained() -> Codebook:
    return Codebook.train(vectors(100, 1).vectors, held_out=vectors(20, 2).vectors, key=3)


def keys(path: Path) -> list[int]:
    with closing(sqlite3.connect(path / "catalog.sqlite")) as connection:
        return [key for (key,) in connection.execute("SELECT id FROM codebooks ORDER BY id")]


def recall(index: Index, queries: MultiVectors, **options: object) -> float:
    found = index.search(asked(queries), k=10, plan="multi_vector", **options)  # type: ignore[arg-type]
    truth = index.search(asked(queries), k=10, plan="multi_vector", exact=True, **options)  # type: ignore[arg-type]
    shared = [
        len({hit.document.id for hit in a} & {hit.document.id for hit in b}) / max(1, len(b))
        for a, b in zip(found, truth, strict=True)
    ]
    return float(np.mean(shared))


def test_a_large_collection_is_searched_by_cells_and_finds_the_same(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert keys(tmp_path / "index") == [1]
    queries = vectors(12, 3)
    assert recall(index, queries) >= 0.95
    scored: list[int] = []
    original = late_interaction._score_while_worth

    def counted(*given: object, step: int) -> np.ndarray:
        found = original(*given, step=step)  # type: ignore[arg-type]
        scored.append(len(found))
        return found

    monkeypatch.setattr(late_interaction, "_score_while_worth", counted)
    ranking = index.search(asked(queries), k=5, plan="multi_vector")[0]
    assert len(scored) == 12
    assert max(scored) < 200
    ids = [hit.document.id for hit in ranking]
    exact = index.score(asked(queries.take(np.asarray([0]))), ids)
    np.testing.assert_allclose(
        [hit.score for hit in ranking], exact[Representation.MULTI_VECTOR][0], rtol=1e-5
    )


def test_kernels_and_numpy_find_the_same(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    queries = asked(vectors(6, 3))
    for exact in (False, True):
        found = index.search(queries, k=5, plan="multi_vector", exact=exact)
        with monkeypatch.context() as patch:
            patch.setattr(scoring, "can_read", lambda numbers: numbers is None)
            patch.setattr(cells, "can_add_gains", lambda: False)
            plain = index.search(queries, k=5, plan="multi_vector", exact=exact)
        for own, other in zip(found, plain, strict=True):
            assert [hit.document.id for hit in own] == [hit.document.id for hit in other]
            np.testing.assert_allclose(
                [hit.score for hit in own], [hit.score for hit in other], rtol=1e-4
            )


def test_a_small_collection_has_no_cells(tmp_path: Path) -> None:
    with Index.open(tmp_path / "index", spec=SPEC) as index:
        index.add(documents(0, 200), embedded(vectors(200, 1)))
        assert recall(index, vectors(3, 2)) == 1.0
    assert keys(tmp_path / "index") == []


def test_later_documents_use_the_same_cells_and_a_merge_keeps_them(
    index: Index, tmp_path: Path
) -> None:
    index.add(documents(800, 900), embedded(vectors(100, 5)))
    index.add(documents(0, 50), embedded(vectors(50, 9)))
    queries = vectors(12, 3)
    before = index.search(asked(queries), k=5, plan="multi_vector", exact=True)
    assert recall(index, queries) >= 0.95
    index.compact()
    assert keys(tmp_path / "index") == [1]
    after = index.search(asked(queries), k=5, plan="multi_vector", exact=True)
    assert [[hit.document.id for hit in r] for r in before] == [
        [hit.document.id for hit in r] for r in after
    ]
    assert recall(index, queries) >= 0.95


def test_compaction_trains_anew_when_documents_have_changed(index: Index, tmp_path: Path) -> None:
    other = MultiVectors(
        unit(np.random.default_rng(2).standard_normal((4000, DIM))), np.arange(0, 4001, 8)
    )
    index.add(documents(1000, 1500), embedded(other))
    index.compact()
    assert keys(tmp_path / "index") == [2]
    assert recall(index, vectors(8, 3)) >= 0.9
    index.clear()
    assert keys(tmp_path / "index") == []


def test_compaction_after_a_load_trains_nothing_though_documents_are_of_many_kinds(
    tmp_path: Path,
) -> None:
    """Tokens of one document are alike, those of others less so: that is no drift."""
    rng = np.random.default_rng(5)
    own = rng.standard_normal((900, 4, DIM))  # each document has four words of its own
    tokens = unit(own[np.arange(900).repeat(12), rng.integers(0, 4, 10_800)])
    held = MultiVectors(tokens, np.arange(0, 10_801, 12))
    with Index.open(tmp_path / "many", spec=SPEC) as index:
        for start in range(0, 900, 300):
            some = held.take(np.arange(start, start + 300))
            index.add(documents(start, start + 300), embedded(some))
        index.compact()
    assert keys(tmp_path / "many") == [1]


def test_a_filter_restricts_candidates_and_not_recall(index: Index) -> None:
    queries = vectors(10, 3)
    assert recall(index, queries, filter={"tenth": True}) == 1.0  # gathered and compared
    assert recall(index, queries, filter={"n": {"$gte": 400}}) >= 0.95
    found = index.search(asked(queries), k=5, plan="multi_vector", filter={"n": {"$gte": 400}})
    assert all(hit.document.metadata["n"] >= 400 for ranking in found for hit in ranking)


def test_measure_compares_a_search_with_the_exact_one(index: Index) -> None:
    measured = index.measure(asked(vectors(6, 3)), k=10)  # type: ignore[attr-defined]
    found = measured[Representation.MULTI_VECTOR]
    assert list(measured) == [Representation.MULTI_VECTOR]
    assert 0.9 <= found.recall <= 1.0
    assert found.seconds > 0
    assert found.exact_seconds > 0
    index.clear()
    empty = index.measure(asked(vectors(1, 3)))  # type: ignore[attr-defined]
    assert empty[Representation.MULTI_VECTOR].recall == 1.0


def test_more_hits_than_candidates_compares_everything(index: Index) -> None:
    ranking = index.search(asked(vectors(1, 3)), k=800, plan="multi_vector")[0]
    assert len(ranking) == 800


@pytest.mark.parametrize(
    ("tokens", "least"), [("float16", 0.98), ("4bit", 0.9), ("2bit", 0.6), ("1bit", 0.4)]
)
def test_every_codec_keeps_what_it_can(tmp_path: Path, tokens: str, least: float) -> None:
    held, queries = vectors(600, 1), vectors(20, 3)
    storage = Storage(tokens=tokens)  # type: ignore[arg-type]
    with Index.open(tmp_path / "index", spec=SPEC, storage=storage) as index:
        index.add(documents(0, 300), embedded(held.take(np.arange(300))))
        index.add(documents(300, 600), embedded(held.take(np.arange(300, 600))))
        found = index.search(asked(queries), k=10, plan="multi_vector")
        stored = index.embeddings(["d00000", "d00599"]).multi_vector
        assert stored is not None
        index.compact()
        again = index.embeddings(["d00000", "d00599"]).multi_vector
        assert again is not None
        np.testing.assert_allclose(stored.vectors, again.vectors, atol=1e-6)
    shared = []
    for n, ranking in enumerate(found):
        scores = [
            (queries[n] @ held[document].T).max(axis=1).sum() for document in range(len(held))
        ]
        truth = set(np.argsort(-np.asarray(scores))[:10].tolist())
        shared.append(len(truth & {hit.document.metadata["n"] for hit in ranking}) / 10)
    assert np.mean(shared) >= least


def test_int8_keeps_a_token_to_within_half_a_step() -> None:
    tokens = vectors(50, 1).vectors
    decoded = Int8().decode(Int8().encode(tokens, None))
    steps = np.abs(tokens).max(axis=1, keepdims=True) / 127
    assert (np.abs(decoded - tokens) <= steps * 0.5001).all()
    zeros = np.zeros((2, 4), dtype=np.float32)
    assert Int8().decode(Int8().encode(zeros, None)).tolist() == zeros.tolist()


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_residual_codes_hold_at_1024_dimensions_where_one_set_of_steps_collapses(bits: int) -> None:
    """RAGatouille#150: a few dimensions of large values ruin buckets that all dimensions share."""
    rng = np.random.default_rng(0)
    sizes = np.where(np.arange(1024) % 256 == 5, 100.0, 1.0)
    tokens = unit(rng.standard_normal((3000, 1024)) * sizes)
    codebook = Codebook.train(tokens[:1500], held_out=tokens[2000:], key=1)
    fresh = tokens[1500:2000]
    codec = Residual(codebook, bits)
    cells = nearest_cells(fresh, codebook.centroids)
    ours = codec.decode({**codec.encode(fresh, cells), CELLS: cells})
    left = fresh - codebook.centroids[cells]
    cuts = np.quantile(left, np.arange(1, 1 << bits) / (1 << bits))
    values = np.quantile(left, (np.arange(1 << bits) + 0.5) / (1 << bits))
    naive = codebook.centroids[cells] + values[np.searchsorted(cuts, left)]

    def error(decoded: np.ndarray) -> float:
        return float(((decoded - fresh) ** 2).sum() / (left**2).sum())

    assert error(naive) > 0.5  # most of the residual is lost, however many bits it gets
    assert error(ours) < {1: 0.8, 2: 0.25, 4: 0.05}[bits]


def test_codecs_are_found_by_their_names() -> None:
    codebook = trained()
    for tokens in ("float16", "int8", "4bit", "2bit", "1bit"):
        codec = codec_for(tokens, codebook)
        found = codec_named(codec.name, codebook)
        assert found is not None
        assert found.name == codec.name
        assert codec_for(tokens, None).name in ("float16", "int8")
    assert codec_named("4bit of codebook 9", codebook) is None
    assert codec_named("zip", codebook) is None
    with pytest.raises(ValueError, match="need the cells"):
        Residual(codebook, 4).encode(vectors(2, 1).vectors, None)


def test_an_unknown_codec_is_refused(tmp_path: Path) -> None:
    write_segment(
        tmp_path / "s", {"multi_vector.tokens": Column.of("zip", np.zeros(1, np.int8))}, rows=1
    )
    with pytest.raises(IndexFormatError, match="stores token vectors as 'zip'"):
        MultiVectorColumn(open_segment(tmp_path / "s", rows=1))


def test_a_damaged_codebook_is_named(index: Index, tmp_path: Path) -> None:
    index.close()
    with closing(sqlite3.connect(tmp_path / "index" / "catalog.sqlite")) as connection:
        connection.execute("UPDATE codebooks SET content = ?", (b"x",))
        connection.commit()
    with (
        Index.open(tmp_path / "index") as damaged,
        pytest.raises(IndexCorruptError, match="codebook 1 of the catalogue is missing or damaged"),
    ):
        damaged.search(asked(vectors(1, 1)), plan="multi_vector")
    with pytest.raises(IndexCorruptError, match="codebook 4"):
        Codebook.from_bytes(b"x", key=4)


def test_a_query_looks_up_the_same_cells_with_and_without_kernels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(codebooks, "PROBES", 8)
    codebook, query = trained(), vectors(1, 3).vectors
    found = codebook.probes(query)
    monkeypatch.setattr(codebooks, "can_find_nearest", lambda dim: dim == 0)
    expected = codebook.probes(query)
    np.testing.assert_allclose(found.gains, expected.gains, atol=0.02)
    closeness = query @ codebook.centroids.T
    for each in (found, expected):
        places = np.asarray(each.cells, dtype=np.int64)
        least = np.sort(closeness, axis=1)[:, -9]
        own = np.take_along_axis(closeness, places, axis=1) - least[:, None]
        np.testing.assert_allclose(own, each.gains, atol=0.02)


def test_a_codebook_comes_back_from_its_bytes() -> None:
    codebook = trained()
    again = Codebook.from_bytes(codebook.to_bytes(), key=3)
    np.testing.assert_array_equal(again.centroids, codebook.centroids)
    assert again.distortion == codebook.distortion > 0


def test_cells_that_hold_no_documents_are_no_codebook() -> None:
    assert codebook_key({}) is None
    probes = Probes.of(np.asarray([[0.1, 0.9, 0.5]], np.float32))
    assert probes.cells.tolist() == [[1, 2]]
    np.testing.assert_allclose(probes.gains, [[0.8, 0.4]])
    codebook = Codebook(5, np.zeros((4, 2), np.float32), np.ones(2, np.float32), 0.0)
    columns = cell_columns(np.asarray([3, 3, 1], np.uint16), np.asarray([0, 2, 3]), codebook)
    assert codebook_key({name: column.codec for name, column in columns.items()}) == 5


def test_arrays_that_do_not_belong_together_are_damage(tmp_path: Path) -> None:
    arrays = Int8().encode(np.ones((3, 2), np.float32), None)
    columns = {name: Column.of("int8", array) for name, array in arrays.items()}
    columns["multi_vector.offsets"] = Column.of("int64", np.asarray([0, 4]))
    write_segment(tmp_path / "s", columns, rows=1)
    with pytest.raises(IndexCorruptError, match="4 tokens by its offsets, and arrays of"):
        MultiVectorColumn(open_segment(tmp_path / "s", rows=1))


def test_pooling_leaves_one_token_in_so_many(tmp_path: Path) -> None:
    held = vectors(30, 1)
    few = pooled(held, 2)
    assert (np.diff(few.offsets) <= -(-np.diff(held.offsets) // 2)).all()
    np.testing.assert_allclose(np.linalg.norm(few.vectors, axis=1), 1, rtol=1e-5)
    assert pooled(held, 1) is held
    with Index.open(tmp_path / "i", spec=SPEC, storage=Storage(pooling=2)) as index:
        index.add(documents(0, 30), embedded(held))
        stored = index.embeddings(["d00003"]).multi_vector
    assert stored is not None
    assert len(stored.vectors) <= (len(held[3]) + 1) // 2


def test_storage_is_recorded_and_another_one_is_refused(tmp_path: Path) -> None:
    Index.open(tmp_path / "i", spec=SPEC, storage=Storage(tokens="4bit")).close()
    Index.open(tmp_path / "i").close()
    with pytest.raises(ValueError, match=r"was created with Storage\(tokens='4bit'"):
        Index.open(tmp_path / "i", storage=Storage())
    with pytest.raises(ValueError, match="no codec '3bit' of token vectors; there are: int8"):
        Storage(tokens="3bit")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="pooling is 0"):
        Storage(pooling=0)
    with pytest.raises(ValueError, match="no storage options"):
        Storage.from_json('{"a": 1}')
