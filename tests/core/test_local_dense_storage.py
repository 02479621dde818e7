"""Dense vectors stored in fewer bytes: what comes back, what is found, what is refused."""

from pathlib import Path

import numpy as np
import pytest

from tercet.documents import Document
from tercet.embeddings import Embeddings, EncoderSpec, Representation
from tercet.errors import IndexFormatError
from tercet.indexes.base import Index
from tercet.indexes.local.columns.dense import DenseColumn
from tercet.indexes.local.files.segments import Column, open_segment, write_segment
from tercet.indexes.storage import Storage

DIM = 24
SPEC = EncoderSpec(
    family="test", representations=(Representation.DENSE,), model_id="m", document_id="d"
)


def vectors(count: int, seed: int) -> np.ndarray:
    found: np.ndarray = np.random.default_rng(seed).standard_normal((count, DIM))
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    return found.astype(np.float32)


def add(index: Index, held: np.ndarray, start: int) -> None:
    documents = [Document(f"d{start + n:04d}", "") for n in range(len(held))]
    index.add(documents, Embeddings(dense=held, model_id="m", document_id="d"))


@pytest.mark.parametrize(
    ("codec", "error", "recall", "bytes_each"),
    [("float32", 0.0, 1.0, 96), ("float16", 3e-4, 0.98, 48), ("int8", 4e-3, 0.9, 28)],
)
def test_vectors_come_back_as_near_as_their_codec_keeps_them(
    tmp_path: Path, codec: str, error: float, recall: float, bytes_each: int
) -> None:
    held, queries = vectors(600, 1), vectors(20, 2)
    ids = [f"d{n:04d}" for n in range(600)]
    storage = Storage(dense=codec)  # type: ignore[arg-type]
    with Index.open(tmp_path / "index", spec=SPEC, storage=storage) as index:
        add(index, held[:400], 0)
        add(index, held[400:], 400)
        stored = index.embeddings(ids).dense
        index.compact()
        again = index.embeddings(ids).dense
        found = index.search(Embeddings(dense=queries, model_id="m"), k=10, plan="dense")
        assert index.stats().bytes["dense"] == 600 * bytes_each
    assert stored is not None
    assert again is not None
    np.testing.assert_allclose(stored, held, atol=error)
    np.testing.assert_allclose(again, stored, atol=1e-7)
    truth = np.argsort(-(queries @ held.T), axis=1)[:, :10]
    shared = [
        len({hit.document.id for hit in ranking} & {ids[n] for n in best}) / 10
        for ranking, best in zip(found, truth, strict=True)
    ]
    assert np.mean(shared) >= recall
    with Index.open(tmp_path / "index") as index:  # what was recorded holds
        scores = index.score(Embeddings(dense=queries[:1], model_id="m"), ids[:50])
    np.testing.assert_allclose(scores[Representation.DENSE], queries[:1] @ again[:50].T, atol=1e-5)


def test_an_unknown_codec_of_dense_vectors_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no codec '1bit' of dense vectors; there are: float32"):
        Storage(dense="1bit")  # type: ignore[arg-type]
    column = Column.of("bits", np.zeros((1, 4), dtype=np.float32))
    write_segment(tmp_path / "s", {"dense": column}, rows=1)
    with pytest.raises(IndexFormatError, match="stores dense vectors as 'bits'"):
        DenseColumn(open_segment(tmp_path / "s", rows=1))
