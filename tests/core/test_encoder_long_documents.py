"""Long documents, against the same states put together by hand."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import AutoModel, AutoTokenizer

from tercet.embeddings import Embeddings
from tercet.encoder import Encoder
from tercet.testing import checkpoints

LONG = " ".join(f"word {n} of a long text" for n in range(60))
TOLERANCE = 1e-5

Load = Callable[..., Encoder]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.write_bge_m3(tmp_path_factory.mktemp("long") / "m3")


@pytest.fixture(scope="module")
def load(folder: Path) -> Load:
    def from_folder(**options: object) -> Encoder:
        return Encoder.from_pretrained(folder, device="cpu", dtype="float32", **options)  # type: ignore[arg-type]

    return from_folder


def unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    scaled: NDArray[np.float32] = vector / np.linalg.norm(vector)
    return scaled


def same_tokens(left: Embeddings, right: Embeddings) -> None:
    """Lexical weights and token vectors are equal."""
    assert np.array_equal(left.sparse.ids, right.sparse.ids)
    np.testing.assert_allclose(left.sparse.weights, right.sparse.weights, atol=1e-6)
    np.testing.assert_allclose(left.multi_vector.vectors, right.multi_vector.vectors, atol=1e-6)


@torch.inference_mode()
def states_of(folder: Path, ids: list[int], positions: list[int]) -> NDArray[np.float32]:
    """Final states of the unchanged model, [rows, H]."""
    model = AutoModel.from_pretrained(folder, add_pooling_layer=False).eval()
    found = model(
        input_ids=torch.tensor([ids]), position_ids=torch.tensor([positions]) + 2
    ).last_hidden_state[0]
    states: NDArray[np.float32] = found.numpy()
    return states


def with_cls(ids: list[int], interval: int) -> tuple[list[int], list[int], list[int]]:
    """Ids with a CLS before every block; shared positions; the rows of all CLS."""
    whole, positions, rows = [ids[0]], [0], [0]
    for n, token in enumerate(ids[1:-1]):
        if n and n % interval == 0:
            rows.append(len(whole))
            whole.append(ids[0])
            positions.append(n + 1)
        whole.append(token)
        positions.append(n + 1)
    return [*whole, ids[-1]], [*positions, len(ids) - 1], rows


@pytest.mark.parametrize("positions", ["shared", "sequential"])
def test_cls_that_the_text_sees_are_averaged(folder: Path, load: Load, positions: str) -> None:
    ids = AutoTokenizer.from_pretrained(folder)(LONG)["input_ids"]
    whole, shared, rows = with_cls(ids, 32)
    taken = shared if positions == "shared" else list(range(len(whole)))
    expected = unit(states_of(folder, whole, taken)[rows].mean(axis=0))
    encoder = load(
        long_documents="mcls", mcls_interval=32, mcls_positions=positions, mcls_attention="full"
    )
    found = encoder.encode_documents([LONG])
    np.testing.assert_allclose(found.dense[0], expected, atol=TOLERANCE)
    assert len(found.multi_vector[0]) == len(ids) - 1
    assert found.tokens.tolist() == found.tokens_encoded.tolist() == [len(ids)]


def test_probes_leave_the_text_as_it_is_and_change_the_dense_vector(load: Load) -> None:
    plain = load(long_documents="plain").encode_documents([LONG])
    probed = load(long_documents="mcls", mcls_interval=32).encode_documents([LONG])
    same_tokens(probed, plain)
    assert np.abs(probed.dense - plain.dense).max() > 1e-4
    np.testing.assert_allclose(np.linalg.norm(probed.dense), 1, rtol=1e-5)


def test_text_that_sees_cls_is_changed_by_them(load: Load) -> None:
    plain = load(long_documents="plain").encode_documents([LONG])
    full = load(long_documents="mcls", mcls_interval=32, mcls_attention="full")
    vectors = full.encode_documents([LONG]).multi_vector.vectors
    assert np.abs(vectors - plain.multi_vector.vectors).max() > 1e-4


@pytest.mark.parametrize(
    "options",
    [{}, {"mcls_attention": "full"}, {"mcls_attention": "full", "mcls_positions": "sequential"}],
)
def test_one_block_is_encoded_exactly_as_plain(load: Load, options: dict[str, str]) -> None:
    texts = ["a short text", "", "word " * 100]
    plain = load(long_documents="plain").encode_documents(texts)
    found = load(long_documents="mcls", **options).encode_documents(texts)
    assert np.array_equal(found.dense, plain.dense)
    assert np.array_equal(found.sparse.weights, plain.sparse.weights)
    assert np.array_equal(found.multi_vector.vectors, plain.multi_vector.vectors)


def test_auto_is_mcls_for_long_texts_and_plain_for_short_ones(load: Load) -> None:
    texts = ["word " * 400, "word " * 600]
    automatic = load().encode_documents(texts)
    plain = load(long_documents="plain").encode_documents(texts)
    mcls = load(long_documents="mcls").encode_documents(texts)
    np.testing.assert_allclose(automatic.dense[0], plain.dense[0], atol=1e-6)
    np.testing.assert_allclose(automatic.dense[1], mcls.dense[1], atol=1e-6)
    assert np.abs(automatic.dense[1] - plain.dense[1]).max() > 1e-5


def test_queries_are_never_mcls(load: Load) -> None:
    texts = ["word " * 600]
    plain = load(long_documents="plain").encode_queries(texts)
    found = load(long_documents="mcls").encode_queries(texts)
    np.testing.assert_allclose(found.dense, plain.dense, atol=1e-6)


def test_windows_put_a_long_text_together(folder: Path, load: Load) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    known = sorted(
        term[1:]
        for term in tokenizer.get_vocab()
        if term[1:].isalpha()
        and len(tokenizer(term[1:])["input_ids"]) == len(("<s>", term, "</s>"))
    )
    words = [known[n] for n in np.random.default_rng(0).integers(len(known), size=300)]
    encoder = load(document_tokens=130)  # room for 128 tokens, of which 64 overlap
    whole = encoder.encode_documents([" ".join(words)])
    assert whole.tokens.tolist() == [302]

    starts = [0, 64, 128, 192]
    pieces = [" ".join(words[start : start + 128]) for start in starts]
    found = load(long_documents="plain").encode_documents(pieces)
    assert found.tokens.tolist() == [130, 130, 130, 110]
    bounds = [0, 96, 160, 224, 300]  # the middles of the overlaps
    rows = [
        found.multi_vector[n][bounds[n] - start : bounds[n + 1] - start]
        for n, start in enumerate(starts)
    ]
    end = found.multi_vector[3][-1:]
    np.testing.assert_allclose(whole.multi_vector[0], np.concatenate([*rows, end]), atol=TOLERANCE)

    weights: dict[int, float] = {}
    for row in found.sparse.to_dicts():
        weights |= {term: max(weights.get(term, 0.0), weight) for term, weight in row.items()}
    assert whole.sparse.to_dicts()[0] == pytest.approx(weights, abs=TOLERANCE)

    own = np.asarray([97, 64, 64, 77], dtype=np.float32)  # <s> and </s> count too
    mean = unit((found.dense * own[:, None]).sum(axis=0))
    np.testing.assert_allclose(whole.dense[0], mean, atol=TOLERANCE)


def test_windows_of_a_late_interaction_model_keep_every_token(tmp_path: Path) -> None:
    folder = checkpoints.write_colbert_v2(tmp_path / "colbert")
    encoder = Encoder.from_pretrained(folder, device="cpu", dtype="float32")
    text = "word " * 1500
    found = encoder.encode_documents(["a", text, "b"])
    assert len(found.multi_vector[1]) == found.tokens[1] == 1503
    assert np.array_equal(found.tokens, found.tokens_encoded)


def test_windows_of_a_mean_pooled_model_are_averaged(tmp_path: Path) -> None:
    folder = checkpoints.write_tercet(tmp_path / "mini")
    encoder = Encoder.from_pretrained(folder, device="cpu", dtype="float32", document_tokens=66)
    text = "word " * 200
    found = encoder.encode_documents([text])
    np.testing.assert_allclose(np.linalg.norm(found.dense[0]), 1, rtol=1e-5)
    assert found.tokens_encoded.tolist() == [202]


def test_mcls_beyond_the_model_is_cut_and_said(load: Load) -> None:
    encoder = load(long_documents="mcls", document_tokens=200)
    with pytest.warns(UserWarning, match="1 of 2 texts were cut"):
        found = encoder.encode_documents(["a", LONG])
    assert found.tokens_encoded[1] == 200
