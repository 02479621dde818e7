"""Measuring a search: every view that both sides have, and queries that cannot be measured with."""

from pathlib import Path

import numpy as np
import pytest

from tercet.documents import Document
from tercet.embeddings import Embeddings, Representation
from tercet.errors import MissingViewError
from tercet.indexes.local.index import LocalIndex
from tercet.retriever import Retriever
from tercet.testing import HashEncoder

VIEWS = (Representation.DENSE, Representation.SPARSE)


@pytest.fixture
def index(tmp_path: Path) -> LocalIndex:
    retriever = Retriever.create(tmp_path, encoder=HashEncoder(), representations=VIEWS)
    retriever.add([Document("a", "red boats"), Document("b", "blue sky")])
    assert isinstance(retriever.index, LocalIndex)
    return retriever.index


def test_every_view_that_both_sides_have_is_measured(index: LocalIndex) -> None:
    measured = index.measure(HashEncoder().encode_queries(["red", "sky"]), k=1)
    assert tuple(measured) == VIEWS
    assert [found.recall for found in measured.values()] == [1.0, 1.0]


def test_no_query_measures_nothing(index: LocalIndex) -> None:
    with pytest.raises(ValueError, match="no queries to measure with"):
        index.measure(HashEncoder().encode_queries([]))


def test_queries_without_a_view_of_the_index_are_refused(index: LocalIndex) -> None:
    tokens = HashEncoder().encode_queries(["red"]).multi_vector
    with pytest.raises(MissingViewError, match="stores dense, sparse, the queries have multi_vec"):
        index.measure(Embeddings(multi_vector=tokens))
    with pytest.raises(TypeError, match="queries"):
        index.measure(np.ones((1, 4)))  # type: ignore[arg-type]
