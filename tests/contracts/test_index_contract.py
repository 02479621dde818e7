"""What every engine of `Index` does, compared with brute force over the same vectors."""

import copy
import os
import pickle
import uuid
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tercet.documents import AddReport, Document
from tercet.embeddings import Embeddings, EncoderSpec, MultiVectors, Representation, SparseVectors
from tercet.errors import (
    IndexNotFoundError,
    MissingViewError,
    ModelMismatchError,
    TercetIndexError,
)
from tercet.filters import F
from tercet.indexes.base import ENGINES, Index
from tercet.indexes.storage import Storage
from tercet.plans import NAMED_PLANS, Plan, deepened, resolve_plan
from tercet.testing import HashEncoder

DENSE, SPARSE, MULTI_VECTOR = Representation
NEAR = 1e-3  # float16 tokens
ENCODER = HashEncoder(dense_dim=24, multi_vector_dim=8)
WORDS = ["cat", "dog", "mat", "sun", "moon", "star", "tree", "river", "stone", "cloud", "rain"]
WORDS += ["snow", "wind", "fire", "leaf", "root"]


CLUSTER = ["cluster"] if os.environ.get("TERCET_CLUSTER") else []
"""A cluster of three takes minutes more: `TERCET_CLUSTER=1 pytest tests/contracts -k cluster`."""


@pytest.fixture(params=["file", "qdrant", "edge", *CLUSTER])
def where(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An address for each engine; Edge is Qdrant's own in this process, without a server."""
    if request.param == "cluster":
        hosts = [node.host for node in request.getfixturevalue("qdrant_nodes")]
        return f"qdrant://{','.join(hosts)}/{uuid.uuid4().hex}?shards=3&replicas=2"
    if request.param == "qdrant":
        made: str = request.getfixturevalue("qdrant_address")()
        return made
    if request.param == "edge":
        monkeypatch.setitem(ENGINES, "edge", "qdrant_edge_client:EdgeIndex")
        return f"edge://{tmp_path}/index"
    return str(tmp_path / "index")


@pytest.fixture
def index(where: str) -> Iterator[Index]:
    with Index.open(where, spec=ENCODER.spec, storage=Storage(tokens="float16")) as opened:
        yield opened


def texts(count: int, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, rng.integers(1, 12))) for _ in range(count)]


def documents(count: int, seed: int = 0) -> list[Document]:
    return [
        Document(f"d{n:04d}", text, {"n": n, "even": n % 2 == 0, "lang": "en" if n % 3 else "de"})
        for n, text in enumerate(texts(count, seed))
    ]


def encoded(docs: list[Document]) -> Embeddings:
    return ENCODER.encode_documents([document.content for document in docs])


def fill(index: Index, count: int, *, step: int = 40) -> list[Document]:
    docs = documents(count)
    for start in range(0, count, step):
        part = docs[start : start + step]
        index.add(part, encoded(part))
    return docs


def brute_scores(query: Embeddings, docs: Embeddings) -> dict[Representation, np.ndarray]:
    """Scores of one query by definition; late interaction as the sum."""
    assert query.dense is not None
    assert query.sparse is not None
    assert query.multi_vector is not None
    assert docs.dense is not None
    assert docs.sparse is not None
    assert docs.multi_vector is not None
    terms = query.sparse.to_dicts()[0]
    tokens = query.multi_vector[0]
    return {
        DENSE: (docs.dense @ query.dense[0]).astype(float),
        SPARSE: np.asarray(
            [sum(terms.get(t, 0) * w for t, w in d.items()) for d in docs.sparse.to_dicts()]
        ),
        MULTI_VECTOR: np.asarray(
            [(tokens @ docs.multi_vector[n].T).max(axis=1).sum() for n in range(len(docs))],
            dtype=float,
        ),
    }


