"""What holds for every family: company, order, half precision, windows, probes."""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tercet.embeddings import Embeddings, SparseVectors
from tercet.encoder import Encoder
from tercet.testing import checkpoints

ROUNDING = 2e-6
"""What float32 leaves of a sum that was added up in another order."""

HALF = {"bfloat16": 0.04, "float16": 0.006}
"""How far a value of a tiny random model may move: some 8 and 11 bits, through two layers."""


@dataclass(frozen=True)
class Family:
    """A checkpoint layout with a backbone, and whether its dense vector is the state of a CLS."""

    writer: str
    arguments: dict[str, Any] = field(default_factory=dict)
    pools_cls: bool = False

    def __str__(self) -> str:
        return "-".join([self.writer.removeprefix("write_"), *self.arguments.values()])


FAMILIES = [
    Family("write_bge_m3", pools_cls=True),
    Family("write_jina_colbert"),
    Family("write_jacolbert"),
    Family("write_colbert_v2"),
    Family("write_colbert_xlm_roberta"),
    Family("write_pylate"),
    Family("write_pylate", {"backbone": "modernbert"}),
    Family("write_multi_vector"),
    Family("write_multi_vector", {"backbone": "xlm-roberta"}),
    Family("write_dense", {"pooling": "cls"}, pools_cls=True),
    Family("write_dense", {"backbone": "modernbert"}),
    Family("write_dense", {"backbone": "xlm-roberta"}),
    Family("write_tercet"),
]
LATE = [family for family in FAMILIES if family.writer not in {"write_dense"}]
SPACED = [f for f in LATE if f.writer != "write_jacolbert" and "backbone" not in f.arguments]
"""Those of which a word is one token wherever it stands: not with MeCab, nor with bytes."""

CLS = [
    *(family for family in FAMILIES if family.pools_cls),
    Family("write_dense", {"pooling": "cls", "backbone": "modernbert"}, pools_cls=True),
]

ROOT: list[Path] = []

WORDS = (
    "token vector the [MASK] [SEP] <mask> </s> . ?! ^ 検索とは、 「質問」！ ＡＢ ☃ שלום"
    " \N{GRINNING FACE}"
)
words = st.sampled_from(WORDS.split())
texts = st.one_of(
    st.lists(words, max_size=30).map(" ".join),
    st.text(st.characters(codec="utf-8"), max_size=40),
)


@pytest.fixture(scope="module", autouse=True)
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    ROOT[:] = [tmp_path_factory.mktemp("families")]
    yield
    written.cache_clear()
    loaded.cache_clear()


@cache
def written(name: str) -> Path:
    family = next(f for f in (*FAMILIES, *CLS) if str(f) == name)
    writer: Callable[..., Path] = getattr(checkpoints, family.writer)
    return writer(ROOT[0] / name, **family.arguments)


@cache
def loaded(name: str, dtype: str = "float32", **options: Any) -> Encoder:
    return Encoder.from_pretrained(written(name), device="cpu", dtype=dtype, **options)


