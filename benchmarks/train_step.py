"""A training step beside FlagEmbedding's and PyLate's: bar T1 of the README's table.

    python benchmarks/train_step.py --flagembedding FE/bin/python --pylate PL/bin/python

Random checkpoints; the same batch of texts, of one length and of mixed lengths; AdamW in all. The
peers run their own models, collators and losses. With the default sizes some ten minutes on two
idle cores; `--layers 2 --hidden 128 --queries 2 --longest 600 --rounds 1` tries it in one.

FlagEmbedding writes out a row of the vocabulary for each token of a pass: with XLM-R's own,
`--vocabulary 250002`, that is a few MB a token. The small default favours it.

FlagEmbedding appears twice where documents have one length: the batch at once, and in sub-batches
(its own option). With mixed lengths that option fails: 1.4.2 joins token vectors of sub-batches
that were padded to different lengths. The batch at once needs memory for every document at the
length of the longest (`--queries 4 --longest 800` stays under 7 GB).
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from encode import SEED, lognormal_lengths, one_token_word
from harness import System, compare, report
from tokenizers import Tokenizer

from tercet.testing.checkpoints import write_bge_m3, write_pylate

SCRIPT = Path(__file__).with_name("train_worker.py")
QUERY = 24
"""Tokens of a query."""

EACH = 4
"""Documents of a query: its positive and three negatives."""

LENGTHS = ["one length", "mixed lengths"]

SUB_BATCH = 4
"""Documents of FlagEmbedding's sub-batch."""


def main() -> None:
    """Parse the command line and run every comparison."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--flagembedding", help="interpreter with FlagEmbedding 1.4.2")
    parser.add_argument("--pylate", help="interpreter with PyLate 1.6")
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--hidden", type=int, default=384)
    parser.add_argument("--vocabulary", type=int, default=8_000)
    parser.add_argument("--queries", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=256, help="of documents of one length")
    parser.add_argument("--longest", type=int, default=2000, help="of mixed lengths")
    parser.add_argument("--lengths", nargs="+", choices=LENGTHS, default=LENGTHS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    chosen = parser.parse_args()
    documents = chosen.queries * EACH
    drawn = {
        "one length": [chosen.tokens] * documents,
        "mixed lengths": lognormal_lengths(documents, low=20, high=chosen.longest),
    }
    for what in chosen.lengths:
        with tempfile.TemporaryDirectory() as folder:
            if chosen.flagembedding:
                m3(chosen, Path(folder) / "m3", drawn[what], what)
            if chosen.pylate:
                short = [min(length, 500) for length in drawn[what]]
                late(chosen, Path(folder) / "late", short, what)


def m3(chosen: argparse.Namespace, folder: Path, lengths: list[int], what: str) -> None:
    """BGE-M3's step."""
    write_bge_m3(
        folder, vocabulary=chosen.vocabulary, weights_file="model.safetensors", **shape(chosen)
    )
    names = {"flagembedding-m3": -1, "flagembedding-m3/in-parts": SUB_BATCH}
    peers = [
        System(name, chosen.flagembedding, {"sub_batch_size": size}, SCRIPT)
        for name, size in names.items()
        if size < 0 or len(set(lengths)) == 1
    ]
    run(chosen, folder, lengths, f"M3, documents of {what}", [ours("tercet-m3"), *peers])


def late(chosen: argparse.Namespace, folder: Path, lengths: list[int], what: str) -> None:
    """Late interaction alone."""
    write_pylate(folder, dims=(128,), **shape(chosen))
    peer = System("pylate-late", chosen.pylate, {"max_tokens": max(lengths)}, SCRIPT)
    systems = [ours("tercet-late"), peer]
    run(chosen, folder, lengths, f"late interaction, documents of {what}", systems)


def ours(name: str) -> System:
    """This library, in this interpreter."""
    return System(name, sys.executable, {}, SCRIPT)


def shape(chosen: argparse.Namespace) -> dict[str, int]:
    """The blocks of a checkpoint."""
    return {
        "layers": chosen.layers,
        "hidden": chosen.hidden,
        "heads": chosen.hidden // 64,
        "intermediate": 4 * chosen.hidden,
    }


def run(
    chosen: argparse.Namespace,
    folder: Path,
    lengths: list[int],
    what: str,
    systems: list[System],
) -> None:
    """Compare the systems on one batch."""
    word = one_token_word(Tokenizer.from_file(str(folder / "tokenizer.json")))
    order = np.random.default_rng(SEED).permutation(len(lengths))
    documents = [" ".join([word] * (lengths[place] - 2)) for place in order]
    tokens = sum(lengths) + chosen.queries * QUERY
    hidden = chosen.hidden
    linear = 2 * tokens * chosen.layers * 12 * hidden * hidden
    attention = 4 * sum(length * length for length in lengths) * chosen.layers * hidden
    job = {
        "checkpoint": str(folder),
        "queries": [" ".join([word] * (QUERY - 2))] * chosen.queries,
        "documents": documents,
        "each": EACH,
        "texts": [],
        "operations": 3 * (linear + attention),  # forward once, backward twice
    }
    report(
        f"{what}: {chosen.layers} layers of {hidden}, {chosen.queries} queries with {EACH} "
        f"documents of {min(lengths)} to {max(lengths)} tokens, {chosen.threads} threads",
        compare(systems, job, rounds=chosen.rounds, threads=chosen.threads),
        base=systems[1].name,
    )


if __name__ == "__main__":
    main()