def brute_ranking(
    query: Embeddings, docs: list[Document], plan: Plan, *, k: int
) -> dict[str, float]:
    """Ids and fused scores of the k best, from the plan's definition."""
    raw = brute_scores(query, encoded(docs))
    lists = {}
    for view, depth in deepened(plan, k).candidates.items():
        order = sorted(range(len(docs)), key=lambda n: (-round(raw[view][n], 5), docs[n].id))
        lists[view] = [n for n in order if view is not SPARSE or raw[view][n] > 0][:depth]
    union = sorted({n for places in lists.values() for n in places})
    shown = dict(raw)
    if plan.reduction(ENCODER.spec.reduction) == "mean":
        assert query.multi_vector is not None
        shown[MULTI_VECTOR] = raw[MULTI_VECTOR] / len(query.multi_vector[0])
    fused = dict.fromkeys(union, 0.0)
    for view in plan.scored:
        values = shown[view][union]
        if plan.normalise == "min-max":
            values = (values - values.min()) / (values.max() - values.min())
        for n, value in zip(union, values, strict=True):
            if plan.fusion == "sum":
                fused[n] += plan.weights[view] * value
            elif n in lists[view]:
                fused[n] += plan.weights[view] / (61 + lists[view].index(n))
    best = sorted(union, key=lambda n: (-round(fused[n], 5), docs[n].id))[:k]
    return {docs[n].id: fused[n] for n in best}


def assert_same(ranking: Any, expected: dict[str, float]) -> None:
    """The same documents, but where scores tie; the same scores, place by place."""
    assert len(ranking) == len(expected)
    assert [hit.rank for hit in ranking] == list(range(1, len(expected) + 1))
    for hit, (id_, score) in zip(ranking, expected.items(), strict=True):
        assert hit.score == pytest.approx(score, abs=NEAR)
        if hit.document.id != id_:
            assert expected.get(hit.document.id, score) == pytest.approx(hit.score, abs=NEAR)


PLANS = {
    **{name: resolve_plan(name, ENCODER.spec) for name in NAMED_PLANS},
    "shallow": Plan({DENSE: 7, SPARSE: 5}, {DENSE: 1.0, SPARSE: 0.2, MULTI_VECTOR: 0.5}),
    "shallow rrf": Plan(dict.fromkeys(Representation, 6), {DENSE: 1, SPARSE: 2}, "rrf"),
    "min-max": Plan({DENSE: 20, SPARSE: 9}, {DENSE: 1, MULTI_VECTOR: 2}, normalise="min-max"),
}


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_every_plan_ranks_as_brute_force_does(index: Index, plan: Any) -> None:
    docs = fill(index, 130)
    asked = ["cat on a mat", "moon star cloud rain", "fire", "leaf root river river"]
    queries = ENCODER.encode_queries(asked)
    for k in (1, 10):
        rankings = index.search(queries, k=k, plan=plan, exact=True)
        for n, ranking in enumerate(rankings):
            assert_same(ranking, brute_ranking(queries.take([n]), docs, plan, k=k))
            assert all(set(hit.scores) == {v.value for v in plan.views} for hit in ranking)


def test_scores_of_a_hit_are_those_of_its_views(index: Index) -> None:
    docs = fill(index, 30)
    query = ENCODER.encode_queries(["cat dog sun"])
    raw = brute_scores(query, encoded(docs))
    for hit in index.search(query, plan="hybrid", k=30)[0]:
        n = int(hit.document.id[1:])
        assert hit.document == docs[n]
        assert hit.scores["dense"] == pytest.approx(raw[DENSE][n], abs=NEAR)
        assert hit.scores["sparse"] == pytest.approx(raw[SPARSE][n], abs=NEAR)
        assert hit.scores["multi_vector"] == pytest.approx(raw[MULTI_VECTOR][n] / 3, abs=NEAR)


