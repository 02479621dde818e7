"""The encoder on tiny checkpoints: three views in one pass, in the caller's order."""

import copy
import pickle
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from tercet.embeddings import Embeddings, EncoderSpec, Representation, TextEncoder
from tercet.encoder import Encoder
from tercet.encoding import packing
from tercet.errors import TextTooLongError, TruncationWarning
from tercet.testing import checkpoints

TEXTS = (
    "late interaction",
    "",
    " \n\t ",
    "a",
    "\N{GRINNING FACE} \N{FAMILY}",
    "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd",
    "\u6771\u4eac\u306f\u65e5\u672c\u306e\u9996\u90fd",
    "a longer text, with words. " * 12,
    "nul \0 and tab \t",
)
WRITERS = (
    "write_bge_m3",
    "write_jina_colbert",
    "write_colbert_v2",
    "write_colbert_xlm_roberta",
    "write_jacolbert",
    "write_pylate",
    "write_multi_vector",
    "write_dense",
    "write_tercet",
)

Load = Callable[..., Encoder]
ROUNDING = 3e-6
"""Few rows and many may be computed on different units."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    root, written = tmp_path_factory.mktemp("encoders"), {}

    def write(name: str) -> Path:
        if name not in written:
            written[name] = getattr(checkpoints, name)(root / name)
        return written[name]

    return write


@pytest.fixture
def load(folders: Callable[[str], Path]) -> Load:
    def from_writer(name: str = "write_bge_m3", **options: object) -> Encoder:
        chosen = {"device": "cpu", "dtype": "float32", **options}
        return Encoder.from_pretrained(folders(name), **chosen)  # type: ignore[arg-type]

    return from_writer


@pytest.fixture(scope="module")
def m3(folders: Callable[[str], Path]) -> Encoder:
    return Encoder.from_pretrained(folders("write_bge_m3"), device="cpu", dtype="float32")


def assert_same(left: Embeddings, right: Embeddings, *, atol: float = 0.0) -> None:
    assert left.representations == right.representations
    assert np.array_equal(left.tokens, right.tokens)
    if left.dense is not None:
        np.testing.assert_allclose(left.dense, right.dense, rtol=0, atol=atol)
    if left.sparse is not None and right.sparse is not None:
        assert np.array_equal(left.sparse.indptr, right.sparse.indptr)
        assert np.array_equal(left.sparse.ids, right.sparse.ids)
        np.testing.assert_allclose(left.sparse.weights, right.sparse.weights, rtol=0, atol=atol)
    if left.multi_vector is not None and right.multi_vector is not None:
        assert np.array_equal(left.multi_vector.offsets, right.multi_vector.offsets)
        np.testing.assert_allclose(
            left.multi_vector.vectors, right.multi_vector.vectors, rtol=0, atol=atol
        )


def test_one_pass_gives_three_views(m3: Encoder) -> None:
    found = m3.encode_documents(TEXTS)
    assert found.representations == tuple(Representation) == m3.representations
    assert found.dense.shape == (len(TEXTS), 32)
    assert found.dense.dtype == found.sparse.weights.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found.dense, axis=1), 1, rtol=1e-5)
    norms = np.linalg.norm(found.multi_vector.vectors, axis=1)
    np.testing.assert_allclose(norms, 1, rtol=1e-5)
    assert np.array_equal(np.diff(found.multi_vector.offsets), found.tokens - 1)  # without <s>
    assert np.array_equal(found.tokens, found.tokens_encoded)


@pytest.mark.filterwarnings("ignore::tercet.errors.TruncationWarning")
@pytest.mark.parametrize("writer", WRITERS)
def test_a_text_has_the_same_views_in_any_company(writer: str, load: Load) -> None:
    encoder = load(writer)
    for encode in (encoder.encode_queries, encoder.encode_documents):
        together = encode(TEXTS)
        for n, text in enumerate(TEXTS):
            assert_same(encode([text]), together.take([n]), atol=ROUNDING)
        assert_same(encode(TEXTS[::-1]).take(range(len(TEXTS))[::-1]), together, atol=ROUNDING)


@pytest.mark.parametrize("writer", WRITERS)
def test_no_text_gives_every_view_without_rows(writer: str, load: Load) -> None:
    encoder = load(writer)
    none, some = encoder.encode_documents([]), encoder.encode_documents(["a"])
    assert len(none) == 0
    assert none.representations == some.representations
    assert (none.model_id, none.document_id) == (some.model_id, some.document_id)
    if some.dense is not None:
        assert none.dense.shape == (0, some.dense.shape[1])
    if some.multi_vector is not None:
        assert none.multi_vector.dim == some.multi_vector.dim
    assert encoder.encode_queries([]).document_id is None


def test_the_caller_gets_his_order_back_whatever_the_lengths(m3: Encoder) -> None:
    rng = np.random.default_rng(0)
    texts = ["word " * int(n) for n in rng.integers(1, 300, size=40)]
    found = m3.encode_documents(texts)
    assert found.tokens.tolist() == [m3.encode_documents([t]).tokens[0] for t in texts]


def test_batches_of_a_stream_join_to_the_whole(
    m3: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = m3.encode_documents(TEXTS)
    monkeypatch.setattr(packing, "CHUNK_TEXTS", 2)
    in_chunks = m3.encode_documents(TEXTS)
    batches = list(m3.encode_documents_iter(iter(TEXTS)))
    assert [len(batch) for batch in batches] == [2, 2, 2, 2, 1]
    assert_same(in_chunks, whole, atol=1e-6)
    for n, batch in enumerate(batches):
        rows = range(2 * n, 2 * n + len(batch))
        assert_same(batch, whole.take(rows), atol=1e-6)
        assert batch.document_id == whole.document_id


def test_a_dense_model_streams_too(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = load("write_dense")
    whole = encoder.encode_documents(TEXTS)
    monkeypatch.setattr(packing, "CHUNK_TEXTS", 3)
    assert_same(encoder.encode_documents(TEXTS), whole, atol=1e-6)


def test_a_stream_is_read_as_it_is_asked_for(m3: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "CHUNK_TEXTS", 1)
    read = []

    def stream() -> Iterator[str]:
        for text in ("a", "b", "c"):
            read.append(text)
            yield text

    batches = m3.encode_documents_iter(stream())
    next(batches)
    assert read == ["a"]


@pytest.mark.parametrize("method", ["encode_queries", "encode_documents", "encode_documents_iter"])
def test_a_bare_string_is_refused(m3: Encoder, method: str) -> None:
    with pytest.raises(TypeError, match="one string"):
        getattr(m3, method)("a query")


@pytest.mark.parametrize("method", ["encode_queries", "encode_documents"])
def test_an_item_that_is_no_string_is_refused(m3: Encoder, method: str) -> None:
    with pytest.raises(TypeError, match=r"texts\[1\] is a NoneType"):
        getattr(m3, method)(["a", None])
    with pytest.raises(TypeError, match=r"texts\[1\] is a NoneType"):
        list(m3.encode_documents_iter(["a", None]))  # type: ignore[list-item]


def test_lone_surrogates_are_read_as_replacement_characters_and_said_once(m3: Encoder) -> None:
    texts = ["a \ud800 b", "c", "\udfff"]
    with pytest.warns(UserWarning, match="2 of 3 texts") as said:
        found = m3.encode_documents(texts)
    assert len(said) == 1
    assert said[0].filename == __file__
    clean = m3.encode_documents(["a \N{REPLACEMENT CHARACTER} b", "c", "\N{REPLACEMENT CHARACTER}"])
    assert_same(found, clean)
    assert texts[0] == "a \ud800 b"


def test_ten_megabytes_of_text_are_read_whole(load: Load) -> None:
    encoder = load("write_dense")
    text = f"{'w' * 10_000} words " * 1000  # a word that long is one unknown token
    found = encoder.encode_documents(["before", text, "after"])
    assert found.tokens_encoded[1] == found.tokens[1] > 2000
    assert_same(found.take([0, 2]), encoder.encode_documents(["before", "after"]), atol=1e-6)


def test_what_does_not_fit_is_cut_and_said_once_a_call(load: Load) -> None:
    encoder = load(long_documents="plain", document_tokens=16, query_tokens=12)
    long = "word " * 40
    with pytest.warns(TruncationWarning, match=r"2 of 3 texts.*text 1 .*windows") as said:
        found = encoder.encode_documents(["a", long, long])
    assert len(said) == 1
    assert said[0].filename == __file__
    assert found.tokens_encoded.tolist() == [3, 16, 16]
    assert found.tokens[1] == 42
    with pytest.warns(TruncationWarning, match="query_tokens"):
        queries = encoder.encode_queries([long])
    assert queries.tokens_encoded.tolist() == [12]


def test_a_stream_says_at_its_end_what_was_cut(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "CHUNK_TEXTS", 1)
    encoder = load(long_documents="plain", document_tokens=16)
    with pytest.warns(TruncationWarning, match="2 of 3 texts") as said:
        list(encoder.encode_documents_iter(["word " * 40, "a", "word " * 50]))
    assert len(said) == 1


def test_cutting_can_be_refused(load: Load) -> None:
    encoder = load(long_documents="plain", document_tokens=16, on_truncation="error")
    assert len(encoder.encode_documents(["short"])) == 1
    with pytest.raises(TextTooLongError, match=r"text 1 \('word .* has 42 tokens.*reads 16"):
        encoder.encode_documents(["a", "word " * 40])


def test_by_default_nothing_is_cut(load: Load) -> None:
    for writer in ("write_bge_m3", "write_colbert_v2", "write_dense"):
        found = load(writer).encode_documents(["word " * 9000])
        assert np.array_equal(found.tokens, found.tokens_encoded)


def test_tokens_are_aligned_with_token_vectors_and_point_into_the_text(load: Load) -> None:
    text = "Late interaction, scored!"
    for writer in ("write_bge_m3", "write_colbert_v2", "write_tercet"):
        encoder = load(writer)
        (tokens,) = encoder.tokens([text])
        assert len(tokens) == len(encoder.encode_documents([text]).multi_vector[0])
        spans = [(t.start, t.end) for t in tokens if t.start is not None and t.end is not None]
        assert spans
        assert all(0 <= start < end <= len(text) for start, end in spans)
        assert all(isinstance(token.term, str) for token in tokens)


def test_tokens_of_windows_and_of_cut_texts_are_aligned_too(load: Load) -> None:
    text = "word " * 300
    for options in ({}, {"long_documents": "plain"}):
        encoder = load("write_colbert_v2", document_tokens=100, **options)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TruncationWarning)
            rows = len(encoder.encode_documents([text]).multi_vector[0])
        assert len(encoder.tokens([text])[0]) == rows


def test_without_token_vectors_all_tokens_are_told(load: Load) -> None:
    encoder = load("write_dense", document_tokens=8)
    (tokens,) = encoder.tokens(["a b c d e f g h i j k l"])
    assert len(tokens) == encoder.encode_documents(["a b c d e f g h i j k l"]).tokens[0]


def test_terms_are_the_entries_of_the_vocabulary(m3: Encoder) -> None:
    ids = m3.encode_documents(["test"]).sparse.ids.tolist()
    terms = m3.terms(ids)
    assert len(terms) == len(ids)
    assert "".join(terms).replace("\u2581", "") != ""


def test_the_spec_loads_an_equal_encoder(load: Load) -> None:
    encoder = load(long_documents="mcls", mcls_interval=16, query_tokens=20)
    spec = EncoderSpec.from_json(encoder.spec.to_json())
    again = Encoder.from_pretrained(
        spec.source, revision=spec.revision, device="cpu", dtype="float32", **spec.options
    )
    assert again.spec == encoder.spec
    text = ["word " * 100]
    assert_same(again.encode_documents(text), encoder.encode_documents(text))


def test_the_spec_says_what_the_views_are(load: Load) -> None:
    m3, colbert = load().spec, load("write_colbert_v2").spec
    assert (m3.family, m3.dense_dim, m3.multi_vector_dim, m3.reduction) == (
        "bge-m3",
        32,
        32,
        "mean",
    )
    assert m3.vocabulary > 100
    assert m3.max_tokens == 8192
    assert m3.weights[Representation.SPARSE] == 0.3
    assert (colbert.dense_dim, colbert.vocabulary, colbert.reduction) == (None, None, "sum")


def test_only_what_shapes_documents_is_in_the_document_id(load: Load) -> None:
    plain = load().spec
    for same in ({"query_tokens": 9}, {"dtype": "bfloat16"}, {"on_truncation": "error"}):
        assert load(**same).spec.document_id == plain.document_id
    ids = {
        load(**other).spec.document_id
        for other in (
            {},
            {"long_documents": "plain"},
            {"document_tokens": 64},
            {"mcls_interval": 64},
            {"mcls_attention": "full"},
            {"mcls_attention": "full", "mcls_positions": "sequential"},
        )
    }
    assert len(ids) == 6
    assert load("write_bge_m3", long_documents="plain").spec.model_id == plain.model_id
    assert plain.document_id != plain.model_id


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quantize": "int4"}, "quantize is 'int4'"),
        ({"long_documents": "cut"}, "there are: auto, plain, mcls, windows"),
        ({"mcls_positions": "own"}, "there are: shared, sequential"),
        ({"mcls_attention": "none"}, "there are: probe, full"),
        ({"mcls_positions": "sequential"}, 'mcls_attention="full"'),
        ({"mcls_interval": 0}, "mcls_interval is 0"),
        ({"on_truncation": "cry"}, "there are: warn, error"),
        ({"dtype": "float8"}, "there are: auto, float32"),
        ({"device": "abacus"}, "device is 'abacus'"),
        ({"document_tokens": 2}, "at least 4"),
        ({"query_tokens": 10_000}, "reads 8192 tokens at most"),
    ],
)
def test_an_option_that_there_is_not_is_refused(
    load: Load, options: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        load(**options)


@pytest.mark.parametrize(
    "options", [{"document_tokens": 12.5}, {"query_tokens": True}, {"mcls_interval": "many"}]
)
def test_a_number_of_tokens_is_a_whole_number(load: Load, options: dict[str, object]) -> None:
    with pytest.raises(TypeError, match="whole number"):
        load(**options)


def test_an_unknown_option_is_refused_by_the_signature(folders: Callable[[str], Path]) -> None:
    with pytest.raises(TypeError, match="batch_size"):
        Encoder.from_pretrained(folders("write_bge_m3"), batch_size=8)  # type: ignore[call-arg]


def test_mcls_is_refused_where_no_cls_is_pooled(load: Load) -> None:
    with pytest.raises(ValueError, match="needs a model whose dense vector"):
        load("write_tercet", long_documents="mcls")
    with pytest.raises(ValueError, match="needs a model whose dense vector"):
        load("write_colbert_v2", long_documents="mcls")


def test_the_default_arithmetic_is_near_float32(load: Load) -> None:
    exact, fast = load(), load(dtype="bfloat16")
    left, right = exact.encode_documents(TEXTS), fast.encode_documents(TEXTS)
    assert (left.dense * right.dense).sum(axis=1).min() > 0.999
    assert right.dense.dtype == right.multi_vector.vectors.dtype == np.float32
    norms = np.linalg.norm(right.multi_vector.vectors, axis=1)
    np.testing.assert_allclose(norms, 1, rtol=1e-5)


def test_many_threads_get_what_one_gets(m3: Encoder) -> None:
    alone = [m3.encode_queries([text]) for text in TEXTS]
    found: dict[int, Embeddings] = {}

    def work(n: int) -> None:
        found[n] = m3.encode_queries([TEXTS[n % len(TEXTS)]])

    threads = [threading.Thread(target=work, args=(n,)) for n in range(3 * len(TEXTS))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for n, embeddings in found.items():
        assert_same(embeddings, alone[n % len(TEXTS)])


def test_no_gradients_are_kept(m3: Encoder) -> None:
    with torch.enable_grad():
        assert m3.encode_documents(["a"]).dense.flags.writeable


def test_it_copies_as_itself_and_refuses_to_be_pickled(m3: Encoder) -> None:
    assert copy.deepcopy(m3) is m3
    with pytest.raises(TypeError, match=r"cannot be pickled.*from_pretrained"):
        pickle.dumps(m3)


def test_its_repr_says_what_it_is(m3: Encoder) -> None:
    shown = repr(m3)
    for part in ("write_bge_m3", "dense+sparse+multi_vector", "cpu", "float32"):
        assert part in shown


def test_it_is_a_text_encoder(m3: Encoder) -> None:
    encoder: TextEncoder = m3
    assert encoder.spec.source is not None


def test_progress_is_drawn_on_stderr_when_asked_for(
    m3: Encoder, capfd: pytest.CaptureFixture[str]
) -> None:
    m3.encode_documents(["a", "b"])
    assert capfd.readouterr() == ("", "")
    m3.encode_documents(["a", "b"], show_progress=True)
    list(m3.encode_documents_iter(iter(["a"]), show_progress=True))
    out, err = capfd.readouterr()
    assert out == ""
    assert "encoding" in err


def test_the_class_is_there_without_torch() -> None:
    program = "import sys; from tercet import Encoder; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)
