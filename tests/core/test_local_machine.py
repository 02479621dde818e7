"""The embedded index against a dictionary, through any sequence of operations."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tercet.documents import Document
from tercet.filtering import matches
from tercet.filters import parse_filter
from tercet.indexes.base import Index
from tercet.indexes.local.index import LocalIndex
from tercet.testing import HashEncoder

ENCODER = HashEncoder(dense_dim=6, multi_vector_dim=4)
NAMES = [f"d{n}" for n in range(12)]
WORDS = ["cat", "dog", "sun", "moon"]
TEXTS = st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(" ".join)
METADATA = st.fixed_dictionaries({"n": st.integers(0, 3)}, optional={"lang": st.just("de")})
DOCUMENTS = st.lists(
    st.builds(Document, st.sampled_from(NAMES), TEXTS, METADATA), min_size=1, max_size=5
)
FILTERS: st.SearchStrategy[Any] = st.one_of(
    st.fixed_dictionaries({"n": st.integers(0, 3)}),
    st.just({"n": {"$gte": 2}}),
    st.just({"$not": {"n": [0, 1, 3]}}),
    st.just({"n": {"$exists": True}, "$or": [{"n": 0}, {"n": {"$lt": 2}}]}),
)


class IndexMachine(RuleBasedStateMachine):
    """An index, and what it must hold."""

    @initialize()
    def create(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.index = self.opened(self.folder / "index")
        self.model: dict[str, Document] = {}
        self.copies = 0

    def opened(self, path: Path) -> LocalIndex:
        index = Index.open(path, spec=ENCODER.spec)
        assert isinstance(index, LocalIndex)
        return index

    @rule(documents=DOCUMENTS)
    def add(self, documents: list[Document]) -> None:
        last = {document.id: document for document in documents}
        new = [d for d in last.values() if self.model.get(d.id) != d]
        replaced = [d for d in new if d.id in self.model]
        report = self.index.add(documents, ENCODER.encode_documents([d.text for d in documents]))
        assert (report.committed, report.replaced) == (len(new), len(replaced))
        assert report.skipped == len(last) - len(new)
        self.model |= last

    @rule(ids=st.lists(st.sampled_from(NAMES), max_size=4))
    def delete(self, ids: list[str]) -> None:
        there = {i for i in ids if i in self.model}
        assert self.index.delete(ids) == len(there)
        self.model = {i: d for i, d in self.model.items() if i not in there}

    @rule(given=FILTERS)
    def delete_where(self, given: Any) -> None:
        gone = self.passing(given)
        assert self.index.delete_where(given) == len(gone)
        self.model = {i: d for i, d in self.model.items() if i not in gone}

    @rule()
    def clear(self) -> None:
        self.index.clear()
        self.model = {}

    @rule()
    def compact(self) -> None:
        self.index.compact()
        assert self.index.stats().tombstones == 0

    @rule()
    def reopen(self) -> None:
        self.index.close()
        self.index = self.opened(self.folder / "index")

    @rule()
    def go_on_in_a_backup(self) -> None:
        self.copies += 1
        self.index.backup(self.folder / f"copy{self.copies}")
        self.index.close()
        shutil.rmtree(self.folder / "index")
        (self.folder / f"copy{self.copies}").rename(self.folder / "index")
        self.index = self.opened(self.folder / "index")

    @rule(text=TEXTS, given=st.one_of(st.none(), FILTERS), plan=st.sampled_from(["dense", "rrf"]))
    def search(self, text: str, given: Any, plan: str) -> None:
        query = ENCODER.encode_queries([text])
        allowed = set(self.model) if given is None else self.passing(given)
        hits = self.index.search(query, k=20, plan=plan, filter=given, exact=True)[0]
        assert {hit.document.id for hit in hits} == allowed
        assert all(hit.document == self.model[hit.document.id] for hit in hits)
        if plan == "dense":
            texts = [hit.document.text for hit in hits]
            views = ENCODER.encode_documents(texts)
            scores = [] if not hits else (views.dense @ query.dense[0]).tolist()
            np.testing.assert_allclose([hit.score for hit in hits], scores, atol=1e-5)
            assert scores == sorted(scores, reverse=True) or np.allclose(
                scores, sorted(scores, reverse=True), atol=1e-5
            )

    @invariant()
    def it_holds_what_it_must(self) -> None:
        if hasattr(self, "model"):
            assert self.index.ids() == sorted(self.model)
            assert len(self.index) == len(self.model)
            stored = self.index.get(sorted(self.model))
            assert stored == [self.model[i] for i in sorted(self.model)]

    def passing(self, given: Any) -> set[str]:
        expression = parse_filter(given)
        assert expression is not None
        return {i for i, d in self.model.items() if matches(expression, d.metadata)}

    def teardown(self) -> None:
        if hasattr(self, "index"):
            assert self.index.check().damage == ()
            self.index.close()
            shutil.rmtree(self.folder)


TestIndexMachine = IndexMachine.TestCase
TestIndexMachine.settings = settings(
    max_examples=15,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
