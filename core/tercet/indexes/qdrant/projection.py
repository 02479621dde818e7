"""Projections: token vectors with fewer numbers, so that a server takes more of them a text.

The directions are those in which the first documents' token vectors differ most from zero; they
are found once and stand in the second collection. What is read back has its old length again, and
its scores are those of the server.
"""

import base64
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from qdrant_client import models

from tercet.embeddings import Embeddings, MultiVectors
from tercet.indexes.codebooks import SAMPLE
from tercet.indexes.qdrant.lines import Line
from tercet.indexes.qdrant.points import NAMESPACE

POINT = str(uuid.uuid5(NAMESPACE, "\0projection"))

Matrix = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """Directions at right angles.

    Attributes:
        directions: Of unit length, [E, kept].
    """

    directions: Matrix

    @classmethod
    def train(cls, tokens: MultiVectors, kept: int) -> Self:
        """The directions that keep most of some token vectors: their singular vectors."""
        sample = tokens.vectors[:SAMPLE].astype(np.float64)
        _, directions = np.linalg.eigh(sample.T @ sample)  # ascending
        return cls(directions[:, ::-1][:, :kept].astype(np.float32))

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any]) -> Self:
        """What `to_payload` wrote."""
        raw = np.frombuffer(base64.b64decode(payload["directions"]), dtype="<f4")
        return cls(raw.reshape(payload["shape"]).astype(np.float32))

    def to_payload(self) -> dict[str, Any]:
        """The directions as a payload."""
        raw = base64.b64encode(self.directions.astype("<f4").tobytes()).decode()
        return {"shape": list(self.directions.shape), "directions": raw}

    def shortened(self, embeddings: Embeddings) -> Embeddings:
        """Token vectors by their place along the directions: [tokens, E] -> [tokens, kept]."""
        return _turned(embeddings, self.directions)

    def restored(self, embeddings: Embeddings) -> Embeddings:
        """Token vectors of E numbers that have those places: [tokens, kept] -> [tokens, E]."""
        return _turned(embeddings, self.directions.T)


def _turned(embeddings: Embeddings, matrix: Matrix) -> Embeddings:
    tokens = embeddings.multi_vector
    if tokens is None:
        return embeddings
    return replace(embeddings, multi_vector=MultiVectors(tokens.vectors @ matrix, tokens.offsets))


class ProjectionStore:
    """The projection of a collection, in the one beside it."""

    def __init__(self, collection: str) -> None:
        self._about = f"{collection}__tercet"

    async def read(self, line: Line) -> Projection | None:
        """The projection; None where there is none yet."""
        found = await line.call(lambda client: client.retrieve(self._about, [POINT]))
        return Projection.from_payload(found[0].payload or {}) if found else None

    async def write(self, line: Line, projection: Projection) -> None:
        """Keep a projection."""
        point = models.PointStruct(id=POINT, vector={}, payload=projection.to_payload())
        await line.call(lambda client: client.upsert(self._about, [point], wait=True))
