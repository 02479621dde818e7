"""The encoder on a CUDA device, where there is one."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tercet.embeddings import Embeddings
from tercet.encoder import Encoder
from tercet.encoding.varlen import OPERATORS, computes_rightly, find_varlen
from tercet.testing.checkpoints import write_bge_m3, write_colbert_v2

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="there is no CUDA device: nothing was run on a GPU"
)
TEXTS = ["", "a", *("word " * n for n in (3, 40, 300, 900, 2500, 40, 7)), "the end"]
DEVICE = torch.device("cuda")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bge_m3(tmp_path_factory.mktemp("m3"), layers=2, hidden=64, heads=2)


def assert_near(found: Embeddings, expected: Embeddings, *, atol: float) -> None:
    for ours, theirs in (
        (found.dense, expected.dense),
        (
            found.multi_vector and found.multi_vector.vectors,
            expected.multi_vector and expected.multi_vector.vectors,
        ),
    ):
        assert ours is not None
        assert theirs is not None
        np.testing.assert_allclose(ours, theirs, atol=atol)


@pytest.mark.parametrize(
    ("dtype", "atol"), [("float32", 1e-4), ("bfloat16", 0.06), ("float16", 0.02)]
)
def test_a_gpu_makes_the_views_that_a_cpu_makes(checkpoint: Path, dtype: str, atol: float) -> None:
    expected = Encoder.from_pretrained(checkpoint, device="cpu", dtype="float32")
    found = Encoder.from_pretrained(checkpoint, device="cuda", dtype=dtype)
    assert_near(found.encode_documents(TEXTS), expected.encode_documents(TEXTS), atol=atol)


def test_on_a_gpu_a_text_alone_equals_itself_among_others(checkpoint: Path) -> None:
    encoder = Encoder.from_pretrained(checkpoint, device="cuda", dtype="bfloat16")
    together = encoder.encode_documents(TEXTS)
    for n, text in enumerate(TEXTS):
        assert_near(encoder.encode_documents([text]), together.take([n]), atol=0.03)


def test_a_stream_from_a_gpu_equals_the_whole(checkpoint: Path) -> None:
    encoder = Encoder.from_pretrained(checkpoint, device="cuda,cuda", dtype="bfloat16")
    texts = TEXTS * 300
    whole = encoder.encode_documents(texts)
    batches = list(encoder.encode_documents_iter(iter(texts)))
    assert len(batches) > 1
    dense = np.concatenate([batch.dense for batch in batches if batch.dense is not None])
    assert whole.dense is not None
    np.testing.assert_allclose(dense, whole.dense, atol=0.03)


def test_expanded_queries_are_read_alike(tmp_path: Path) -> None:
    folder = write_colbert_v2(tmp_path / "colbert")
    queries = ["what is a word", "a"]
    expected = Encoder.from_pretrained(folder, device="cpu", dtype="float32")
    found = Encoder.from_pretrained(folder, device="cuda", dtype="float16")
    ours, theirs = (each.encode_queries(queries).multi_vector for each in (found, expected))
    assert ours is not None
    assert theirs is not None
    np.testing.assert_allclose(ours.vectors, theirs.vectors, atol=0.03)


def test_some_operator_computes_packs_at_once_in_half_arithmetic() -> None:
    for dtype in (torch.bfloat16, torch.float16):
        options = {"device": DEVICE, "dtype": dtype, "head": 64}
        known = [o for o in OPERATORS if computes_rightly(o, windows=True, **options)]
        assert find_varlen(windows=True, **options) in {*known, None}
        assert known, "attention runs text by text here: no varlen operator in torch or flash-attn"