def each(families: list[Family]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("family", families, ids=str)


def encode(encoder: Encoder, role: str, given_texts: list[str]) -> Embeddings:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # queries are cut as the families' conventions say
        found: Embeddings = getattr(encoder, f"encode_{role}")(given_texts)
    return found


def weights(sparse: SparseVectors) -> list[dict[int, float]]:
    return sparse.to_dicts()


def assert_near(left: Embeddings, right: Embeddings, *, atol: float) -> None:
    """The same rows, and values that lie no farther apart than `atol`."""
    assert np.array_equal(left.tokens, right.tokens)
    assert np.array_equal(left.tokens_encoded, right.tokens_encoded)
    if left.dense is not None:
        np.testing.assert_allclose(left.dense, right.dense, rtol=0, atol=atol)
    if left.multi_vector is not None:
        assert np.array_equal(left.multi_vector.offsets, right.multi_vector.offsets)
        np.testing.assert_allclose(
            left.multi_vector.vectors, right.multi_vector.vectors, rtol=0, atol=atol
        )
    if left.sparse is not None:
        for ours, theirs in zip(weights(left.sparse), weights(right.sparse), strict=True):
            terms = ours.keys() | theirs.keys()
            assert all(abs(ours.get(t, 0) - theirs.get(t, 0)) <= atol for t in terms)


@each(FAMILIES)
@pytest.mark.parametrize("role", ["queries", "documents"])
@settings(
    max_examples=5,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(batch=st.lists(texts, min_size=2, max_size=7))
def test_a_batch_is_its_texts_alone_in_the_order_given(
    family: Family, role: str, batch: list[str]
) -> None:
    encoder = loaded(str(family))
    together = encode(encoder, role, batch)
    for n, text in enumerate(batch):
        assert_near(encode(encoder, role, [text]), together.take([n]), atol=ROUNDING)


@each(FAMILIES)
@pytest.mark.parametrize("dtype", HALF)
def test_half_precision_stays_near(family: Family, dtype: str) -> None:
    batch = ["late interaction", "", "検索とは、文書を探すこと。", "one word and another " * 30]
    for role in ("queries", "documents"):
        exact = encode(loaded(str(family)), role, batch)
        half = encode(loaded(str(family), dtype), role, batch)
        scale = 1.0 if exact.dense is None else float(np.abs(exact.dense).max())
        assert_near(half, exact, atol=HALF[dtype] * max(1.0, scale))


@each(FAMILIES)
def test_windows_read_every_token_once(family: Family) -> None:
    batch = ["短い", " ".join(f"one word {n} 「検索」!" for n in range(60))]
    plain = encode(loaded(str(family)), "documents", batch)
    in_windows = encode(loaded(str(family), document_tokens=70), "documents", batch)
    assert in_windows.tokens is not None
    assert in_windows.tokens[1] > 4 * 70
    assert np.array_equal(in_windows.tokens, in_windows.tokens_encoded)
    assert np.array_equal(in_windows.tokens, plain.tokens)
    if in_windows.multi_vector is not None:
        assert plain.multi_vector is not None
        assert np.array_equal(in_windows.multi_vector.offsets, plain.multi_vector.offsets)
    assert_near(in_windows.take([0]), plain.take([0]), atol=ROUNDING)


@each(SPACED)
def test_windows_are_stitched_from_texts_of_their_own(family: Family) -> None:
    limit, overlap = 134, 64
    encoder = loaded(str(family), document_tokens=limit)
    (around,) = encoder._pipeline.tokenizer.documents([""])
    room = limit - around.leading - around.trailing
    known = one_token_words(encoder)
    chosen = [known[n] for n in np.random.default_rng(0).integers(len(known), size=300)]
    starts = range(0, 300 - overlap, room - overlap)
    bounds = [0, *(start + overlap // 2 for start in starts[1:]), 300]
    pieces = [" ".join(chosen[start : start + room]) for start in starts]
    alone = encode(loaded(str(family)), "documents", pieces).multi_vector
    whole = encode(encoder, "documents", [" ".join(chosen)]).multi_vector
    assert alone is not None
    assert whole is not None
    rows = []
    for n, start in enumerate(starts):
        words_here = len(pieces[n].split())
        before = len(alone[n]) - words_here - around.trailing
        first = 0 if n == 0 else before + bounds[n] - start
        last = len(alone[n]) if bounds[n + 1] == 300 else before + bounds[n + 1] - start
        rows.append(alone[n][first:last])
    np.testing.assert_allclose(whole[0], np.concatenate(rows), rtol=0, atol=ROUNDING)


def one_token_words(encoder: Encoder) -> list[str]:
    """Words of letters that are one token, with a vector, wherever they stand."""
    tokenizer = encoder._pipeline.tokenizer
    spec = encoder._pipeline.spec
    entries = tokenizer.terms(range(spec.vocabulary or 500))
    candidates = sorted({e.lstrip("▁Ġ") for e in entries if e.lstrip("▁Ġ").isascii()})
    found = []
    for word in filter(str.isalpha, candidates):
        once, thrice = tokenizer.documents([word.lower(), f"{word} {word} {word}".lower()])
        around = once.leading + once.trailing
        if len(once) == around + 1 and len(thrice) == around + 3:
            found.append(word.lower())
    return found


@each(CLS)
class TestMoreThanOneCls:
    LONG = " ".join(f"word {n} of a long text, with marks" for n in range(40))

    def forms(self, family: Family) -> list[Encoder]:
        mcls = {"long_documents": "mcls", "mcls_interval": 32}
        return [
            loaded(str(family), **mcls),
            loaded(str(family), **mcls, mcls_attention="full"),
            loaded(str(family), **mcls, mcls_attention="full", mcls_positions="sequential"),
        ]

    def test_a_text_of_one_block_is_plain(self, family: Family) -> None:
        batch = ["short", "", "a b c"]
        plain = encode(loaded(str(family), long_documents="plain"), "documents", batch)
        for encoder in self.forms(family):
            assert_near(encode(encoder, "documents", batch), plain, atol=0)

    def test_no_inserted_cls_is_a_row_or_a_term(self, family: Family) -> None:
        plain = encode(loaded(str(family), long_documents="plain"), "documents", [self.LONG])
        for encoder in self.forms(family):
            found = encode(encoder, "documents", [self.LONG])
            assert np.array_equal(found.tokens, plain.tokens)
            assert not np.allclose(found.dense, plain.dense, atol=1e-4)
            if found.multi_vector is not None and found.sparse is not None:
                assert plain.multi_vector is not None
                assert np.array_equal(found.multi_vector.offsets, plain.multi_vector.offsets)
                assert encoder._pipeline.tokenizer.cls_id not in found.sparse.ids

    def test_probes_leave_every_row_of_the_text_as_it_is(self, family: Family) -> None:
        plain, probing = loaded(str(family), long_documents="plain"), self.forms(family)[0]
        assert_near(
            Embeddings(**text_views(encode(probing, "documents", [self.LONG]))),
            Embeddings(**text_views(encode(plain, "documents", [self.LONG]))),
            atol=ROUNDING,
        )
        states = []
        for encoder in (plain, probing):  # the first CLS too, before more are averaged with it
            passes = encoder._pipeline.prepare_documents([self.LONG]).passes
            (replica,) = encoder._pipeline._model.replicas
            states.append(replica.backbone(passes)[: passes[0].visible].numpy())
        np.testing.assert_allclose(states[0], states[1], rtol=0, atol=10 * ROUNDING)


def text_views(found: Embeddings) -> dict[str, Any]:
    """All but the dense view, or zeros where there is no other."""
    views: dict[str, Any] = {"sparse": found.sparse, "multi_vector": found.multi_vector}
    if not any(view is not None for view in views.values()):
        views["dense"] = np.zeros((len(found), 1), dtype=np.float32)
    return {**views, "tokens": found.tokens, "tokens_encoded": found.tokens_encoded}
