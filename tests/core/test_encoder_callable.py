"""Two functions of anybody's as an encoder."""

import copy
from collections.abc import Sequence

import numpy as np
import pytest

from tercet.callable_encoder import CallableEncoder
from tercet.embeddings import EncoderSpec, Representation


def lengths(texts: Sequence[str]) -> list[list[float]]:
    return [[3.0, 4.0 * len(text), 0.0] for text in texts]


def test_vectors_are_scaled_to_unit_length() -> None:
    encoder = CallableEncoder(lengths, lengths, name="lengths")
    found = encoder.encode_documents(["a", ""])
    np.testing.assert_allclose(found.dense, [[0.6, 0.8, 0], [1, 0, 0]], rtol=1e-6)
    assert found.dense.dtype == np.float32
    assert found.representations == encoder.representations == (Representation.DENSE,)


def test_queries_and_documents_have_functions_of_their_own() -> None:
    encoder = CallableEncoder(lengths, lambda texts: [[0, 0, 2.0]] * len(texts), name="two")
    assert encoder.encode_queries(["a"]).dense.tolist() == [[0, 0, 1]]
    assert encoder.encode_queries(["a"]).document_id is None
    assert encoder.encode_documents(["a"]).document_id == encoder.spec.document_id


def test_the_dimension_is_learnt_where_it_was_not_given() -> None:
    encoder = CallableEncoder(lengths, lengths, name="lengths")
    spec = encoder.spec
    assert spec.dense_dim == 3
    assert encoder.encode_documents(["a"]).model_id == spec.model_id == encoder.spec.model_id
    assert EncoderSpec.from_json(spec.to_json()) == spec
    assert spec.source is None


def test_a_given_dimension_needs_no_call() -> None:
    def never(texts: list[str]) -> list[list[float]]:
        raise AssertionError("called")

    encoder = CallableEncoder(never, never, name="never", dim=7)
    assert encoder.spec.dense_dim == 7
    assert encoder.encode_documents([]).dense.shape == (0, 7)


def test_the_id_holds_name_and_dimension() -> None:
    ids = {
        CallableEncoder(lengths, lengths, name=name, dim=dim).spec.model_id
        for name in ("a", "b")
        for dim in (2, 3)
    }
    assert len(ids) == 4
    same = CallableEncoder(lengths, lengths, name="a").spec.model_id
    assert same in ids


def test_a_dimension_that_changes_is_refused() -> None:
    encoder = CallableEncoder(lengths, lambda texts: [[1.0]] * len(texts), name="x")
    encoder.encode_documents(["a"])
    with pytest.raises(ValueError, match="1 dimensions, and of 3 before"):
        encoder.encode_queries(["a"])
    with pytest.raises(ValueError, match="3 dimensions"):
        CallableEncoder(lengths, lengths, name="x", dim=4).encode_documents(["a"])


def test_one_vector_a_text_is_expected() -> None:
    for wrong in ([[1.0, 2.0]], [1.0, 2.0]):
        encoder = CallableEncoder(lambda texts, found=wrong: found, lengths, name="x", dim=2)  # type: ignore[misc]
        with pytest.raises(ValueError, match="one vector a text"):
            encoder.encode_documents(["a", "b", "c"])


def test_vectors_that_are_not_numbers_are_refused() -> None:
    encoder = CallableEncoder(lambda texts: [[float("nan")]], lengths, name="x", dim=1)
    with pytest.raises(ValueError, match="finite"):
        encoder.encode_documents(["a"])


def test_texts_are_checked_and_cleaned() -> None:
    seen: list[str] = []

    def remember(texts: list[str]) -> list[list[float]]:
        seen.extend(texts)
        return lengths(texts)

    encoder = CallableEncoder(remember, remember, name="x", dim=3)
    with pytest.raises(TypeError, match="one string"):
        encoder.encode_queries("a")
    encoder.encode_queries(["a\ud800"])
    assert seen == ["a\N{REPLACEMENT CHARACTER}"]


def test_a_name_is_needed() -> None:
    with pytest.raises(ValueError, match="name is empty"):
        CallableEncoder(lengths, lengths, name="")


def test_it_copies_as_itself_and_says_what_it_is() -> None:
    encoder = CallableEncoder(lengths, lengths, name="lengths", dim=3)
    assert copy.deepcopy(encoder) is encoder
    assert repr(encoder) == "CallableEncoder(name='lengths', dim=3)"


def test_progress_is_drawn_when_asked_for(capfd: pytest.CaptureFixture[str]) -> None:
    encoder = CallableEncoder(lengths, lengths, name="lengths", dim=3)
    encoder.encode_documents(["a"], show_progress=True)
    assert "encoding" in capfd.readouterr().err


def test_what_cannot_be_called_is_refused() -> None:
    with pytest.raises(TypeError, match="queries is None; a function of texts"):
        CallableEncoder(lengths, None, name="half")  # type: ignore[arg-type]


@pytest.mark.parametrize("rows", [[[1.0], [1.0, 2.0]], ["a", "b"], [None, {}]])
def test_what_is_no_vector_is_an_error_that_names_the_model(rows: list[object]) -> None:
    encoder = CallableEncoder(lambda _: rows, lengths, name="ragged", dim=2)
    with pytest.raises(ValueError, match="ragged gave no vectors of one length for 2 texts"):
        encoder.encode_documents(["a", "b"])