@pytest.mark.parametrize(("reduction", "share"), [("sum", 1.0), ("mean", 1 / 3)])
def test_late_interaction_alone_is_shown_as_the_model_has_it(
    where: str, reduction: Any, share: float
) -> None:
    spec = replace(ENCODER.spec, reduction=reduction)
    query = ENCODER.encode_queries(["cat dog sun"])
    with Index.open(where, spec=spec, storage=Storage(tokens="float16")) as index:
        docs = fill(index, 20)
        raw = brute_scores(query, encoded(docs))[MULTI_VECTOR]
        for plan in ("multi_vector", "dense>multi_vector"):
            best = index.search(query, plan=plan)[0][0]
            assert best.score == pytest.approx(raw.max() * share, abs=NEAR)
            assert best.scores["multi_vector"] == pytest.approx(best.score)
        summed = index.search(query, plan="hybrid", k=20)[0]
        assert max(hit.scores["multi_vector"] for hit in summed) == pytest.approx(
            raw.max() / 3, abs=NEAR
        )
        ids = [document.id for document in docs]
        scores = index.score(query, ids)
        np.testing.assert_allclose(scores[MULTI_VECTOR][0], raw * share, atol=NEAR)
        forced = index.score(query, ids, reduction="sum")
        np.testing.assert_allclose(forced[MULTI_VECTOR][0], raw, atol=NEAR)


def test_many_queries_are_answered_as_if_one_by_one(index: Index) -> None:
    fill(index, 90)
    queries = ENCODER.encode_queries(texts(50, seed=9))
    together = index.search(queries, k=6, plan="rrf")
    alone = [index.search(queries.take([n]), k=6, plan="rrf")[0] for n in range(50)]
    for left, right in zip(together, alone, strict=True):
        assert [h.document.id for h in left] == [h.document.id for h in right]


def test_no_query_gives_no_ranking(index: Index) -> None:
    fill(index, 3)
    nothing = ENCODER.encode_queries([])
    assert index.search(nothing) == []
    assert index.score(nothing, ["d0000", "d0001"])[MULTI_VECTOR].shape == (0, 2)


@pytest.mark.parametrize("plan", ["dense", "sparse", "multi_vector", "hybrid", "rrf"])
def test_equal_documents_are_ranked_by_id_also_at_the_cut(index: Index, plan: Any) -> None:
    order = np.random.default_rng(3).permutation(60)
    docs = [Document(f"same{n:02d}", "cat on the mat") for n in order]
    docs += [Document(f"other{n:02d}", f"snow wind {WORDS[n]}") for n in range(10)]
    for start in range(0, 70, 17):
        index.add(docs[start : start + 17], encoded(docs[start : start + 17]))
    narrow = replace(resolve_plan(plan, ENCODER.spec))
    narrow = replace(narrow, candidates=dict.fromkeys(narrow.candidates, 4))
    for chosen in (narrow, plan):
        hits = index.search(ENCODER.encode_queries(["cat mat"]), k=4, plan=chosen)[0]
        assert [hit.document.id for hit in hits] == [f"same{n:02d}" for n in range(4)]


def test_a_document_without_a_shared_term_is_no_sparse_hit(index: Index) -> None:
    docs = [Document("a", "cat"), Document("b", "dog")]
    index.add(docs, encoded(docs))
    hits = index.search(ENCODER.encode_queries(["cat"]), plan="sparse")[0]
    assert [hit.document.id for hit in hits] == ["a"]
    assert not index.search(ENCODER.encode_queries(["nothing"]), plan="sparse")[0]
    assert not index.search(ENCODER.encode_queries([""]), plan="sparse")[0]


def test_k_may_exceed_the_corpus(index: Index) -> None:
    fill(index, 7)
    assert len(index.search(ENCODER.encode_queries(["cat"]), k=1000)[0]) == 7


@pytest.mark.parametrize(
    ("k", "error"), [(0, ValueError), (-1, ValueError), (2.0, TypeError), (True, TypeError)]
)
def test_k_is_a_positive_whole_number(index: Index, k: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="k is"):
        index.search(ENCODER.encode_queries(["cat"]), k=k)


def test_an_empty_index_finds_nothing(index: Index) -> None:
    assert [len(r) for r in index.search(ENCODER.encode_queries(["cat", "dog"]))] == [0, 0]
    assert len(index) == 0
    assert index, "an index is true, also when it is empty"
    assert index.ids() == []
    assert list(index.scan()) == []


