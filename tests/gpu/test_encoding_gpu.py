"""The encoder on a CUDA device; where there is none, on an emulated one."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tercet.embeddings import Embeddings
from tercet.encoder import Encoder
from tercet.encoding import torch_model
from tercet.encoding.varlen import OPERATORS, computes_rightly, find_varlen
from tercet.testing import checkpoints

TEXTS = ["", "a", *("word " * n for n in (3, 40, 300, 40, 7)), "the end"]
ATOL = {"float32": 1e-4, "bfloat16": 0.06, "float16": 0.02}
FAMILIES: list[tuple[str, dict[str, Any]]] = [
    ("write_bge_m3", {}),
    ("write_jina_colbert", {}),
    ("write_jacolbert", {}),
    ("write_colbert_v2", {}),
    ("write_pylate", {"backbone": "modernbert", "local_attention": 16}),
    ("write_dense", {"backbone": "modernbert"}),
    ("write_tercet", {}),
]
LONG = [
    {"long_documents": "windows"},
    {"long_documents": "mcls", "mcls_attention": "probe"},
    {"long_documents": "mcls", "mcls_attention": "full", "mcls_positions": "sequential"},
]


@pytest.fixture(scope="module")
def m3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.write_bge_m3(tmp_path_factory.mktemp("m3"))


def assert_near(found: Embeddings, expected: Embeddings, *, atol: float) -> None:
    assert (found.dense is None) == (expected.dense is None)
    if found.dense is not None and expected.dense is not None:
        np.testing.assert_allclose(found.dense, expected.dense, atol=atol)
    assert (found.multi_vector is None) == (expected.multi_vector is None)
    if found.multi_vector is not None and expected.multi_vector is not None:
        ours, theirs = found.multi_vector, expected.multi_vector
        assert ours.offsets.tolist() == theirs.offsets.tolist()
        np.testing.assert_allclose(ours.vectors, theirs.vectors, atol=atol)
    assert (found.sparse is None) == (expected.sparse is None)
    if found.sparse is not None and expected.sparse is not None:
        for weights, known in zip(found.sparse.to_dicts(), expected.sparse.to_dicts(), strict=True):
            for term in {*weights, *known}:
                assert weights.get(term, 0.0) == pytest.approx(known.get(term, 0.0), abs=atol)


@pytest.mark.parametrize("dtype", ATOL)
@pytest.mark.parametrize(("writer", "arguments"), FAMILIES)
def test_a_gpu_makes_the_views_that_a_cpu_makes(
    writer: str, arguments: dict[str, Any], dtype: str, gpu: str, tmp_path: Path
) -> None:
    write: Callable[..., Path] = getattr(checkpoints, writer)
    folder = write(tmp_path / "model", **arguments)
    expected = Encoder.from_pretrained(folder, device="cpu", dtype="float32")
    found = Encoder.from_pretrained(folder, device=gpu, dtype=dtype)
    for role in ("encode_documents", "encode_queries"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # queries are cut as the families' conventions say
            ours, theirs = (getattr(each, role)(TEXTS) for each in (found, expected))
        assert_near(ours, theirs, atol=ATOL[dtype])


@pytest.mark.parametrize("dtype", ATOL)
@pytest.mark.parametrize("options", LONG, ids=lambda options: "-".join(options.values()))
def test_long_documents_are_read_alike(
    m3: Path, options: dict[str, Any], dtype: str, gpu: str
) -> None:
    expected = Encoder.from_pretrained(m3, device="cpu", dtype="float32", **options)
    found = Encoder.from_pretrained(m3, device=gpu, dtype=dtype, **options)
    long = [*TEXTS, "word " * 2000]
    assert_near(found.encode_documents(long), expected.encode_documents(long), atol=ATOL[dtype])


def test_on_a_gpu_a_text_alone_equals_itself_among_others(m3: Path, gpu: str) -> None:
    encoder = Encoder.from_pretrained(m3, device=gpu, dtype="bfloat16")
    together = encoder.encode_documents(TEXTS)
    for n, text in enumerate(TEXTS):
        assert_near(encoder.encode_documents([text]), together.take([n]), atol=0.03)


def test_a_stream_from_two_gpus_equals_the_whole(
    m3: Path, gpu: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch_model, "CUDA_SCALE", 1)
    monkeypatch.setattr(torch_model, "HIDDEN_OF_SCALE", 1)
    encoder = Encoder.from_pretrained(m3, device=f"{gpu},{gpu}", dtype="bfloat16")
    texts = ["word " * 40, "a", "the end"] * 300
    whole = encoder.encode_documents(texts)
    batches = list(encoder.encode_documents_iter(iter(texts)))
    assert len(batches) > 1
    dense = np.concatenate([batch.dense for batch in batches if batch.dense is not None])
    assert whole.dense is not None
    np.testing.assert_allclose(dense, whole.dense, atol=0.03)


def test_some_operator_computes_packs_at_once_in_half_arithmetic(gpu: str) -> None:
    for dtype in (torch.bfloat16, torch.float16):
        options = {"device": torch.device(gpu), "dtype": dtype, "head": 64}
        known = [o for o in OPERATORS if computes_rightly(o, windows=True, **options)]
        assert find_varlen(windows=True, **options) in {*known, None}
        assert known, "attention runs text by text here: no varlen operator in torch or flash-attn"
