"""Writes the golden files of this folder, with the libraries whose layouts the models have.

    python tests/training/saved/cases.py FOLDER                            where Tercet is installed
    python tests/training/saved/make_golden.py flagembedding FOLDER        in each environment of
                                                                tests/equivalence/make_golden.py

A golden file holds what a library makes of some texts with a model that we saved, and a hash of
that model's files, so that the tests save the very same one.
"""

import argparse
import logging
import sys
from importlib import import_module, metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save_file

ROOT = Path(__file__).parents[3]
GOLDEN = Path(__file__).parent / "golden"
QUERIES = ["what is late interaction?", "a query of two Words", "", "...!? (~)"]
DOCUMENTS = [
    "Late interaction keeps one vector a token, and sums the maxima of the scores.",
    "a",
    '?!... -- ("#$") [~^|`]',
    "検索とは、文書を探すことである。",
    "a dense model, a sparse model; and the weights of a word? " * 4,
]
LIBRARIES = {
    "flagembedding": "FlagEmbedding",
    "colbert": "colbert-ai",
    "pylate": "pylate",
    "st": "sentence-transformers",
}


def flagembedding(folder: Path) -> dict[str, Any]:
    """The three views of FlagEmbedding."""
    from FlagEmbedding import BGEM3FlagModel  # type: ignore[import-not-found]

    recording = import_module("tests.equivalence.originals.recording")
    model = BGEM3FlagModel(str(folder), use_fp16=False, devices="cpu")
    views: dict[str, Any] = {}
    every = {"return_dense": True, "return_sparse": True, "return_colbert_vecs": True}
    for side, texts, encode in (
        ("query", QUERIES, model.encode_queries),
        ("document", DOCUMENTS, model.encode_corpus),
    ):
        found = encode(texts, **every)
        views[f"{side}.dense"] = np.asarray(found["dense_vecs"], dtype=np.float32)
        views |= recording.lexical_weights(side, found["lexical_weights"])
        views |= recording.token_vectors(side, found["colbert_vecs"])
    return views


def colbert(folder: Path) -> dict[str, Any]:
    """Token vectors of Stanford's library."""
    stanford = import_module("tests.equivalence.originals.stanford")
    opened = stanford.open_stanford(folder)
    views: dict[str, Any] = stanford.token_vectors("query", opened.queryFromText(QUERIES))
    given = SimpleNamespace(documents=DOCUMENTS)
    found: dict[str, Any] = stanford.stanford_documents(given, opened)
    return views | found


def pylate(folder: Path) -> dict[str, Any]:
    """Token vectors of PyLate."""
    from pylate import models  # type: ignore[import-not-found]

    recording = import_module("tests.equivalence.originals.recording")
    model = models.ColBERT(str(folder), device="cpu")
    views: dict[str, Any] = recording.token_vectors("query", model.encode(QUERIES, is_query=True))
    found = model.encode(DOCUMENTS, is_query=False)
    return views | recording.token_vectors("document", found)


def st(folder: Path) -> dict[str, Any]:
    """Dense vectors or token vectors of sentence-transformers."""
    from sentence_transformers import (  # type: ignore[import-not-found]
        MultiVectorEncoder,
        SentenceTransformer,
    )

    recording = import_module("tests.equivalence.originals.recording")
    if (folder / "1_Pooling").exists():
        dense = SentenceTransformer(str(folder), device="cpu")
        return {
            "query.dense": dense.encode_query(QUERIES),
            "document.dense": dense.encode_document(DOCUMENTS),
        }
    model = MultiVectorEncoder(str(folder), device="cpu")
    views: dict[str, Any] = recording.token_vectors("query", model.encode_query(QUERIES))
    return views | recording.token_vectors("document", model.encode_document(DOCUMENTS))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("library", choices=LIBRARIES)
    parser.add_argument("folder", type=Path)
    asked = parser.parse_args()
    sys.path[0] = str(ROOT)
    logging.disable(logging.WARNING)
    cases = import_module("tests.training.saved.cases")
    for name, case in cases.CASES.items():
        if case.library == asked.library:
            home = asked.folder / name / "saved"
            with torch.no_grad():
                views = globals()[case.library](home)
            header = {"model": cases.digest(home), "library": LIBRARIES[case.library]}
            header["version"] = metadata.version(header["library"])
            arrays = {key: np.ascontiguousarray(value) for key, value in views.items()}
            save_file(arrays, GOLDEN / f"{name}.safetensors", metadata=header)
