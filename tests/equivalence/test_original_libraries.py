"""Ours gives what the original libraries give, on tiny checkpoints in each published layout.

The golden files were written by `make_golden.py` in the libraries' own environments. They hold the
texts and how the checkpoint was written, so that the same one is written and encoded here.
"""

import hashlib
import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import load_file

from tercet.embeddings import Embeddings
from tercet.encoder import Encoder
from tercet.scoring.dense import inner_product
from tercet.scoring.multi_vector import maxsim
from tercet.scoring.sparse import lexical_match
from tercet.testing import checkpoints

GOLDEN = Path(__file__).parent / "golden"
VIEW_TOLERANCE = 1e-5
SCORE_TOLERANCE = 1e-5
FLAGEMBEDDING_WEIGHTS = {"dense": 0.4, "sparse": 0.2, "colbert": 0.4}

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Golden:
    """What an original library made of a checkpoint, and how that checkpoint was written."""

    name: str
    header: dict[str, Any]

    @classmethod
    def open(cls, name: str) -> "Golden":
        with safe_open(GOLDEN / f"{name}.safetensors", "np") as file:
            return cls(name, json.loads(file.metadata()["golden"]))

    @cached_property
    def arrays(self) -> dict[str, NDArray[Any]]:
        return load_file(GOLDEN / f"{self.name}.safetensors")

    def rows(self, side: str, array: str, offsets: str) -> list[NDArray[Any]]:
        return np.split(self.arrays[f"{side}.{array}"], self.arrays[f"{side}.{offsets}"][1:-1])

    def write(self, folder: Path, **changes: Any) -> Path:
        arguments = self.header["arguments"] | changes
        written: Path = getattr(checkpoints, self.header["writer"])(folder, **arguments)
        return written


@dataclass(frozen=True)
class Pair:
    """A golden file and our encoding of the same texts."""

    golden: Golden
    folder: Path
    encoder: Encoder
    query: Embeddings
    document: Embeddings


def encode(golden: Golden, folder: Path) -> Pair:
    encoder = Encoder.from_pretrained(
        str(folder),
        device="cpu",
        dtype="float32",
        long_documents="plain",
        **golden.header["options"],
    )
    with warnings.catch_warnings():
        # Both libraries cut long texts; ours says so.
        warnings.simplefilter("ignore", UserWarning)
        query = encoder.encode_queries(golden.header["queries"])
        document = encoder.encode_documents(golden.header["documents"])
    return Pair(golden, folder, encoder, query, document)


NAMES = sorted(path.stem for path in GOLDEN.glob("*.safetensors"))


def names_with(array: str) -> list[str]:
    found = []
    for name in NAMES:
        with safe_open(GOLDEN / f"{name}.safetensors", "np") as file:
            if array in set(file.keys()):
                found.append(name)
    return found


PAIRS: dict[str, Pair] = {}
"""Every checkpoint is encoded once."""


@pytest.fixture
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Pair:
    name: str = request.param
    if name not in PAIRS:
        golden = Golden.open(name)
        PAIRS[name] = encode(golden, golden.write(tmp_path / name))
    return PAIRS[name]


