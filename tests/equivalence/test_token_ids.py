"""Ours turns texts into the ids of the original libraries, and skips what each of them skips."""

import json
import string
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from tercet.encoding.checkpoint import Checkpoint
from tercet.encoding.tokenised import TokenisedText
from tercet.encoding.tokenizing import Tokenizer
from tercet.models.spec import ModelSpec
from tercet.testing import checkpoints

GOLDEN = Path(__file__).parent / "golden"
SKIPPED: dict[str, list[int]] = json.loads(
    (GOLDEN / "skiplist-ids.json").read_text(encoding="utf-8")
)
UNKNOWN = 3
"""Of every tokenizer that the writers of XLM-RoBERTa make."""


def with_ids() -> list[str]:
    return sorted(
        path.stem for path in GOLDEN.glob("*.safetensors") if "query.ids" in load_file(path)
    )


def open_tokenizer(folder: Path) -> tuple[Tokenizer, ModelSpec]:
    checkpoint = Checkpoint.open(str(folder))
    return Tokenizer(checkpoint.folder, checkpoint.spec), checkpoint.spec


def tokenise(folder: Path, header: dict[str, Any]) -> dict[str, list[TokenisedText]]:
    tokenizer, spec = open_tokenizer(folder)
    asked = header["options"]
    document_tokens = asked.get("document_tokens") or spec.document.tokens or spec.max_tokens
    limit = min(document_tokens, spec.max_tokens)
    return {
        "query": tokenizer.queries(header["queries"], limit=asked.get("query_tokens")),
        "document": tokenizer.documents(header["documents"], limit=limit),
    }


@pytest.mark.parametrize("name", with_ids())
def test_token_ids_are_those_of_the_original_library(name: str, tmp_path: Path) -> None:
    path = GOLDEN / f"{name}.safetensors"
    with safe_open(path, "np") as file:
        header = json.loads(file.metadata()["golden"])
    arrays = load_file(path)
    folder = getattr(checkpoints, header["writer"])(tmp_path, **header["arguments"])
    for side, ours in tokenise(folder, header).items():
        theirs = np.split(arrays[f"{side}.ids"], arrays[f"{side}.ids_offsets"][1:-1])
        assert [text.ids.tolist() for text in ours] == [ids.tolist() for ids in theirs]
        kept = np.diff(arrays[f"{side}.offsets"])
        assert [int(text.keep.sum()) for text in ours] == kept.tolist()


@pytest.mark.parametrize(
    ("library", "writer", "arguments"),
    [
        ("colbert-ai", "write_colbert_xlm_roberta", {}),
        ("pylate", "write_pylate", {"backbone": "xlm-roberta", "positions": 66}),
        ("sentence-transformers", "write_multi_vector", {"backbone": "xlm-roberta"}),
    ],
)
def test_a_checkpoint_skips_what_the_library_of_its_layout_skips(
    library: str, writer: str, arguments: dict[str, Any], tmp_path: Path
) -> None:
    tokenizer, _ = open_tokenizer(getattr(checkpoints, writer)(tmp_path, **arguments))
    rows = tokenizer.documents([f"a{mark} {mark} ☃" for mark in string.punctuation])
    ids = np.concatenate([row.ids for row in rows])
    keep = np.concatenate([row.keep for row in rows])
    assert set(ids[~keep].tolist()) == set(SKIPPED[library]) & set(ids.tolist())
    assert len(set(ids[~keep].tolist())) > 1
    assert set(ids[~keep].tolist()).isdisjoint(ids[keep].tolist())


def test_libraries_differ_in_what_they_skip_on_a_sentencepiece_vocabulary() -> None:
    stanford, pylate, sentence_transformers = (
        set(SKIPPED[name]) for name in ("colbert-ai", "pylate", "sentence-transformers")
    )
    assert pylate - sentence_transformers == {UNKNOWN}
    assert sentence_transformers < pylate
    assert stanford.isdisjoint(pylate)
