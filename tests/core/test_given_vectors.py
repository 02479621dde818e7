"""Vectors that come along with documents are compared with the model's own."""

from pathlib import Path

import numpy as np
import pytest

from tercet.documents import Document
from tercet.errors import ModelMismatchError
from tercet.indexes.base import Index
from tercet.indexes.checks import check_vectors
from tercet.retriever import Retriever
from tercet.testing.hash_encoder import HashEncoder

SPEC = HashEncoder(dense_dim=2).spec
OWN = np.asarray([[1, 0], [0, 1]], dtype=np.float32)
PAIR = [Document(id="a", text="one"), Document(id="b", text="two")]


@pytest.mark.parametrize(
    "vectors", [{}, {"c": [9.0]}, {"a": [1, 0]}, {"a": [5.0, 0.1], "b": [0.0, 0.01]}]
)
def test_vectors_of_the_same_direction_pass(vectors: dict[str, list[float]]) -> None:
    check_vectors(PAIR, OWN, vectors, SPEC)


@pytest.mark.parametrize(
    ("vector", "message"),
    [
        ([1.0, 0.0, 0.0], "'b' came with .* has 2 numbers, the one given has 3 numbers"),
        ([], "has 0 numbers"),
        ([1.0, 6.9], r"a cosine of 0\.990 to it"),  # 0.98965...
        ([0.0, -1.0], r"a cosine of -1\.000 to it"),
        ([0.0, 0.0], r"a cosine of 0\.000 to it"),
        ([0.0, float("nan")], "a cosine of nan to it"),
    ],
)
def test_other_vectors_are_refused_by_name(vector: list[float], message: str) -> None:
    with pytest.raises(ModelMismatchError, match=message):
        check_vectors(PAIR, OWN, {"b": vector}, SPEC)


def test_nothing_of_a_batch_is_written_when_one_vector_is_of_another_model() -> None:
    retriever = Retriever.create(encoder=HashEncoder(dense_dim=2))
    with pytest.raises(ModelMismatchError, match="document 'b'"):
        retriever.add(PAIR, vectors={"b": [1.0]})
    assert len(retriever.index) == 0


async def test_documents_that_have_not_changed_are_compared_with_what_is_stored() -> None:
    retriever = Retriever.create(encoder=HashEncoder(dense_dim=2))
    retriever.add(PAIR)
    dense = retriever.index.embeddings(["b"]).dense
    assert dense is not None
    assert (await retriever.aadd(PAIR, vectors={"b": dense[0].tolist()})).skipped == 2
    with pytest.raises(ModelMismatchError, match="document 'b'"):
        await retriever.aadd(PAIR, vectors={"b": (-dense[0]).tolist()})


def test_an_index_knows_where_it_is_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with Index.open("here", spec=SPEC) as index:
        assert index.address == str(tmp_path / "here")
    with Index.open(f"file://{tmp_path}/here") as index:
        assert index.address == f"file://{tmp_path}/here"
    assert Retriever.create(encoder=HashEncoder()).temporary
    with Retriever.create(tmp_path / "there", encoder=HashEncoder()) as retriever:
        assert not retriever.temporary