def of(names: Sequence[str]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("pair", names, indirect=True)


def assert_token_vectors(pair: Pair) -> None:
    for side in ("query", "document"):
        ours = getattr(pair, side).multi_vector
        theirs = pair.golden.rows(side, "vectors", "offsets")
        assert len(ours) == len(theirs)
        assert [len(ours[n]) for n in range(len(ours))] == [len(vectors) for vectors in theirs]
        for n, vectors in enumerate(theirs):
            np.testing.assert_allclose(ours[n], vectors, rtol=0, atol=VIEW_TOLERANCE)


def assert_scores(ours: Floats, theirs: Floats) -> None:
    # A sum whose terms cancel has no relative precision: float32's own rounding is let pass.
    rounding = 1e-6 * float(np.abs(theirs).max())
    np.testing.assert_allclose(ours, theirs, rtol=SCORE_TOLERANCE, atol=rounding)


def late_interaction(pair: Pair) -> Floats:
    queries, documents = pair.query.multi_vector, pair.document.multi_vector
    assert queries is not None
    assert documents is not None
    reduction = pair.encoder.spec.reduction
    return np.stack(
        [maxsim(queries[n], documents, reduction=reduction) for n in range(len(queries))]
    )


def lexical(pair: Pair) -> Floats:
    queries, documents = pair.query.sparse, pair.document.sparse
    assert queries is not None
    assert documents is not None
    rows = [queries.take(np.asarray([n])) for n in range(len(queries))]
    return np.stack([lexical_match(row, documents) for row in rows])


def dense(pair: Pair) -> Floats:
    assert pair.query.dense is not None
    assert pair.document.dense is not None
    return inner_product(pair.query.dense, pair.document.dense)


def test_every_published_layout_has_a_golden_file() -> None:
    writers = {name for name in checkpoints.__all__ if name.startswith("write_")}
    ours = {"write_tercet"}
    assert writers - ours == {Golden.open(name).header["writer"] for name in NAMES}


@of(NAMES)
def test_the_checkpoint_is_the_one_that_the_original_library_read(pair: Pair) -> None:
    digest = hashlib.sha256()
    for path in sorted(pair.folder.rglob("*.safetensors")):
        digest.update(str(path.relative_to(pair.folder)).encode())
        for name, tensor in sorted(load_file(path).items()):
            digest.update(name.encode() + np.ascontiguousarray(tensor).tobytes())
    assert digest.hexdigest() == pair.golden.header["weights"]


@of(names_with("document.dense"))
def test_dense_vectors_are_those_of_the_original_library(pair: Pair) -> None:
    for side in ("query", "document"):
        ours, theirs = getattr(pair, side).dense, pair.golden.arrays[f"{side}.dense"]
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=VIEW_TOLERANCE)


@of(names_with("document.terms"))
def test_lexical_weights_are_those_of_the_original_library(pair: Pair) -> None:
    for side in ("query", "document"):
        terms = pair.golden.rows(side, "terms", "indptr")
        weights = pair.golden.rows(side, "weights", "indptr")
        for ours, ids, values in zip(
            getattr(pair, side).sparse.to_dicts(), terms, weights, strict=True
        ):
            assert list(ours) == ids.tolist()
            np.testing.assert_allclose(list(ours.values()), values, rtol=0, atol=VIEW_TOLERANCE)


@of(names_with("document.vectors"))
def test_token_vectors_are_those_of_the_original_library(pair: Pair) -> None:
    assert_token_vectors(pair)


@of(names_with("scores.maxsim"))
def test_late_interaction_scores_are_those_of_the_original_library(pair: Pair) -> None:
    assert_scores(late_interaction(pair), pair.golden.arrays["scores.maxsim"])


@of([name for name in names_with("scores.dense") if name.startswith("st-")])
def test_dense_scores_are_those_of_sentence_transformers(pair: Pair) -> None:
    assert_scores(dense(pair), pair.golden.arrays["scores.dense"])


@of(names_with("scores.colbert+sparse+dense"))
def test_all_five_scores_are_those_of_flagembedding(pair: Pair) -> None:
    views = {"dense": dense(pair), "sparse": lexical(pair), "colbert": late_interaction(pair)}
    for score in ("dense", "sparse", "colbert", "sparse+dense", "colbert+sparse+dense"):
        parts = score.split("+")
        whole = sum(FLAGEMBEDDING_WEIGHTS[part] for part in parts)
        ours = sum((FLAGEMBEDDING_WEIGHTS[p] / whole * views[p] for p in parts), np.float32(0))
        assert_scores(np.asarray(ours), pair.golden.arrays[f"scores.{score}"])


def test_a_jina_checkpoint_that_calls_itself_xlm_roberta_gives_the_same_vectors(
    tmp_path: Path,
) -> None:
    golden = Golden.open("colbert-jina")
    folder = golden.write(tmp_path / "saved-again", model_type="xlm-roberta")
    assert_token_vectors(encode(golden, folder))
