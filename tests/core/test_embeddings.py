from typing import Any

import numpy as np
import pytest

from tercet.embeddings import (
    Embeddings,
    EncoderSpec,
    MultiVectors,
    Representation,
    SparseVectors,
    concatenate,
    empty_view,
)

DENSE, SPARSE, MULTI_VECTOR = Representation


def batch(n: Any = 3, **fields: Any) -> Embeddings:
    return Embeddings(
        dense=np.arange(2 * n, dtype=np.float32).reshape(n, 2),
        sparse=SparseVectors.from_dicts([{i: 1.0, i + 5: 0.5} if i % 2 else {} for i in range(n)]),
        multi_vector=MultiVectors(np.ones((2 * n, 3), np.float32), np.arange(0, 2 * n + 1, 2)),
        tokens=np.arange(n),
        **fields,
    )


def test_sparse_vectors_come_back_as_the_dictionaries_they_were() -> None:
    rows = [{3: 1.5, 1: 0.5}, {}, {0: 2.0}]
    vectors = SparseVectors.from_dicts(rows)
    assert vectors.ids.tolist() == [1, 3, 0]
    assert vectors.to_dicts() == rows
    assert len(vectors) == 3


@pytest.mark.parametrize(
    ("indptr", "ids", "weights", "said"),
    [
        ([0, 2], [1], [1.0], "indptr end at 2"),
        ([1, 1], [1], [1.0], "must start at 0"),
        ([0, 2, 1, 2], [1, 2], [1, 1], "must not descend"),
        ([0, 1], [1], [1.0, 2.0], "1 term ids, but 2 weights"),
        ([0, 1], [1], [np.nan], "finite and not negative"),
        ([0, 1], [1], [-1.0], "finite and not negative"),
        ([0, 2], [2, 2], [1.0, 1.0], "ascend"),
        ([0, 2], [3, 2], [1.0, 1.0], "ascend"),
        ([0, 1], [-1], [1.0], "from 0"),
        ([0, 1], [1.5], [1.0], "whole numbers that fit int32"),
        ([0, 1], [2**40], [1.0], "whole numbers that fit int32"),
    ],
)
def test_sparse_vectors_refuse_what_is_not_sound(
    indptr: Any, ids: Any, weights: Any, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        SparseVectors(np.asarray(indptr), np.asarray(ids), np.asarray(weights))


def test_ids_may_descend_from_one_text_to_the_next() -> None:
    vectors = SparseVectors.from_dicts([{}, {9: 1.0}, {}, {1: 1.0}, {}])
    assert vectors.to_dicts()[3] == {1: 1.0}


@pytest.mark.parametrize(
    ("vectors", "offsets", "said"),
    [
        ([1.0], [0, 1], r"not \[tokens, E\]"),
        ([[1.0]], [0, 2], "offsets end at 2, but there are 1"),
        ([[1.0]], [0, 1, 1], "text 1 of the batch has no token vector"),
        ([[np.inf]], [0, 1], "finite"),
    ],
)
def test_multi_vectors_refuse_what_is_not_sound(vectors: Any, offsets: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        MultiVectors(np.asarray(vectors), np.asarray(offsets))


def test_multi_vectors_give_one_matrix_a_text() -> None:
    vectors = MultiVectors([[1.0, 0.0], [0.0, 1.0], [2.0, 2.0]], [0, 1, 3])
    assert vectors.dim == 2
    assert vectors.vectors.dtype == np.float32
    assert vectors[-1].tolist() == [[0, 1], [2, 2]]
    with pytest.raises(IndexError, match="text 2 of 2"):
        vectors[2]


def test_embeddings_take_any_numbers_and_keep_float32() -> None:
    given = Embeddings(dense=[[1, 0], [0, 1]])
    assert given.dense is not None
    assert given.dense.dtype == np.float32
    assert given.representations == (DENSE,)
    assert len(given) == 2


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "without any view"),
        ({"dense": np.ones(3)}, r"not \[N, E\]"),
        ({"dense": np.full((1, 2), np.nan)}, "must be finite"),
        ({"dense": np.ones((2, 0))}, "no dimensions"),
        ({"dense": np.ones((2, 2)), "sparse": SparseVectors.from_dicts([{}])}, "different numbers"),
    ],
)
def test_embeddings_refuse_what_is_not_sound(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Embeddings(**fields)


def test_take_reorders_every_view() -> None:
    taken = batch().take([2, 0, 2])
    assert taken.dense is not None
    assert taken.sparse is not None
    assert taken.multi_vector is not None
    assert taken.dense.tolist() == [[4, 5], [0, 1], [4, 5]]
    assert taken.sparse.to_dicts() == [{}, {}, {}]
    assert len(taken.multi_vector) == 3
    assert taken.tokens is not None
    assert taken.tokens.tolist() == [2, 0, 2]


def test_concatenate_joins_batches_and_take_undoes_it() -> None:
    joined = concatenate([batch(3), batch(4)])
    assert len(joined) == 7
    again = joined.take(range(3, 7))
    assert again.sparse is not None
    assert again.sparse.to_dicts() == batch(4).sparse.to_dicts()  # type: ignore[union-attr]
    assert joined.tokens_encoded is None


def test_concatenate_joins_what_has_one_view() -> None:
    dense = concatenate([Embeddings(dense=np.ones((1, 2))), Embeddings(dense=np.ones((2, 2)))])
    assert dense.representations == (DENSE,)
    assert len(dense) == 3
    only = batch(2)
    assert concatenate([only]) is only


def test_concatenate_refuses_nothing_and_strangers() -> None:
    with pytest.raises(ValueError, match="no embeddings"):
        concatenate([])
    with pytest.raises(ValueError, match="different models"):
        concatenate([batch(1, model_id="a"), batch(1, model_id="b")])


@pytest.mark.parametrize("view", Representation)
def test_an_empty_view_has_no_text(view: Representation) -> None:
    assert len(Embeddings(**{view.value: empty_view(view, 0)})) == 0


def test_a_spec_survives_json() -> None:
    spec = EncoderSpec(
        family="f",
        representations=(DENSE, SPARSE),
        model_id="m",
        document_id="d",
        options={"long_documents": "auto"},
        weights={SPARSE: 0.3},
    )
    assert EncoderSpec.from_json(spec.to_json()) == spec


def test_a_spec_leaves_out_fields_that_it_does_not_know() -> None:
    spec = EncoderSpec(family="f", representations=(MULTI_VECTOR,), model_id="m", document_id="d")
    text = spec.to_json()[:-1] + ', "later": 1}'
    assert EncoderSpec.from_json(text) == spec