FILTERS = [
    {"lang": "de"},
    {"n": {"$lt": 3}},
    {"n": 50},
    {"even": True, "n": {"$gte": 20}},
    {"$not": {"lang": "de"}},
]


@pytest.mark.parametrize("plan", ["dense", "sparse", "multi_vector", "hybrid", "rrf"])
def test_filters_apply_before_scoring(index: Index, plan: Any) -> None:
    docs = fill(index, 120)
    query = ENCODER.encode_queries(["cat moon river"])
    for given in FILTERS:
        allowed = [d for d in docs if d.id in set(index.ids(given))]
        found = index.search(query, k=10, plan=plan, filter=given)[0]
        expected = brute_ranking(query, allowed, resolve_plan(plan, ENCODER.spec), k=10)
        assert_same(found, expected)


def test_one_document_in_a_hundred_is_found_as_brute_force_finds_it(index: Index) -> None:
    docs = fill(index, 500, step=100)
    allowed = [d for d in docs if d.metadata["n"] % 100 == 7]
    given = {"n": [d.metadata["n"] for d in allowed]}
    for plan in ("dense", "sparse", "multi_vector"):
        for text in ("cat moon river", "fire", "leaf root"):
            query = ENCODER.encode_queries([text])
            found = index.search(query, k=10, plan=plan, filter=given)[0]
            expected = brute_ranking(query, allowed, resolve_plan(plan, ENCODER.spec), k=10)
            assert_same(found, expected)


def test_a_filter_that_nothing_passes_gives_an_empty_ranking(index: Index) -> None:
    fill(index, 10)
    for plan in NAMED_PLANS:
        assert not index.search(ENCODER.encode_queries(["cat"]), filter={"n": -1}, plan=plan)[0]


def test_a_field_that_no_document_has_matches_nothing_and_warns_once(index: Index) -> None:
    fill(index, 10)
    query = ENCODER.encode_queries(["cat"])
    with pytest.warns(UserWarning, match="'colour', which no document") as said:
        assert not index.search(query, filter={"colour": "red"})[0]
    assert len(said) == 1
    with pytest.warns(UserWarning, match="'colour', 'shape'"):
        assert len(index.ids(~(F("colour") == 1) & ~F("shape").exists())) == 10


def test_an_empty_index_does_not_warn_of_fields(index: Index) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not index.search(ENCODER.encode_queries(["cat"]), filter={"colour": "red"})[0]


def test_the_parent_can_be_filtered(index: Index) -> None:
    docs = [Document(f"c{n}", "cat", parent="book" if n < 2 else None) for n in range(4)]
    index.add(docs, encoded(docs))
    assert index.ids({"$parent": "book"}) == ["c0", "c1"]
    assert index.get(["c0"])[0].parent == "book"


def test_an_unusable_filter_is_an_error(index: Index) -> None:
    with pytest.raises(ValueError, match="no operator"):
        index.search(ENCODER.encode_queries(["cat"]), filter={"n": {"$near": 3}})
    with pytest.raises(ValueError, match="no operator"):
        index.scan({"n": {"$near": 3}})


def test_add_replaces_by_id_and_skips_what_is_there(index: Index) -> None:
    docs = documents(5)
    assert index.add(docs, encoded(docs)) == AddReport(committed=5)
    assert index.add(docs, encoded(docs)) == AddReport(skipped=5)
    changed = [replace(docs[0], text="fire fire"), *docs[1:], Document("new", "snow")]
    assert index.add(changed, encoded(changed)) == AddReport(committed=2, replaced=1, skipped=4)
    assert len(index) == 6
    assert index.get(["d0000"])[0].text == "fire fire"
    assert index.search(ENCODER.encode_queries(["fire"]), plan="sparse")[0][0].document.id == (
        "d0000"
    )


@pytest.mark.parametrize(
    "change",
    [{"header": "T. "}, {"metadata": {"n": 0}}, {"parent": "p"}, {"private": {"x": 1}}],
    ids=str,
)
def test_any_change_of_a_document_is_a_change(index: Index, change: Any) -> None:
    document = documents(1)[0]
    index.add([document], encoded([document]))
    assert index.unchanged([document]).tolist() == [True]
    other = replace(document, **change)
    assert index.unchanged([other, Document("z", "")]).tolist() == [False, False]
    assert index.add([other], encoded([other])).replaced == 1
    assert index.get([document.id]) == [other]


