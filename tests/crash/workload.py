"""What the writer of the crash tests does, and what an index must then hold.

A script is a list of steps, each one commit at most, with the documents that the index holds after
it. Whatever happens to a writer, an index holds what it held after one of the steps: the last that
was acknowledged, or the one after it.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tercet.documents import Document
from tercet.indexes.base import Index
from tercet.indexes.local.index import LocalIndex
from tercet.testing import HashEncoder

ENCODER = HashEncoder(dense_dim=8, multi_vector_dim=4)
GROUPS = 3

State = dict[str, str]
"""Text of each document by its id."""


@dataclass(frozen=True)
class Step:
    """One call of an index, and the documents after it."""

    run: Callable[[Index], object]
    after: State


def script(state: State, *, seed: int, length: int) -> list[Step]:
    """Steps from a state on; equal seeds give equal scripts."""
    rng = random.Random(seed)
    steps = []
    for number in range(length):
        step = rng.choices([_add, _replace, _delete, _delete_where, _compact, _clear], WEIGHTS)[0]
        steps.append(step(state, rng, f"{seed}-{number}"))
        state = steps[-1].after
    return steps


WEIGHTS = [10, 4, 3, 2, 3, 0.3]


def open_index(path: Path, *, read_only: bool | None = None) -> LocalIndex:
    """The index of a folder; created where there is none."""
    spec = None if read_only else ENCODER.spec
    index = Index.open(path, spec=spec, read_only=read_only)
    assert isinstance(index, LocalIndex)
    return index


def held(index: LocalIndex) -> State:
    """The documents of an index in one look, each with the vectors of its own text."""
    found: State = {}
    for documents, views in index.scan():
        texts = [document.text for document in documents]
        np.testing.assert_array_equal(views.dense, ENCODER.encode_documents(texts).dense)
        found |= {document.id: document.text for document in documents}
    return found


def verify(path: Path, allowed: Sequence[State]) -> State:
    """What an index holds after a crash: one of these states, undamaged, and open to writers."""
    with open_index(path) as index:
        assert index.check().damage == ()
        found = held(index)
        assert found in allowed, f"{sorted(found)} is none of {[sorted(s) for s in allowed]}"
        hits = index.search(ENCODER.encode_queries(["cat"]), k=10_000, plan="dense")[0]
        assert {hit.document.id: hit.document.text for hit in hits} == found
        for group in range(GROUPS):
            assert set(index.ids({"group": group})) == {i for i in found if _group(i) == group}
        return found


def _group(id_: str) -> int:
    return sum(id_.encode()) % GROUPS


def _writes(texts: State) -> Callable[[Index], object]:
    documents = [Document(i, text, {"group": _group(i)}) for i, text in texts.items()]
    return lambda index: index.add(documents, ENCODER.encode_documents(list(texts.values())))


def _add(state: State, rng: random.Random, name: str) -> Step:
    texts = {f"{name}-{n}": f"cat {name} {n}" for n in range(rng.randint(1, 4))}
    return Step(_writes(texts), state | texts)


def _replace(state: State, rng: random.Random, name: str) -> Step:
    old = rng.sample(sorted(state), min(2, len(state)))
    texts = {i: f"dog {name} {i}" for i in [*old, f"{name}-new"]}
    return Step(_writes(texts), state | texts)


def _delete(state: State, rng: random.Random, name: str) -> Step:
    gone = rng.sample(sorted(state), min(2, len(state)))
    after = {i: text for i, text in state.items() if i not in gone}
    return Step(lambda index: index.delete(gone), after)


def _delete_where(state: State, rng: random.Random, name: str) -> Step:
    group = rng.randrange(GROUPS)
    after = {i: text for i, text in state.items() if _group(i) != group}
    return Step(lambda index: index.delete_where({"group": group}), after)


def _compact(state: State, rng: random.Random, name: str) -> Step:
    return Step(lambda index: index.compact(), state)


def _clear(state: State, rng: random.Random, name: str) -> Step:
    return Step(lambda index: index.clear(), {})
