"""The look at a collection that `Index` takes: each answer comes at once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from qdrant_client import models

from tercet.documents import Document
from tercet.embeddings import Embeddings, Representation
from tercet.filters import Expression
from tercet.fusion import Candidates
from tercet.indexes.qdrant.lines import finished
from tercet.indexes.qdrant.search import Place, Search
from tercet.plans import Plan


@dataclass(frozen=True, slots=True)
class QdrantReader:
    """What others write meanwhile may be in it or not.

    Attributes:
        search: Over a line that answers at once.
    """

    search: Search

    def collect(
        self, queries: Embeddings, plan: Plan, *, filter: Expression | None, exact: bool
    ) -> list[Candidates]:
        """The union of the plan's candidate lists for each query, scored in all its views."""
        return finished(self.search.collect(queries, plan, filter=filter, exact=exact))

    def score(
        self, queries: Embeddings, views: Sequence[Representation], ids: Sequence[str]
    ) -> dict[Representation, NDArray[np.float32]]:
        """Exact scores of given documents, [M, N] a view."""
        return finished(self.search.score(queries, views, ids))

    def documents(self, ids: Sequence[str]) -> dict[str, Document]:
        """The documents found, by id."""
        return finished(self.search.documents(ids))

    def count(self, condition: models.Filter | None) -> int:
        """How many points pass."""
        return finished(self.search.count(condition))

    def condition(self, expression: Expression | None) -> models.Filter | None:
        """The filter of a server; warns of fields that no document has."""
        return finished(self.search.condition(expression))

    def pages(
        self, condition: models.Filter | None, *, payload: Sequence[str], vectors: bool = False
    ) -> Iterator[list[models.Record]]:
        """The points that pass, page by page."""
        after: Place = None
        while True:
            page, after = finished(
                self.search.page(condition, after, payload=payload, vectors=vectors)
            )
            if page:
                yield page
            if after is None:
                return