def test_of_two_documents_with_one_id_the_last_wins(index: Index) -> None:
    docs = [Document("a", "cat"), Document("b", "dog"), Document("a", "sun"), Document("a", "moon")]
    report = index.add(docs, encoded(docs))
    assert report == AddReport(committed=2, duplicate_ids=("a",))
    assert index.get(["a"])[0].text == "moon"
    assert index.search(ENCODER.encode_queries(["moon"]), plan="dense", k=1)[0][0].score > 0.99


def test_documents_come_back_as_they_were(index: Index) -> None:
    docs = [
        Document(
            "ключ/😀 #1",
            "text\0with NUL and \r\n lines",
            {"deep": {"a": [1, 2.5, None, True, "x"]}, "big": 2**80, "": "empty name"},
            header="Title: ",
            parent="p" * 512,
            private={"class": "TextNode"},
        ),
        Document("empty", ""),
        Document("space", " \n\t "),
        Document("rtl", "שלום עולם 你好"),
    ]
    index.add(docs, encoded(docs))
    assert index.get(["rtl", "no such", "empty", "ключ/😀 #1", "space", "rtl"]) == [
        docs[3],
        docs[1],
        docs[0],
        docs[2],
        docs[3],
    ]
    assert len(index.search(ENCODER.encode_queries(["text"]))[0]) == 4


def test_ids_that_no_document_can_have_are_not_found(index: Index) -> None:
    fill(index, 2)
    assert index.get(["\ud800", "a\0b", "x" * 5000, ""]) == []
    assert index.delete(["\ud800", "x\0"]) == 0


def test_a_bare_string_is_no_list_of_ids(index: Index) -> None:
    for call in (index.get, index.delete, index.embeddings):
        with pytest.raises(TypeError, match="ids is one string"):
            call("abc")


def test_a_text_of_ten_megabytes_is_stored(index: Index) -> None:
    long = Document("long", "cat " * 2_500_000)
    index.add([long], ENCODER.encode_documents(["cat"]))
    assert index.get(["long"]) == [long]


def test_lone_surrogates_are_replaced_and_said_once(index: Index) -> None:
    docs = [Document("a", "x\ud800"), Document("b", "y", {"k": "\udfff"}), Document("c", "z")]
    with pytest.warns(UserWarning, match="2 documents have lone surrogates") as said:
        index.add(docs, encoded(docs))
    assert len(said) == 1
    assert index.get(["a"])[0].text == "x\N{REPLACEMENT CHARACTER}"
    assert index.ids({"k": "\udfff"}) == ["b"]
    assert index.unchanged(docs).all()


def test_deleted_documents_are_gone(index: Index) -> None:
    fill(index, 50)
    assert index.delete(["d0003", "d0049", "nothing", "d0003"]) == 2
    assert len(index) == 48
    assert index.get(["d0003"]) == []
    assert index.delete(["d0003"]) == 0
    hits = index.search(ENCODER.encode_queries(["cat"]), k=100, plan="dense")[0]
    assert not {"d0003", "d0049"} & {hit.document.id for hit in hits}
    assert len(hits) == 48


def test_delete_where_removes_what_passes(index: Index) -> None:
    fill(index, 30)
    assert index.delete_where({"even": True}) == 15
    assert index.delete_where({"n": -5}) == 0
    assert len(index) == 15
    assert index.ids(F("even") == True) == []  # noqa: E712  builds a filter
    with pytest.raises(TypeError, match="clear"):
        index.delete_where(None)


def test_clear_removes_everything_and_add_works_again(index: Index) -> None:
    fill(index, 30)
    index.clear()
    assert len(index) == 0
    assert not index.search(ENCODER.encode_queries(["cat"]))[0]
    assert len(fill(index, 5)) == len(index) == 5


