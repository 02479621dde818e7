"""Make `tercet/mini`: `python models/mini/train.py --backbone PATH --data PATH --out PATH`.

The backbone is gte-small's folder, the data is the folder of pairs-multi. Nothing else is read.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from training_mini.backbone import Backbone, TokenStates, write_backbone
from training_mini.batches import Batches, Pool, sample_tokens
from training_mini.development import (
    HybridWeights,
    Views,
    choose_weights,
    hybrid,
    ndcg,
    score_views,
)
from training_mini.pairs import Pairs, read_pairs
from training_mini.pools import Encoded, encode_all, make_pools
from training_mini.shipping import check_dev_queries, write_heads
from training_mini.sparse_head import (
    SparseHead,
    SparseHeadRecipe,
    regress_rarity,
    train_sparse_head,
)
from training_mini.token_head import TokenHeadRecipe, train_token_head

SEED = 0
DEV_QUERIES = Path(__file__).with_name("dev_queries.txt")


def main() -> None:
    """Train the heads, choose the weights and write the model's folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", type=Path, required=True, help="the folder of gte-small")
    parser.add_argument("--data", type=Path, required=True, help="the folder of pairs-multi")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write")
    parser.add_argument("--states", type=Path, help="keeps the token states between runs")
    arguments = parser.parse_args()
    pairs = read_pairs(arguments.data)
    check_dev_queries(DEV_QUERIES, pairs.dev)
    write_backbone(arguments.backbone, arguments.out)
    encoded = encode_all(pairs, Backbone(arguments.out), kept=arguments.states, seed=SEED)
    pools = make_pools(pairs, encoded)
    weights = choose_across_sources(pairs, encoded, pools)
    head, projection = train_heads([pool for pair in pools.values() for pool in pair])
    write_heads(arguments.out, head=head, projection=projection, weights=weights)
    views = score_views(encoded.dev, encoded.documents, head=head, projection=projection)
    report("both sources", views, relevance(pairs, source=None), weights)


def train_heads(pools: list[Pool]) -> tuple[SparseHead, torch.Tensor]:
    """Train the sparse head and the projection on some kinds of text."""
    torch.manual_seed(SEED)
    batches = Batches(pools, seed=SEED)
    head = train_sparse_head(batches, regress_rarity(pools), SparseHeadRecipe())
    sample = sample_tokens(pools, seed=SEED)
    return head, train_token_head(batches, sample, TokenHeadRecipe())


def choose_across_sources(
    pairs: Pairs, encoded: Encoded, pools: dict[str, tuple[Pool, Pool]]
) -> HybridWeights:
    """Choose the hybrid weights as a user meets them: on text of a kind not trained on.

    The development queries of each source are scored with heads trained on the other sources,
    and each source counts alike.
    """
    judged: dict[str, tuple[Views, NDArray[np.bool_]]] = {}
    for source in pools:
        others = [pool for name, pair in pools.items() if name != source for pool in pair]
        head, projection = train_heads(others)
        rows = [row for row, pair in enumerate(pairs.dev) if pair.source == source]
        queries: TokenStates = encoded.dev.take(rows)
        views = score_views(queries, encoded.documents, head=head, projection=projection)
        judged[source] = (views, relevance(pairs, source=source))
    weights = choose_weights(list(judged.values()))
    for source, (views, relevant) in judged.items():
        report(f"{source}, trained without it", views, relevant, weights)
    return weights


def relevance(pairs: Pairs, *, source: str | None) -> NDArray[np.bool_]:
    """Mark the documents that answer the development queries, [N queries, N documents]."""
    chosen = [pair for pair in pairs.dev if source in {None, pair.source}]
    place = {doc_id: row for row, doc_id in enumerate(pairs.documents)}
    marks = np.zeros((len(chosen), len(place)), dtype=np.bool_)
    for row, pair in enumerate(chosen):
        marks[row, [place[doc_id] for doc_id in pair.positives]] = True
    return marks


def report(name: str, views: Views, relevant: NDArray[np.bool_], weights: HybridWeights) -> None:
    """Print nDCG@10 of the views and of their sum."""
    figures = {
        "dense": views.dense,
        "sparse": views.sparse,
        "multi_vector": views.multi_vector,
        "hybrid": hybrid(views, weights),
    }
    print(f"{name}: {len(relevant)} development queries, nDCG@10, {weights}")
    for view, scores in figures.items():
        print(f"  {view:12} {ndcg(scores, relevant):.4f}", flush=True)


if __name__ == "__main__":
    main()
