"""The best products of documents: the same however they are made."""

import sys

import numpy as np
import pytest
import torch

from tercet.scoring import maxima
from tercet.scoring.maxima import Best, by_onednn, by_products
from tercet.scoring.products import products

RNG = np.random.default_rng(0)
QUERIES = RNG.standard_normal((5, 24)).astype(np.float32)
LONG, SHORT = np.asarray([0, 90, 91, 260]), np.asarray([0, 3, 4, 9])
EQUAL = np.asarray([0, 130, 260])


def expected(documents: np.ndarray, starts: np.ndarray) -> np.ndarray:
    ends = [*starts[1:], len(documents)]
    return np.stack(
        [(QUERIES @ documents[a:b].T).max(axis=1) for a, b in zip(starts, ends, strict=True)],
        axis=1,
    )


def found_by(best: Best, starts: np.ndarray) -> None:
    for _ in range(2):  # memory is used again
        documents = RNG.standard_normal((starts[-1] + 130, 24)).astype(np.float32)
        np.testing.assert_allclose(best(documents, starts), expected(documents, starts), rtol=1e-4)
        documents.flags.writeable = False
        np.testing.assert_allclose(best(documents, starts), expected(documents, starts), rtol=1e-4)


@pytest.mark.parametrize("starts", [LONG, SHORT, EQUAL])
@pytest.mark.parametrize("way", [by_products, by_onednn])
def test_the_best_product_of_each_document_is_found(way: object, starts: np.ndarray) -> None:
    found_by(way(QUERIES, multiply=products), starts)  # type: ignore[operator]


def test_without_torch_or_its_operators_products_do_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(maxima, "_packed", _missing)
        maxima._can_pack.cache_clear()
        assert not maxima._can_pack(torch)
        found_by(by_onednn(QUERIES, multiply=products), LONG)
    maxima._can_pack.cache_clear()
    monkeypatch.delitem(sys.modules, "torch")
    found_by(by_onednn(QUERIES, multiply=products), LONG)


def _missing(*_: object) -> object:
    raise AttributeError("no such operator")
