"""Filters in SQL, with `filtering.matches` as the oracle."""

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tercet.documents import Document
from tercet.embeddings import Embeddings, EncoderSpec, Representation
from tercet.filtering import matches
from tercet.filters import And, Comparison, Expression, F, Not, Operator, Or, parse_filter
from tercet.indexes.base import Index
from tercet.indexes.local.files.fields import ALL_BOUND

SPEC = EncoderSpec(
    family="own",
    representations=(Representation.DENSE,),
    model_id="m",
    document_id="d",
    dense_dim=1,
)
INJECTION = "x' OR 1=1; DROP TABLE documents; --"
EDGES = [2**53, 2**53 + 1, float(2**53), 2**63, -(2**63), 2**63 - 1, -(2**63) - 1, 2**64, 2**2000]
EDGES += [-(2**64), -(2**2000), 1e300, -1e300, float(2**63), float(2**64), 5e-324, 0.1, -0.0, 0]
EDGES += [1, 1.0, -1, 10**18, 1e18]

NUMBERS = st.one_of(st.sampled_from(EDGES), st.floats(allow_nan=False, allow_infinity=False))
STRINGS = st.one_of(
    st.sampled_from(
        ["", "a", "A", "aß", "ASS", "ss", "ı", "İ", "\0", "a\0b", "é", "😀", INJECTION]
    ),
    st.text(max_size=4),
)
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, STRINGS)
NAMES = st.sampled_from(["f", "g", "n.f", "'; --", '"', "ключ"])
VALUES = st.one_of(
    SCALARS,
    st.lists(st.one_of(SCALARS, st.lists(SCALARS, max_size=1)), max_size=3),
    st.dictionaries(st.sampled_from(["f", "g"]), SCALARS, max_size=2),
)
METADATA = st.dictionaries(st.sampled_from(["f", "g", "n", "n.f", "'; --", '"', "ключ"]), VALUES)


def comparisons() -> st.SearchStrategy[Expression]:
    ordered = st.one_of(NUMBERS, STRINGS)
    return st.one_of(
        st.builds(Comparison, NAMES, st.sampled_from([Operator.EQ, Operator.CONTAINS]), SCALARS),
        st.builds(
            Comparison,
            NAMES,
            st.sampled_from([Operator.LT, Operator.LTE, Operator.GT, Operator.GTE]),
            ordered,
        ),
        st.builds(Comparison, NAMES, st.just(Operator.IN), st.lists(SCALARS).map(tuple)),
        st.builds(Comparison, NAMES, st.just(Operator.MATCH), STRINGS),
        st.builds(Comparison, NAMES, st.just(Operator.EXISTS), st.just(True)),
    )


EXPRESSIONS = st.recursive(
    comparisons(),
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(And, st.lists(inner, max_size=3).map(tuple)),
        st.builds(Or, st.lists(inner, max_size=3).map(tuple)),
    ),
    max_leaves=6,
)


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    with Index.open(tmp_path / "index", spec=SPEC) as opened:
        yield opened


def put(index: Index, *rows: Mapping[str, Any]) -> list[Document]:
    docs = [Document(f"{n:04d}", "", row) for n, row in enumerate(rows)]
    index.add(docs, Embeddings(dense=np.ones((len(docs), 1))))
    return docs


