"""Mean residuals: what they are, where they come from, and what they find."""

from pathlib import Path

import numpy as np
import pytest

from tercet.documents import Document
from tercet.embeddings import Embeddings, EncoderSpec, MultiVectors, Representation
from tercet.indexes import codebooks
from tercet.indexes.base import Index
from tercet.indexes.codebooks import Codebook
from tercet.indexes.local.columns import late_interaction, mean_residuals
from tercet.indexes.local.columns.late_interaction import _best, _score_while_worth
from tercet.indexes.local.columns.mean_residuals import MeanResiduals
from tercet.indexes.local.files.segments import Segment, open_segment
from tercet.indexes.local.writing import compaction, training

DIM = 16
SPEC = EncoderSpec(
    family="test",
    representations=(Representation.MULTI_VECTOR,),
    multi_vector_dim=DIM,
    model_id="m",
    document_id="d",
)


def unit(vectors: np.ndarray) -> np.ndarray:
    found: np.ndarray = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return found.astype(np.float32)


def on_topics(count: int, seed: int) -> MultiVectors:
    """Texts of 8 tokens, each a word drawn to the text's topic: cells see the words alone."""
    fixed = np.random.default_rng(7)
    words, topics = (unit(fixed.standard_normal((n, DIM))) for n in (60, 40))
    rng = np.random.default_rng(seed)
    own = topics[rng.integers(0, len(topics), count)].repeat(8, axis=0)
    tokens = words[rng.integers(0, len(words), 8 * count)] + 0.8 * own
    return MultiVectors(unit(tokens), np.arange(0, 8 * count + 1, 8))


def documents(start: int, stop: int) -> list[Document]:
    return [Document(f"d{n:04d}", "", {"even": n % 2 == 0}) for n in range(start, stop)]


def embedded(tokens: MultiVectors) -> Embeddings:
    return Embeddings(multi_vector=tokens, model_id="m", document_id="d")


def ids(index: object, *, exact: bool = False) -> list[list[str]]:
    queries = Embeddings(multi_vector=on_topics(12, 3), model_id="m")
    found = index.search(queries, k=10, plan="multi_vector", exact=exact)  # type: ignore[attr-defined]
    return [[hit.document.id for hit in ranking] for ranking in found]


def recall(index: object) -> float:
    pairs = zip(ids(index), ids(index, exact=True), strict=True)
    return float(np.mean([len({*a} & {*b}) / 10 for a, b in pairs]))


pytestmark = pytest.mark.usefixtures("in_files")


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "LARGE_DOCUMENTS", 300)
    monkeypatch.setattr(training, "LARGE_DOCUMENTS", 300)
    monkeypatch.setattr(training, "LARGE_TOKENS", 1000)
    monkeypatch.setattr(codebooks, "CELLS", 64)
    monkeypatch.setattr(late_interaction, "MOST", 60)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with Index.open(tmp_path / "index", spec=SPEC) as index:
        index.add(documents(0, 1000), embedded(on_topics(1000, 1)))
    return tmp_path / "index"


def segment(folder: Path, rows: int) -> Segment:
    (file,) = (folder / "segments").iterdir()
    return open_segment(file, rows=rows)


def test_a_mean_residual_is_what_centroids_leave_of_a_document_in_the_mean() -> None:
    centroids = np.asarray([[1, 0], [0, 1]], dtype=np.float32)
    vectors = np.asarray([[1, 0.5], [1, 0.1], [0.2, 1]], dtype=np.float32)
    block = (vectors, np.asarray([0, 0, 1], np.uint16), np.asarray([2, 1]))
    found = mean_residuals.mean_residuals([block], centroids)
    np.testing.assert_allclose(found, [[0, 0.3], [0.2, 0]], atol=1e-6)
    residuals = MeanResiduals.of(found)
    along = residuals.along(np.asarray([1, 2], dtype=np.float32))
    np.testing.assert_allclose(along, [0.6, 0.2], atol=0.01)
    np.testing.assert_allclose(residuals.take(np.asarray([1])), [[0.2, 0]], atol=0.01)


def test_they_find_documents_that_cells_alone_do_not(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Index.open(folder) as index:
        found = recall(index)
        monkeypatch.setattr(late_interaction, "RESIDUAL_SHARE", 0.0)
        alone = recall(index)
    assert found > 0.95
    assert found - alone > 0.1


def test_a_segment_of_an_earlier_version_is_searched_alike_and_merges_store_them(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Index.open(folder) as index:
        expected = ids(index)
    folder = tmp_path / "earlier"
    with monkeypatch.context() as earlier, Index.open(folder, spec=SPEC) as index:
        earlier.setattr(MeanResiduals, "columns", lambda *_: {})
        index.add(documents(0, 1000), embedded(on_topics(1000, 1)))
    assert MeanResiduals.stored(segment(folder, 1000), 1) is None
    with Index.open(folder) as index:
        assert ids(index) == expected
        index.delete(["d0999"])
        index.compact()
    merged = segment(folder, 999)
    stored = MeanResiduals.stored(merged, 1)
    assert stored is not None
    with Index.open(folder) as index, index.reading() as reader:
        column = reader.snapshot.parts[0].columns[Representation.MULTI_VECTOR]  # type: ignore[attr-defined]
        blocks = column.with_cells(np.arange(999), column.cells.of_tokens)
        made = mean_residuals.mean_residuals(blocks, column.cells.codebook.centroids)
    np.testing.assert_allclose(stored.take(np.arange(999)), made, atol=0.01)


def test_a_new_codebook_brings_new_residuals(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    other = MultiVectors(unit(rng.standard_normal((4000, DIM))), np.arange(0, 4001, 8))
    trained: list[int] = []
    original = Codebook.train.__func__  # type: ignore[attr-defined]

    def counted(sample: np.ndarray, *, key: int, held_out: np.ndarray) -> Codebook:
        trained.append(key)
        found: Codebook = original(Codebook, sample, key=key, held_out=held_out)
        return found

    monkeypatch.setattr(Codebook, "train", counted)
    with Index.open(folder) as index:
        index.add(documents(1000, 1500), embedded(other))
        index.compact()
        assert trained == [2]
        assert recall(index) > 0.9
    assert MeanResiduals.stored(segment(folder, 1500), 2) is not None


def test_what_may_not_be_found_is_no_candidate() -> None:
    estimates = np.asarray([3, -np.inf, 5, 4, 1], dtype=np.float32)
    assert _best(estimates, 2).tolist() == [2, 3]
    assert _best(estimates, 4).tolist() == [2, 3, 0, 4]
    assert _best(estimates, 9).tolist() == [2, 3, 0, 4]


def test_candidates_are_compared_as_long_as_the_next_may_be_among_the_best() -> None:
    estimates = np.linspace(100, 0, 400).astype(np.float32)

    def within(error: float) -> int:
        errors = np.where(np.arange(400) % 2, error, -error).astype(np.float32)
        found = estimates + errors
        return len(_score_while_worth(estimates, 10, lambda a, b: found[a:b], step=32))

    assert within(0.5) == 32
    assert 64 <= within(8) < 400
    assert within(100) == 400
