"""Encoding on a CPU beside the peers: bars E1, E5 and E7 of the README's table.

    python benchmarks/encode.py --flagembedding FE/bin/python \
        --sentence-transformers ST/bin/python --pylate PL/bin/python

Checkpoints are random in the exact shapes (speed does not depend on values); texts have lognormal
lengths. benchmarks/README.md says how the peers' environments are made.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from harness import System, compare, report
from tokenizers import Tokenizer

from tercet.testing.checkpoints import write_bge_m3, write_pylate

SEED = 0
M3 = {"hidden": 1024, "heads": 16, "intermediate": 4096}
BERT_BASE = {"hidden": 768, "heads": 12, "intermediate": 3072}


def main() -> None:
    """Parse the command line and run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flagembedding", help="interpreter with FlagEmbedding 1.4.2")
    parser.add_argument(
        "--sentence-transformers", help="interpreter with sentence-transformers 6.2"
    )
    parser.add_argument("--pylate", help="interpreter with PyLate 1.6")
    parser.add_argument(
        "--layers", type=int, default=6, help="blocks of the M3 shape (24 is whole)"
    )
    parser.add_argument("--documents", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", choices=["E1", "E5", "E7"])
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name, run in {"E1": mixed_lengths, "E5": late_interaction, "E7": memory}.items():
            if chosen.only in (None, name):
                run(chosen, Path(folder) / name)


def mixed_lengths(chosen: argparse.Namespace, folder: Path) -> None:
    """E1: M3 shape, 20 to 2,000 tokens, three views, float32."""
    write_bge_m3(folder, layers=chosen.layers, **M3)
    lengths = lognormal_lengths(chosen.documents, low=20, high=2000)
    job = make_job(folder, lengths, layers=chosen.layers, shape=M3)
    systems = [System("tercet", sys.executable, {"long_documents": "plain"})]
    if chosen.flagembedding:
        systems.append(System("flagembedding", chosen.flagembedding, {"batch_size": 8}))
    if chosen.sentence_transformers:
        options = {"batch_size": 8}
        systems.append(System("sentence-transformers", chosen.sentence_transformers, options))
    report(
        f"E1: M3 shape, {chosen.layers} layers, {len(lengths)} texts of {min(lengths)} to "
        f"{max(lengths)} tokens, three views (sentence-transformers: dense only), float32",
        compare(systems, job, rounds=chosen.rounds, threads=chosen.threads),
        base=systems[min(1, len(systems) - 1)].name,
    )


def late_interaction(chosen: argparse.Namespace, folder: Path) -> None:
    """E5: BERT-base ColBERT, 100 to 180 tokens, CPU time."""
    write_pylate(folder, layers=12, dims=(128,), **BERT_BASE)
    rng = np.random.default_rng(SEED)
    lengths = rng.integers(100, 180, 4 * chosen.documents).tolist()
    job = make_job(folder, lengths, layers=12, shape=BERT_BASE)
    systems = [System("tercet", sys.executable, {})]
    if chosen.pylate:
        options = {"batch_size": 32, "max_tokens": 300}
        systems.append(System("pylate", chosen.pylate, options))
    report(
        f"E5: BERT-base ColBERT, {len(lengths)} texts of 100 to 180 tokens, float32",
        compare(systems, job, rounds=chosen.rounds, threads=chosen.threads),
        base=systems[-1].name,
    )


def memory(chosen: argparse.Namespace, folder: Path) -> None:
    """E7: peak memory above the model, and that it does not grow with the documents."""
    write_bge_m3(folder, layers=chosen.layers, **M3)
    for documents in (chosen.documents, 4 * chosen.documents):
        lengths = lognormal_lengths(documents, low=20, high=2000)
        job = make_job(folder, lengths, layers=chosen.layers, shape=M3)
        options = {"long_documents": "plain"}
        report(
            f"E7: {documents} texts, streamed",
            compare([System("tercet", sys.executable, options)], job, rounds=1, threads=2),
            base="tercet",
        )


def lognormal_lengths(count: int, *, low: int, high: int) -> list[int]:
    """Token counts as in real collections: median 300, a long tail, clipped."""
    drawn = np.random.default_rng(SEED).lognormal(np.log(300), 0.9, count)
    return np.clip(drawn, low, high).astype(int).tolist()


def make_job(
    folder: Path, lengths: list[int], *, layers: int, shape: dict[str, int]
) -> dict[str, object]:
    """The texts of these token counts, and the arithmetic that encoding them takes."""
    word = one_token_word(Tokenizer.from_file(str(folder / "tokenizer.json")))
    order = np.random.default_rng(SEED).permutation(len(lengths))
    texts = [" ".join([word] * (lengths[place] - 2)) for place in order]
    hidden, inner = shape["hidden"], shape["intermediate"]
    linear = 2 * sum(lengths) * layers * (4 * hidden * hidden + 2 * hidden * inner)
    attention = 4 * sum(length * length for length in lengths) * layers * hidden
    return {"checkpoint": str(folder), "texts": texts, "operations": linear + attention}


def one_token_word(tokenizer: Tokenizer) -> str:
    """A word that is one token wherever it stands."""
    for token in tokenizer.get_vocab():
        word = token.lstrip("\N{LOWER ONE EIGHTH BLOCK}")
        if word.isalpha() and word.isascii():
            once = len(tokenizer.encode(word, add_special_tokens=False).ids)
            twice = len(tokenizer.encode(f"{word} {word}", add_special_tokens=False).ids)
            if (once, twice) == (1, 2):
                return word
    raise ValueError("the tokenizer has no word of one token")


if __name__ == "__main__":
    main()