def test_compact_changes_no_ranking(index: Index) -> None:
    fill(index, 90)
    index.delete([f"d{n:04d}" for n in range(0, 90, 7)])
    queries = ENCODER.encode_queries(["cat mat", "river stone"])
    before = [index.search(queries, k=9, plan=plan) for plan in ("hybrid", "multi_vector", "rrf")]
    index.compact()
    after = [index.search(queries, k=9, plan=plan) for plan in ("hybrid", "multi_vector", "rrf")]
    for left, right in zip(before, after, strict=True):
        assert [[h.document for h in r] for r in left] == [[h.document for h in r] for r in right]
    stats = index.stats()
    assert (stats.documents, stats.tombstones) == (77, 0)


def test_stored_views_come_back(index: Index) -> None:
    docs = fill(index, 60)
    wanted = ["d0055", "d0001", "d0055"]
    stored, made = index.embeddings(wanted), encoded([docs[55], docs[1], docs[55]])
    assert (stored.model_id, stored.document_id) == (made.model_id, made.document_id)
    assert stored.dense is not None
    assert stored.multi_vector is not None
    assert stored.sparse is not None
    assert made.dense is not None
    assert made.multi_vector is not None
    assert made.sparse is not None
    np.testing.assert_allclose(stored.dense, made.dense, atol=NEAR)
    np.testing.assert_allclose(stored.multi_vector.vectors, made.multi_vector.vectors, atol=NEAR)
    assert stored.multi_vector.offsets.tolist() == made.multi_vector.offsets.tolist()
    assert stored.sparse.to_dicts() == made.sparse.to_dicts()
    assert len(index.embeddings([])) == 0


def test_missing_documents_have_neither_vectors_nor_scores(index: Index) -> None:
    fill(index, 3)
    with pytest.raises(LookupError, match=r"1 of 2 documents are not in the index.*'zz'"):
        index.embeddings(["d0001", "zz"])
    with pytest.raises(LookupError, match="'zz'"):
        index.score(ENCODER.encode_queries(["cat"]), ["zz"])


def test_given_documents_are_scored_in_every_view(index: Index) -> None:
    docs = fill(index, 50)
    queries = ENCODER.encode_queries(["cat mat", "sun"])
    scores = index.score(queries, ["d0049", "d0002"])
    assert list(scores) == [DENSE, SPARSE, MULTI_VECTOR]
    for n in range(2):
        raw = brute_scores(queries.take([n]), encoded([docs[49], docs[2]]))
        np.testing.assert_allclose(scores[DENSE][n], raw[DENSE], atol=NEAR)
        np.testing.assert_allclose(scores[SPARSE][n], raw[SPARSE], atol=NEAR)
    only = Embeddings(dense=queries.dense, model_id=queries.model_id)
    assert list(index.score(only, ["d0002"])) == [DENSE]


def test_a_scan_copies_an_index(index: Index, tmp_path: Path) -> None:
    docs = fill(index, 70)
    index.delete(["d0005"])
    with Index.open(tmp_path / "copy", spec=ENCODER.spec) as other:
        for batch, views in index.scan():
            other.add(batch, views)
        assert other.ids() == index.ids() == [d.id for d in docs if d.id != "d0005"]
        query = ENCODER.encode_queries(["cat mat"])
        for left, right in zip(index.search(query)[0], other.search(query)[0], strict=True):
            assert left.document == right.document
            assert left.score == pytest.approx(right.score, abs=NEAR)
    assert sum(len(batch) for batch, _ in index.scan({"even": True})) == 35


def test_an_index_keeps_what_it_holds(where: str) -> None:
    with Index.open(where, spec=ENCODER.spec) as index:
        docs = fill(index, 20)
        index.delete(["d0000"])
    with Index.open(where) as again:
        assert again.spec == ENCODER.spec
        assert again.representations == tuple(Representation)
        assert again.get(["d0000", "d0019"]) == [docs[19]]
        assert len(again) == 19
        assert again.unchanged(docs).tolist() == [False, *[True] * 19]