def agrees(index: Index, docs: list[Document], expression: Expression) -> None:
    expected = [d.id for d in docs if matches(expression, d.metadata, parent=d.parent)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of fields that no document has
        assert index.ids(expression) == expected


@settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(rows=st.lists(METADATA, min_size=1, max_size=5), expression=EXPRESSIONS)
def test_sql_finds_what_the_plain_reading_finds(index: Index, rows: Any, expression: Any) -> None:
    index.clear()
    agrees(index, put(index, *rows), expression)


def test_every_number_compares_with_every_other_as_in_python(index: Index) -> None:
    docs = put(index, *({"f": value} for value in EDGES))
    for value in EDGES:
        for operator in ("$eq", "$lt", "$lte", "$gt", "$gte", "$ne", "$in"):
            given = {"f": {operator: [value] if operator == "$in" else value}}
            expression = parse_filter(given)
            assert expression is not None
            agrees(index, docs, expression)


def test_types_never_mix(index: Index) -> None:
    docs = put(index, *({"f": v} for v in (1, True, "1", None, [1], {"g": 1}, 1.5, "true", 0)))
    for value in (1, True, "1", None, 0, False, "true"):
        agrees(index, docs, F("f") == value)
        agrees(index, docs, F("f").contains(value))
        agrees(index, docs, ~(F("f") == value))


def test_values_are_bound_and_never_run(index: Index) -> None:
    docs = put(index, {"f": INJECTION, INJECTION: 1}, {"f": "x"})
    assert index.ids({"f": INJECTION}) == ["0000"]
    assert index.ids({INJECTION: 1}) == ["0000"]
    assert index.ids({"f": {"$match": "' OR 1=1"}}) == ["0000"]
    assert index.delete_where({"f": [INJECTION]}) == 1
    assert index.get(["0001"]) == [docs[1]]


def test_long_lists_of_values_are_looked_up(index: Index) -> None:
    docs = put(index, *({"f": v} for v in ("v7", 7, 0.1, "a\0b", 2**70, None, "v9999")))
    many = [f"v{n}" for n in range(2 * ALL_BOUND)] + list(range(2 * ALL_BOUND))
    agrees(index, docs, F("f").is_in([*many, "a\0b", 2**70, 0.1]))
    agrees(index, docs, ~F("f").is_in([*many, None]))
    floats = [n / 10 for n in range(2 * ALL_BOUND)]
    agrees(index, docs, F("f").is_in(floats))


def test_long_chains_are_fine_and_deep_nests_are_refused(index: Index) -> None:
    docs = put(index, {"f": 7}, {"f": 3000})
    chain: Expression = F("f") == 0
    for n in range(1, 2500):
        chain = chain | (F("f") == n)
    agrees(index, docs, chain)
    nest: Expression = F("f") == 7
    for _ in range(33):
        nest = ~((nest & (F("f") == 7)) | (F("f") == 1))
    agrees(index, docs, nest)
    for _ in range(2000):
        nest = ~nest
    with pytest.raises(ValueError, match="nested more than 100 deep"):
        index.ids(nest)


def test_the_name_of_a_field_is_cleaned_as_that_of_a_document(index: Index) -> None:
    with pytest.warns(UserWarning, match="1 documents have lone surrogates"):
        put(index, {"f\ud800": 1}, {"g": 1})
    assert index.ids({"f\ud800": 1}) == ["0000"]
    with pytest.warns(UserWarning, match="which no document") as said:
        assert index.ids({"\udfff": {"$exists": True}}) == []
    assert said[0].filename == __file__  # where the library is called


BOUNDS = st.builds(
    Comparison,
    st.sampled_from(["f", "g"]),
    st.sampled_from([Operator.LT, Operator.LTE, Operator.GT, Operator.GTE]),
    st.one_of(st.integers(0, 4), st.sampled_from(["a", "b", 2**70, -(2**70)])),
)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(parts=st.lists(BOUNDS, max_size=6).map(tuple))
def test_any_bounds_together_are_a_conjunction(index: Index, parts: Any) -> None:
    values = (0, 1, 2.5, 3, "a", "b", 2**70, -(2**70), True, [1], None)
    rows = [{"f": f, "g": g} for f in values for g in (1, "b")]
    docs = [Document(f"{n:04d}", "", row) for n, row in enumerate(rows)]
    if not len(index):
        index.add(docs, Embeddings(dense=np.ones((len(docs), 1))))
    agrees(index, docs, And(parts))


INDEXED = [
    {"f": 1},
    {"f": "x"},
    {"f": True},
    {"f": None},
    {"f": [1, 2, "x"]},
    {"f": list(range(2 * ALL_BOUND))},
    {"f": {"$gt": 1}},
    {"f": {"$gte": 1, "$lt": 9}},
    {"f": {"$lte": "x"}},
    {"f": {"$contains": 1}},
    {"f": {"$exists": True}},
    {"$not": {"$or": [{"f": 1}, {"f": {"$ne": 2}}]}},
]


@pytest.mark.parametrize("given", INDEXED, ids=lambda given: str(given)[:40])
def test_a_filter_searches_the_key_of_its_table_and_scans_none(index: Index, given: Any) -> None:
    put(index, *({"f": n, "g": [n]} for n in range(20)))
    said: list[str] = []
    with index.reading() as reader:
        connection = reader.connection  # type: ignore[attr-defined]
        connection.set_trace_callback(said.append)
        reader.select(parse_filter(given))  # type: ignore[attr-defined]
        connection.set_trace_callback(None)
        plans = {
            sql: " ".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}"))
            for sql in said
        }
    searches = [plan for sql, plan in plans.items() if "group_concat" in sql]
    assert searches
    assert all("SEARCH fields USING PRIMARY KEY (name=?" in plan for plan in searches), plans
    assert not any("SCAN fields" in plan for plan in plans.values()), plans
    kept = [sql for sql, plan in plans.items() if "SCAN documents" in plan]
    assert all(sql.endswith("LIMIT 1") for sql in kept), kept


def test_both_ends_of_a_range_are_one_search(index: Index) -> None:
    put(index, *({"f": n} for n in range(9)))
    given = parse_filter({"f": {"$gte": 2, "$lt": 4}, "$and": [{"f": {"$gt": 2}}]})
    with index.reading() as reader:
        rows = reader.select(given)  # type: ignore[attr-defined]
        asked = list(reader.snapshot.passing)  # type: ignore[attr-defined]
    assert rows.tolist() == [3]
    assert next(query.where for (query, *_) in asked).endswith("value >= ? AND value < ?")


def test_a_comparison_is_asked_once_a_generation(index: Index) -> None:
    put(index, *({"f": n % 2} for n in range(9)))
    for _ in range(2):
        assert len(index.ids({"f": 1})) == 4
        with index.reading() as reader:
            snapshot = reader.snapshot  # type: ignore[attr-defined]
            assert len(snapshot.passing) == 1
    put(index, {"f": 1})
    assert len(index.ids({"f": 1})) == 5
    for n in range(100):
        index.ids({"f": [n, 1]})
    with index.reading() as reader:
        assert len(reader.snapshot.passing) <= 64  # type: ignore[attr-defined]


def test_what_is_no_expression_is_refused(index: Index) -> None:
    put(index, {"f": 7})
    with pytest.raises(TypeError, match="is no filter"):
        index.ids(And(("f",)))  # type: ignore[arg-type]
