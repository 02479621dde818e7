"""Every text that training and development read, encoded once and sorted into kinds."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from training_mini.backbone import Backbone, TokenStates
from training_mini.batches import Pool
from training_mini.development import Judged
from training_mini.pairs import Pairs, is_dev
from training_mini.science import ABSTRACTS, ARTICLES, Science

QUERY_TOKENS = 64
DOCUMENT_TOKENS = 320
PASSAGE_TOKENS = 224
ASKED = 400  # questions about held-out abstracts


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token states of everything."""

    queries: TokenStates
    dev: TokenStates
    documents: TokenStates
    questions: TokenStates
    passages: TokenStates


def encode_all(pairs: Pairs, science: Science, backbone: Backbone, *, kept: Path | None) -> Encoded:
    """Encode every text once, or load what an earlier run has kept in a folder."""

    def encode(name: str, texts: Sequence[str], tokens: int) -> TokenStates:
        path = kept / f"{name}.pt" if kept else None
        if path and path.exists():
            return TokenStates(**torch.load(path, weights_only=True))
        states = backbone.encode(texts, tokens=tokens)
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            fields = ("lower", "upper", "ids", "offsets")
            torch.save({field: getattr(states, field) for field in fields}, path)
        print(f"encoded {name}: {len(states)} texts, {len(states.ids)} tokens", flush=True)
        return states

    return Encoded(
        encode("queries", [pair.query for pair in pairs.train], QUERY_TOKENS),
        encode("dev", [pair.query for pair in pairs.dev], QUERY_TOKENS),
        encode("documents", list(pairs.documents.values()), DOCUMENT_TOKENS),
        encode("questions", science.queries, QUERY_TOKENS),
        encode("passages", list(science.documents.values()), PASSAGE_TOKENS),
    )


def make_pools(pairs: Pairs, science: Science, encoded: Encoded) -> list[Pool]:
    """Make a pool of each kind of text, without what development asks about."""
    place = {doc_id: row for row, doc_id in enumerate(pairs.documents)}
    pools: list[Pool] = []
    for source in sorted({pair.source for pair in pairs.train}):
        rows = [row for row, pair in enumerate(pairs.train) if pair.source == source]
        pools.append(
            Pool(
                encoded.queries,
                encoded.documents,
                rows=rows,
                positives=[place[pairs.train[row].positives[0]] for row in rows],
                candidates=[
                    place[doc_id]
                    for doc_id, text in pairs.documents.items()
                    if doc_id.startswith(f"{source}-") and not is_dev(text)
                ],
            )
        )
    spot = {doc_id: row for row, doc_id in enumerate(science.documents)}
    for source in (*ARTICLES, ABSTRACTS):
        seen = {
            doc_id
            for doc_id in science.documents
            if doc_id.startswith(f"{source}-") and doc_id not in science.held_out
        }
        rows = [row for row, answer in enumerate(science.answers) if answer in seen]
        pools.append(
            Pool(
                encoded.questions,
                encoded.passages,
                rows=rows,
                positives=[spot[science.answers[row]] for row in rows],
                candidates=[spot[doc_id] for doc_id in science.documents if doc_id in seen],
            )
        )
    return pools


def make_judged(pairs: Pairs, science: Science, encoded: Encoded) -> dict[str, Judged]:
    """Make the development sets: the queries of each source, and held-out abstracts."""
    place = {doc_id: row for row, doc_id in enumerate(pairs.documents)}
    judged: dict[str, Judged] = {}
    for source in sorted({pair.source for pair in pairs.dev}):
        rows = [row for row, pair in enumerate(pairs.dev) if pair.source == source]
        relevant = np.zeros((len(rows), len(place)), dtype=np.bool_)
        for number, row in enumerate(rows):
            relevant[number, [place[doc_id] for doc_id in pairs.dev[row].positives]] = True
        judged[source] = Judged(
            encoded.dev, rows, encoded.documents, list(range(len(place))), relevant
        )
    spot = {doc_id: row for row, doc_id in enumerate(science.documents)}
    held = sorted(spot[doc_id] for doc_id in science.held_out)
    column = {row: number for number, row in enumerate(held)}
    first = {
        answer: row
        for row, answer in reversed(list(enumerate(science.answers)))
        if answer in science.held_out
    }
    asked = sorted(first.values())[:ASKED]
    relevant = np.zeros((len(asked), len(held)), dtype=np.bool_)
    for number, row in enumerate(asked):
        relevant[number, column[spot[science.answers[row]]]] = True
    judged[ABSTRACTS] = Judged(encoded.questions, asked, encoded.passages, held, relevant)
    return judged