def test_an_index_that_is_not_there_is_not_created_without_a_spec(where: str) -> None:
    with pytest.raises(IndexNotFoundError, match="to create one"):
        Index.open(where)


def test_another_model_is_refused(where: str) -> None:
    stranger = HashEncoder(dense_dim=24, multi_vector_dim=12)
    with Index.open(where, spec=ENCODER.spec) as index:
        fill(index, 3)
        with pytest.raises(ModelMismatchError, match=r"queries come from model .*: encode them"):
            index.search(stranger.encode_queries(["cat"]))
        with pytest.raises(ModelMismatchError, match="encoded by model"):
            index.add(documents(1), stranger.encode_documents(["cat"]))
        other_options = replace(encoded(documents(1)), document_id="x" * 64)
        with pytest.raises(ModelMismatchError, match="with other document options"):
            index.add(documents(1), other_options)
        assert len(index) == 3
    with pytest.raises(ModelMismatchError, match="it was opened for"):
        Index.open(where, spec=stranger.spec)


def test_dimensions_are_checked_also_without_a_model(index: Index) -> None:
    fill(index, 2)
    with pytest.raises(ModelMismatchError, match="24 dimensions, those of the queries 3"):
        index.search(Embeddings(dense=np.ones((1, 3))), plan="dense")
    wrong = replace(
        encoded(documents(1)),
        multi_vector=MultiVectors(np.ones((1, 9)), [0, 1]),
        model_id=None,
        document_id=None,
    )
    with pytest.raises(ModelMismatchError, match="multi_vector vectors of this index have 8"):
        index.add(documents(1), wrong)


def test_dimensions_that_no_spec_knows_are_learned_from_the_first_vectors(where: str) -> None:
    spec = EncoderSpec(family="own", representations=(DENSE,), model_id="m", document_id="d")
    with Index.open(where, spec=spec) as index:
        assert index.dimensions == {}
        assert len(index.embeddings([])) == 0
        assert index.search(Embeddings(dense=np.ones((1, 9))))[0].hits == ()
        index.add([Document("a", "")], Embeddings(dense=np.ones((1, 5))))
        assert index.dimensions == {DENSE: 5}
        with pytest.raises(ModelMismatchError, match="5 dimensions, those of the documents 4"):
            index.add([Document("b", "")], Embeddings(dense=np.ones((1, 4))))


def test_vectors_of_ones_own_are_never_skipped(where: str) -> None:
    spec = EncoderSpec(
        family="own", representations=(DENSE,), model_id="m", document_id="d", dense_dim=2
    )
    with Index.open(where, spec=spec) as index:
        same = [Document("a", "text")]
        for vector in ([1, 0], [0, 1]):
            index.add(same, Embeddings(dense=[vector]))
        assert index.search(Embeddings(dense=[[0, 1]]))[0][0].score == pytest.approx(1)
        assert not index.unchanged(same).any()
        assert index.add(same, Embeddings(dense=[[1, 0]], document_id="d")).committed == 1
        assert index.unchanged(same).all()


def test_an_index_may_store_some_views_only(where: str) -> None:
    with Index.open(where, spec=ENCODER.spec, representations=["sparse", "dense"]) as index:
        fill(index, 10)
        assert index.representations == (DENSE, SPARSE)
        assert set(index.stats().bytes) == {"dense", "sparse", "catalog"}
        hit = index.search(ENCODER.encode_queries(["cat"]))[0][0]
        assert set(hit.scores) == {"dense", "sparse"}
        with pytest.raises(MissingViewError, match="uses multi_vector"):
            index.search(ENCODER.encode_queries(["cat"]), plan="multi_vector")
    with pytest.raises(ValueError, match="open it without representations="):
        Index.open(where, representations=["dense"])
    with Index.open(where, representations=["dense", "sparse"]) as again:
        assert len(again) == 10


