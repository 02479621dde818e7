"""Options that a model cannot follow, and batches that are joined."""

import numpy as np
import pytest

from tercet.embeddings import Embeddings, MultiVectors, SparseVectors
from tercet.encoding.gathering import Gathering
from tercet.encoding.long_documents import LongDocumentOptions, LongDocuments
from tercet.encoding.options import EncoderOptions


def test_mcls_needs_explicit_positions() -> None:
    options = EncoderOptions(LongDocumentOptions(LongDocuments.MCLS))
    options.check(max_tokens=512, pools_cls=True, packs=True, name="m")
    with pytest.raises(ValueError, match="explicit positions, which m lacks"):
        options.check(max_tokens=512, pools_cls=True, packs=False, name="m")


def batch(rows: int, first: int) -> Embeddings:
    numbers = np.arange(first, first + rows)
    return Embeddings(
        dense=numbers[:, None].astype(np.float32),
        sparse=SparseVectors.from_dicts([{int(n): 1.0} for n in numbers]),
        multi_vector=MultiVectors(
            np.repeat(numbers, 2)[:, None].astype(np.float32), np.arange(0, 2 * rows + 1, 2)
        ),
        tokens=numbers,
        tokens_encoded=numbers,
        model_id="m",
    )


def test_batches_are_joined_in_order_and_left_as_they_were() -> None:
    batches = [batch(2, 0), batch(1, 2), batch(3, 3)]
    gathering = Gathering()
    for part in batches:
        gathering.add(part)
    found = gathering.result()
    assert found.dense[:, 0].tolist() == found.tokens.tolist() == [0, 1, 2, 3, 4, 5]
    assert found.sparse.to_dicts() == [{n: 1.0} for n in range(6)]
    assert [found.multi_vector[n][:, 0].tolist() for n in range(6)] == [[n, n] for n in range(6)]
    assert found.model_id == "m"
    assert [len(part) for part in batches] == [2, 1, 3]


def test_one_batch_is_the_whole() -> None:
    gathering, only = Gathering(), batch(2, 0)
    gathering.add(only)
    assert gathering.result() is only


def test_no_batch_is_an_error() -> None:
    with pytest.raises(ValueError, match="no embeddings"):
        Gathering().result()
