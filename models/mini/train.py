"""Make `tercet/mini`: `python models/mini/train.py --backbone … --data … --science … --out …`.

The backbone is gte-small's folder, the data is the folder of pairs-multi, science is a folder of
checkouts of the repositories that `DATA_LICENSES.md` names. Nothing else is read.
"""

import argparse
from pathlib import Path

import torch

from training_mini.backbone import Backbone, write_settings
from training_mini.batches import Batches, Pool
from training_mini.collections import encode_all, make_judged, make_pools
from training_mini.development import (
    HybridWeights,
    Judged,
    choose_weights,
    hybrid,
    ndcg,
    score_views,
)
from training_mini.objective import Objective, Recipe
from training_mini.pairs import read_pairs
from training_mini.schedule import cosine
from training_mini.science import read_science
from training_mini.shipping import check_dev_queries, write_model
from training_mini.sparse_start import regress_rarity
from training_mini.student import Student, main_directions

SEED = 0
DEV_QUERIES = Path(__file__).with_name("dev_queries.txt")
SHOWN = 25  # steps


def main() -> None:
    """Train the upper layers and the heads, choose the weights and write the model's folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", type=Path, required=True, help="the folder of gte-small")
    parser.add_argument("--data", type=Path, required=True, help="the folder of pairs-multi")
    parser.add_argument("--science", type=Path, required=True, help="the folder of checkouts")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write")
    parser.add_argument("--states", type=Path, help="keeps the token states between runs")
    arguments = parser.parse_args()
    torch.manual_seed(SEED)
    pairs = read_pairs(arguments.data)
    check_dev_queries(DEV_QUERIES, pairs.dev)
    science = read_science(arguments.science, seed=SEED)
    backbone = Backbone(arguments.backbone)
    encoded = encode_all(pairs, science, backbone, kept=arguments.states)
    student = Student(backbone.exact())
    train(student, make_pools(pairs, science, encoded), Recipe())
    weights = judge(student, make_judged(pairs, science, encoded))
    write_settings(arguments.backbone, arguments.out)
    write_model(arguments.out, backbone.weights, student, weights)


def train(student: Student, pools: list[Pool], recipe: Recipe) -> None:
    """Train the student in place."""
    batches = Batches(pools, recipe.queries, seed=SEED)
    objective = Objective(recipe)
    weight, bias = regress_rarity(pools)
    with torch.no_grad():
        student.tokens.weight.copy_(main_directions(batches.sample_tokens()))
        student.sparse.weight.copy_(weight)
        student.sparse.bias.copy_(bias)
    heads = [*student.sparse.parameters(), *student.tokens.parameters(), objective.sharpness]
    optimiser = torch.optim.AdamW(
        [
            {"params": list(student.layers.parameters()), "lr": recipe.learning_rate},
            {"params": heads, "lr": recipe.head_learning_rate, "weight_decay": 0.0},
        ]
    )
    schedule = cosine(optimiser, steps=recipe.steps)
    for step in range(recipe.steps):
        loss = objective(student, batches.draw())
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(student.parameters(), recipe.clip)
        optimiser.step()
        schedule.step()
        if step % SHOWN == 0:
            print(f"step {step}: loss {loss.item():.4f}", flush=True)


def judge(student: Student, judged: dict[str, Judged]) -> HybridWeights:
    """Choose the hybrid weights, every source counting alike, and print what each view reaches."""
    views = {name: score_views(student, queries) for name, queries in judged.items()}
    weights = choose_weights([(views[name], judged[name].relevant) for name in judged])
    for name, found in views.items():
        figures = {
            "dense": found.dense,
            "sparse": found.sparse,
            "multi_vector": found.multi_vector,
            "hybrid": hybrid(found, weights),
        }
        print(f"{name}: {len(judged[name].rows)} development queries, nDCG@10, {weights}")
        for view, scores in figures.items():
            print(f"  {view:12} {ndcg(scores, judged[name].relevant):.4f}", flush=True)
    return weights


if __name__ == "__main__":
    main()
