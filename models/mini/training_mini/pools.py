"""The kinds of text that training draws from: each source, as it is and in invented words."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training_mini.backbone import Backbone, TokenStates
from training_mini.batches import Pool
from training_mini.pairs import Pairs, is_dev
from training_mini.worlds import Vocabulary, Worlds, invent_worlds

WORLDS = 75  # of each source


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token states of everything, and the invented worlds of each source."""

    queries: TokenStates
    dev: TokenStates
    documents: TokenStates
    worlds: dict[str, tuple[Worlds, TokenStates, TokenStates]]


def encode_all(pairs: Pairs, backbone: Backbone, *, kept: Path | None, seed: int) -> Encoded:
    """Encode every text once, or load what an earlier run has kept in a folder."""

    def encode(name: str, ids: list[list[int]]) -> TokenStates:
        path = kept / f"{name}.npz" if kept else None
        if path and path.exists():
            return TokenStates(**np.load(path))
        states = backbone.encode(ids)
        if path:
            states.save(path)
        print(f"encoded {name}: {len(ids)} texts, {len(states.ids)} tokens", flush=True)
        return states

    queries = backbone.tokenize([pair.query for pair in pairs.train])
    documents = backbone.tokenize(list(pairs.documents.values()))
    seen = {
        doc_id: ids
        for (doc_id, text), ids in zip(pairs.documents.items(), documents, strict=True)
        if not is_dev(text)
    }
    vocabulary = Vocabulary(backbone.tokenizer.get_vocab(), list(seen.values()))
    random = np.random.default_rng(seed)
    worlds: dict[str, tuple[Worlds, TokenStates, TokenStates]] = {}
    for source in sorted({pair.source for pair in pairs.train}):
        rows = [row for row, pair in enumerate(pairs.train) if pair.source == source]
        invented = invent_worlds(
            [pairs.train[row] for row in rows],
            queries=[queries[row] for row in rows],
            documents=seen,
            vocabulary=vocabulary,
            count=WORLDS,
            random=random,
        )
        worlds[source] = (
            invented,
            encode(f"{source} worlds, queries", invented.queries),
            encode(f"{source} worlds, documents", invented.documents),
        )
    return Encoded(
        encode("queries", queries),
        encode("dev", backbone.tokenize([pair.query for pair in pairs.dev])),
        encode("documents", documents),
        worlds,
    )


def make_pools(pairs: Pairs, encoded: Encoded) -> dict[str, tuple[Pool, Pool]]:
    """Make two pools of each source: its own words and invented ones."""
    place = {doc_id: row for row, doc_id in enumerate(pairs.documents)}
    pools: dict[str, tuple[Pool, Pool]] = {}
    for source, (worlds, queries, documents) in encoded.worlds.items():
        rows = [row for row, pair in enumerate(pairs.train) if pair.source == source]
        seen = [
            place[doc_id]
            for doc_id, text in pairs.documents.items()
            if doc_id.startswith(f"{source}-") and not is_dev(text)
        ]
        pools[source] = (
            Pool(
                encoded.queries.take(rows),
                encoded.documents,
                positives=np.array([place[pairs.train[row].positives[0]] for row in rows]),
                candidates=np.array(seen),
            ),
            Pool(
                queries,
                documents,
                positives=np.array(worlds.positives),
                candidates=np.arange(len(documents)),
            ),
        )
    return pools
