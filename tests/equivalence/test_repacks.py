"""The same weights in Stanford's, PyLate's and sentence-transformers' layout are one model.

They differ in nothing but the documents' tokens that each library skips: those ids stand in
`golden/skiplist-ids.json`, written by the libraries themselves.
"""

import json
import string
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from tercet.embeddings import MultiVectors
from tercet.encoder import Encoder
from tercet.testing import checkpoints

SKIPPED: dict[str, list[int]] = json.loads(
    (Path(__file__).parent / "golden" / "skiplist-ids.json").read_text(encoding="utf-8")
)
LIBRARIES = {"pylate": "write_pylate", "sentence-transformers": "write_multi_vector"}
TEXTS = [
    "late interaction keeps one vector a token, and sums the maxima!",
    "",
    "a",
    "...!? (~) -- [^|`]",
    "検索とは、文書を探すこと。「重要」？！",
    "zzz ☃ unknown ^ words",
    "the token and the index; a word? " * 12,
    *(f"word{mark} {mark} word" for mark in string.punctuation),
]
SAME = 1e-6
UNKNOWN = 3
"""In the tiny BERT vocabulary, which lacks some marks: two of the libraries then skip unknowns."""


@dataclass(frozen=True)
class Repacks:
    """One ColBERT in each layout: the layout's library to the loaded model."""

    backbone: str
    encoders: dict[str, Encoder]

    def vectors(self, library: str, role: str) -> MultiVectors:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # long queries are cut
            found = getattr(self.encoders[library], f"encode_{role}")(TEXTS).multi_vector
        assert found is not None
        return found

    def kept(self, library: str) -> list[tuple[NDArray[np.int64], NDArray[np.bool_]]]:
        tokenizer = self.encoders[library]._pipeline.tokenizer
        return [(row.ids, row.keep) for row in tokenizer.documents(TEXTS)]


@pytest.fixture(scope="module", params=["bert", "xlm-roberta"])
def repacks(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Repacks:
    root, bert = tmp_path_factory.mktemp("repacks"), request.param == "bert"
    write = checkpoints.write_colbert_v2 if bert else checkpoints.write_colbert_xlm_roberta
    original = write(root / "colbert-ai")
    tensors = load_file(original / "model.safetensors")
    folders = {"colbert-ai": original}
    for library, name in LIBRARIES.items():
        options = {} if bert else {"backbone": "xlm-roberta", "positions": 514}
        folders[library] = getattr(checkpoints, name)(root / library, **options)
        repack(tensors, folders[library])
    encoders = {
        library: Encoder.from_pretrained(folder, device="cpu", dtype="float32")
        for library, folder in folders.items()
    }
    return Repacks(request.param, encoders)


def repack(tensors: dict[str, NDArray[np.float32]], folder: Path) -> None:
    """Put the weights of a Stanford checkpoint into the files of another layout."""
    names = load_file(folder / "model.safetensors")
    prefix = next(name.partition(".")[0] for name in tensors if "LayerNorm" in name)
    backbone = {name: tensors[f"{prefix}.{name}"] for name in names}
    words = "embeddings.word_embeddings.weight"
    added = len(names[words]) - len(backbone[words])
    if added:  # PyLate adds its markers behind the vocabulary, where BERT had unused entries
        backbone[words] = np.concatenate((backbone[words], backbone[words][1 : 1 + added]))
    save_file(backbone, folder / "model.safetensors")
    save_file({"linear.weight": tensors["linear.weight"]}, folder / "1_Dense/model.safetensors")


def test_queries_are_the_same_in_every_layout(repacks: Repacks) -> None:
    original = repacks.vectors("colbert-ai", "queries")
    for library in LIBRARIES:
        ours = repacks.vectors(library, "queries")
        assert np.array_equal(ours.offsets, original.offsets)
        np.testing.assert_allclose(ours.vectors, original.vectors, rtol=0, atol=SAME)


def test_documents_are_the_same_wherever_both_libraries_keep_the_token(repacks: Repacks) -> None:
    original, texts = repacks.vectors("colbert-ai", "documents"), repacks.kept("colbert-ai")
    for library in LIBRARIES:
        ours, rows = repacks.vectors(library, "documents"), repacks.kept(library)
        for n, ((ids, keep), (own_ids, own_keep)) in enumerate(zip(texts, rows, strict=True)):
            assert len(ids) == len(own_ids)
            both = keep & own_keep
            np.testing.assert_allclose(
                ours[n][both[own_keep]], original[n][both[keep]], rtol=0, atol=SAME
            )


def test_they_skip_other_tokens_only_where_the_libraries_do(repacks: Repacks) -> None:
    texts = repacks.kept("colbert-ai")
    for library in LIBRARIES:
        differing: set[int] = set()
        for (ids, keep), (own_ids, own_keep) in zip(texts, repacks.kept(library), strict=True):
            # the marker's own id may differ, and no library skips it
            differing |= set(ids[keep != own_keep].tolist())
            assert (ids != own_ids).sum() <= 1
        if repacks.backbone == "bert":
            assert differing <= {UNKNOWN}
        else:
            golden = set(SKIPPED["colbert-ai"]) ^ set(SKIPPED[library])
            assert differing
            assert differing <= golden