def test_views_that_are_missing_are_named(index: Index, tmp_path: Path) -> None:
    fill(index, 3)
    dense = ENCODER.encode_queries(["cat"])
    only = Embeddings(dense=dense.dense, model_id=dense.model_id)
    with pytest.raises(MissingViewError, match="the plan uses dense, sparse, multi_vector"):
        index.search(only, plan="hybrid")
    with pytest.raises(MissingViewError, match="this index stores"):
        index.add(documents(1), only)
    assert set(index.search(only)[0][0].scores) == {"dense"}
    with (
        Index.open(tmp_path / "s", spec=ENCODER.spec, representations=["sparse"]) as sparse,
        pytest.raises(MissingViewError, match="stores sparse, the queries have dense only"),
    ):
        sparse.search(only)
    with pytest.raises(MissingViewError, match="was asked for"):
        Index.open(
            tmp_path / "x",
            spec=HashEncoder(representations=["dense"]).spec,
            representations=["sparse"],
        )


def test_wrong_arguments_are_refused(index: Index, where: str) -> None:
    views = encoded(documents(2))
    with pytest.raises(TypeError, match="a sequence of Document"):
        index.add("text", views)
    with pytest.raises(TypeError, match=r"documents\[0\] is a str"):
        index.add(["text"], views)
    with pytest.raises(TypeError, match="embeddings are a ndarray"):
        index.add(documents(2), views.dense)
    with pytest.raises(ValueError, match="1 documents, but embeddings of 2"):
        index.add(documents(1), views)
    with pytest.raises(TypeError, match="queries are a str"):
        index.search("what?")
    with pytest.raises(TypeError, match="a name or a Plan"):
        index.search(views, plan=7)
    with pytest.raises(ValueError, match="no plan 'best'"):
        index.search(views, plan="best")
    with pytest.raises(ValueError, match="no view 'colbert'"):
        Index.open(where, representations=["colbert"])
    with pytest.raises(TypeError, match="representations is one string"):
        Index.open(where, representations="dense")
    with pytest.raises(ValueError, match="no engine 'annoy://'; there are: file"):
        Index.open("annoy://here")
    assert index.add([], ENCODER.encode_documents([])) == AddReport()


def test_an_open_index_is_copied_as_itself_and_never_pickled(index: Index) -> None:
    assert copy.deepcopy(index) is index
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(index)


def test_a_closed_index_says_so(where: str) -> None:
    index = Index.open(where, spec=ENCODER.spec)
    index.close()
    index.close()
    with pytest.raises(TercetIndexError, match="is closed"):
        len(index)


def test_stats_count(index: Index, where: str) -> None:
    fill(index, 50)
    index.delete(["d0001"])
    stats = index.stats()
    assert stats.documents == 49
    if "://" not in where:  # a server keeps both numbers to itself
        assert (stats.tombstones, stats.generation) == (1, 3)
    assert stats.bytes["dense"] >= 49 * 24 * 4
    assert stats.spec == ENCODER.spec
    assert stats.representations == tuple(Representation)
    assert stats.format == (1 if "://" in where else 2)


def test_sparse_vectors_without_terms_are_documents_too(index: Index) -> None:
    nothing = Embeddings(
        dense=np.ones((1, 24)),
        sparse=SparseVectors.from_dicts([{}]),
        multi_vector=MultiVectors(np.ones((1, 8)), [0, 1]),
    )
    index.add([Document("a", "")], nothing)
    stored = index.embeddings(["a"]).sparse
    assert stored is not None
    assert stored.to_dicts() == [{}]
    index.compact()
    assert len(index.search(replace(nothing, model_id=None), plan="hybrid")[0]) == 1


def test_vectors_of_another_model_are_refused_though_they_lack_a_document_id(
    index: Index,
) -> None:
    other = HashEncoder(representations=["dense"]).encode_queries(["a"])
    mine = replace(encoded([Document("a", "a")]), model_id=other.model_id, document_id=None)
    with pytest.raises(ModelMismatchError, match="by model"):
        index.add([Document("a", "a")], mine)


def test_an_encoder_in_place_of_its_spec_is_refused(where: str) -> None:
    with pytest.raises(TypeError, match=r"encoder\.spec"):
        Index.open(where, spec=HashEncoder())  # type: ignore[arg-type]
