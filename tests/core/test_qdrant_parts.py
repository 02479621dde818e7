"""What the Qdrant engine does before it asks a server: addresses, payloads, batches."""

import types
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qdrant_client import models

from tercet.documents import Document
from tercet.embeddings import Embeddings, MultiVectors, Representation
from tercet.indexes.base import Index
from tercet.indexes.qdrant.address import API_KEY, parse_address
from tercet.indexes.qdrant.cells import Cells
from tercet.indexes.qdrant.fields import canonical, field_payload, key, nearest_float, string_parts
from tercet.indexes.qdrant.lines import LOOP_BYTES, REQUEST_BYTES, finished
from tercet.indexes.qdrant.oversized import MOST_NUMBERS, fitting
from tercet.indexes.qdrant.points import document_of, payload_of, point_id
from tercet.indexes.qdrant.requests import Asking, Found
from tercet.indexes.qdrant.writing import batches
from tercet.plans import Plan

DENSE, SPARSE, MULTI_VECTOR = Representation


def test_an_address_names_hosts_and_a_collection() -> None:
    found = parse_address("qdrant://a,b:7000,[::1]:1/books?shards=3&replicas=2&on_disk=true")
    assert found.urls == ("http://a:6333", "http://b:7000", "http://[::1]:1")
    assert found.collection == "books"
    assert (found.layout.shards, found.layout.replicas, found.layout.on_disk) == (3, 2, True)
    secure = parse_address("qdrant+https://host/some/prefix/books?grpc=6334&fields=lang,year")
    assert secure.urls == ("https://host:6333/some/prefix",)
    assert (secure.client.grpc, secure.layout.fields) == (6334, ("lang", "year"))


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("qdrant://host", "names no collection"),
        ("qdrant://host/a b", "names no collection"),
        ("qdrant:///books", "lacks a host"),
        ("qdrant://host/books?sharts=3", "no option 'sharts'"),
        ("qdrant://host/books?shards=many", "shards='many'"),
        ("qdrant://host/books?shards=0", "at least 1"),
        ("qdrant://host/books?on_disk=yes", "true or false"),
        ("qdrant://host/books?dense=float8", "there are: float32, float16"),
        ("qdrant://host/books?oversized=cut", "there are: pool, window, refuse"),
        ("qdrant://host/books?write_consistency=2", "more than the 1 replicas"),
        ("qdrant://host/books?parallel=0", "at least 1 request"),
    ],
)
def test_an_unusable_address_is_refused(address: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_address(address)


def test_a_key_comes_from_the_environment_and_is_never_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(ValueError, match=API_KEY) as refused:
        Index.open("qdrant://sesame@host/books")
    assert "sesame" not in str(refused.value)
    monkeypatch.setenv(API_KEY, "sesame")
    found = parse_address("qdrant://host/books")
    assert found.api_key == "sesame"
    assert "sesame" not in repr(found) + str(found)


@given(st.text(max_size=40), st.text(max_size=40))
def test_parts_of_strings_order_as_strings_do(left: str, right: str) -> None:
    ours = string_parts(left), string_parts(right)
    raw = [text.encode(errors="replace")[:24] for text in (left, right)]
    if not any("\ud800" <= c <= "\udfff" for c in left + right):
        assert (ours[0] < ours[1]) == (raw[0] < raw[1])
    assert (ours[0] == ours[1]) == (string_parts(left) == string_parts(right))


@given(st.text(max_size=20), st.text(max_size=20))
def test_names_of_fields_stay_apart(left: str, right: str) -> None:
    left, right = (text.encode(errors="replace").decode() for text in (left, right))
    assert (key(left) == key(right)) == (left == right)
    assert all(c.isascii() and (c.isalnum() or c == "_") for c in key(left))


def test_equal_values_have_one_form_and_others_have_others() -> None:
    assert canonical(1) == canonical(1.0) != canonical(True)
    assert canonical(2**80) == canonical(float(2**80)) != canonical(2**80 + 1)
    forms = [canonical(v) for v in (None, "", "null", 0, 0.5, False, [], [0], {}, "x" * 300)]
    assert len(set(forms)) == len(forms)
    assert canonical(()) == canonical([])


def test_numbers_beyond_floats_are_the_largest_ones() -> None:
    assert nearest_float(10**400) == -nearest_float(-(10**400)) == np.finfo(float).max


def test_a_document_comes_back_from_its_payload() -> None:
    document = Document(
        "id", "text", {"b": 1, "a": {"x": [1, "y"]}, "": 2**80}, "head", "p", {"k": None}
    )
    payload = payload_of(document, "hash", {})
    assert document_of(payload) == document
    assert set(payload["names"]) == {"b", "a", "a_2ex", "_", "_24parent"}
    assert field_payload({"$parent": "no"}, None)["names"] == []


def test_a_coroutine_that_waits_has_no_answer_at_once() -> None:
    async def answer() -> int:
        return 7

    @types.coroutine
    def wait() -> Iterator[None]:
        yield

    async def waiting() -> None:
        await wait()

    assert finished(answer()) == 7
    with pytest.raises(RuntimeError, match="to be answered at once"):
        finished(waiting())


def test_the_same_id_is_the_same_point_for_good() -> None:
    assert point_id("a") == "79c1b145-ead4-5f18-b5b0-eaad137243ec"


def test_requests_stay_small_but_for_single_documents() -> None:
    tokens = [40_000, 10, 10, 400_000, 10]
    docs = [Document(str(n), "") for n in range(len(tokens))]
    views = Embeddings(
        multi_vector=MultiVectors(np.zeros((sum(tokens), 2)), np.cumsum([0, *tokens]))
    )
    assert [*batches(docs, views, most=REQUEST_BYTES)] == [(0, 3), (3, 4), (4, 5)]
    assert LOOP_BYTES < REQUEST_BYTES < 400_000 * 2 * 12
    many, small = [Document(str(n), "") for n in range(600)], Embeddings(dense=np.zeros((600, 2)))
    cut = [*batches(many, small, most=REQUEST_BYTES)]
    assert [stop - start for start, stop in cut] == [256, 256, 88]


def _long(tokens: int, dim: int) -> tuple[list[Document], Embeddings]:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((tokens + 1, dim)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    docs = [Document("short", ""), Document("long", "")]
    return docs, Embeddings(multi_vector=MultiVectors(vectors, [0, 1, tokens + 1]))


def test_too_many_token_vectors_are_pooled_or_cut_and_said() -> None:
    docs, views = _long(2_200, 512)
    with pytest.warns(UserWarning, match="1 documents have more token vectors than the 2047"):
        found = fitting(docs, views, oversized="pool").multi_vector
    assert found is not None
    assert views.multi_vector is not None
    np.testing.assert_array_equal(found[0], views.multi_vector[0])
    assert found[1].size <= MOST_NUMBERS
    with pytest.warns(UserWarning, match="2047 .* those of the beginning were kept"):
        window = fitting(docs, views, oversized="window").multi_vector
    assert window is not None
    np.testing.assert_array_equal(window.vectors, views.multi_vector.vectors[: 1 + 2047])
    with pytest.raises(ValueError, match="'long': cut it"):
        fitting(docs, views, oversized="refuse")


def test_numbers_that_no_half_float_has_are_refused() -> None:
    large: Any = Embeddings(multi_vector=MultiVectors(np.full((1, 2), 1e5), [0, 1]))
    with pytest.raises(ValueError, match="float16, which ends at 65504"):
        fitting([Document("a", "")], large, oversized="pool")


def test_a_plan_is_one_request_a_view_over_the_same_lists() -> None:
    plan = Plan({DENSE: 200, SPARSE: 50}, {DENSE: 1, SPARSE: 1, MULTI_VECTOR: 1})
    vectors = {DENSE: [1.0], SPARSE: models.SparseVector(indices=[1], values=[1]), MULTI_VECTOR: []}
    asking = Asking(plan, None, exact=False, shards=3)
    limits = asking.limits(1000)
    assert limits == {DENSE: 208, SPARSE: 58}
    requests = asking.requests(vectors, limits)
    assert [request.using for request in requests] == ["dense", "sparse", "multi_vector"]
    assert all(request.limit == 3 * (208 + 58) for request in requests)
    lists: Any = requests[2].prefetch
    assert [(one.using, one.limit) for one in lists] == [("dense", 208), ("sparse", 58)]
    assert lists[0].params.hnsw_ef == 4 * 208
    assert requests[0].prefetch == lists
    whole: Any = replace(asking, exact=True).requests(vectors, limits)[0].prefetch
    assert whole[0].params.exact


def test_what_cells_bring_is_compared_in_one_request_and_scored_in_the_others() -> None:
    plan = Plan(dict.fromkeys(Representation, 100), dict.fromkeys(Representation, 1), "rrf")
    tokens = np.eye(3, dtype=np.float32)
    vectors = {DENSE: [1.0], SPARSE: models.SparseVector(indices=[1], values=[1])}
    asking = Asking(plan, None, exact=False, shards=2, cells=Cells("k", tokens))
    limits = asking.limits(10_000)
    requests = asking.requests({**vectors, MULTI_VECTOR: tokens.tolist()}, limits)
    brought: Any = [[one.using for one in request.prefetch or []] for request in requests]
    assert [request.using for request in requests] == [
        *("multi_vector", "dense", "sparse", "multi_vector")
    ]
    late = ["cells", "multi_vector"]
    rest = ["dense", "sparse"]
    assert brought == [late, [*rest, *late], [*rest, *late], rest]
    assert [request.limit for request in requests] == [108, 2248, 2248, 648]
    assert [bool(request.with_payload) for request in requests] == [True, False, False, True]
    two = Plan({DENSE: 9, MULTI_VECTOR: 9}, {MULTI_VECTOR: 1})
    late_only = Plan({MULTI_VECTOR: 9}, {DENSE: 1})
    for other, count in ((two, 3), (late_only, 2)):
        some = replace(asking, plan=other)
        asked = some.requests({**vectors, MULTI_VECTOR: tokens.tolist()}, some.limits(10_000))
        assert len(asked) == count
    exact = replace(asking, exact=True)
    assert len(exact.requests({**vectors, MULTI_VECTOR: tokens.tolist()}, limits)) == 3


def test_a_list_that_ends_in_a_tie_is_not_settled() -> None:
    asking = Asking(Plan({DENSE: 2}, {DENSE: 1}), None, exact=False, shards=1)
    ids = {f"p{n}": f"d{9 - n}" for n in range(4)}
    tied = Found(ids, {DENSE: dict.fromkeys(ids, 0.5)})
    assert tied.unsettled(asking, {DENSE: 4}) == [DENSE]
    assert tied.unsettled(asking, {DENSE: 5}) == []
    assert tied.candidates(asking.plan).ids == ["d6", "d7"]
