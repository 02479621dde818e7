"""Encoding on a CPU beside the peers: bars E1 to E7 of the README's table.

    python benchmarks/encode.py --flagembedding FE/bin/python \
        --sentence-transformers ST/bin/python --pylate PL/bin/python

Checkpoints are random in the exact shapes (speed does not depend on values); texts have lognormal
lengths. benchmarks/README.md says how the peers' environments are made. `--only E4` runs one bar;
the whole table takes about an hour on two idle cores (most of it FlagEmbedding in E1 to E3).
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from harness import System, compare, report
from tokenizers import Tokenizer

from tercet.testing.checkpoints import write_bge_m3, write_pylate

SEED = 0
M3 = {"hidden": 1024, "heads": 16, "intermediate": 4096}
BERT_BASE = {"hidden": 768, "heads": 12, "intermediate": 3072}
WHOLE_M3 = 24
"""Blocks of the published model."""

BEST_BATCH = 8
"""Of FlagEmbedding and sentence-transformers on mixed lengths: larger ones only pad more."""


def main() -> None:
    """Parse the command line and run what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--flagembedding", help="interpreter with FlagEmbedding 1.4.2")
    parser.add_argument(
        "--sentence-transformers", help="interpreter with sentence-transformers 6.2"
    )
    parser.add_argument("--pylate", help="interpreter with PyLate 1.6")
    parser.add_argument(
        "--layers", type=int, default=6, help="blocks of the M3 shape (E4 asks for 24, whole)"
    )
    parser.add_argument("--documents", type=int, default=48, help="texts of E1, E2, E3, E5")
    parser.add_argument("--long-documents", type=int, default=4, help="texts of E6")
    parser.add_argument("--queries", type=int, default=32, help="queries of E4")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", choices=sorted(BARS))
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name, run in BARS.items():
            if chosen.only in (None, name):
                run(chosen, Path(folder) / name)


def mixed_lengths(chosen: argparse.Namespace, folder: Path) -> None:
    """E1: M3 shape, 20 to 2,000 tokens, three views, float32."""
    systems = [
        tercet("tercet"),
        flagembedding(chosen),
        sentence_transformers(chosen, batch_size=BEST_BATCH),
    ]
    run_m3(chosen, folder, "E1", "float32", systems=systems, lengths=mixed(chosen))


def mixed_lengths_auto(chosen: argparse.Namespace, folder: Path) -> None:
    """E2: the same with `dtype="auto"`, on a CPU with AMX."""
    systems = [
        tercet("tercet/auto", dtype="auto"),
        flagembedding(chosen),
        sentence_transformers(chosen, batch_size=BEST_BATCH, dtype="bfloat16"),
    ]
    run_m3(
        chosen,
        folder,
        "E2",
        "auto, sentence-transformers in bfloat16",
        systems=systems,
        lengths=mixed(chosen),
    )


def mixed_lengths_int8(chosen: argparse.Namespace, folder: Path) -> None:
    """E3: the same with int8 weights."""
    systems = [
        tercet("tercet"),
        tercet("tercet/int8", quantize="int8"),
        tercet("tercet/int8-auto", quantize="int8", dtype="auto"),
        flagembedding(chosen),
    ]
    run_m3(chosen, folder, "E3", "int8 beside float32", systems=systems, lengths=mixed(chosen))


def one_query(chosen: argparse.Namespace, folder: Path) -> None:
    """E4: queries of 8 to 30 tokens, one at a time."""
    lengths = np.random.default_rng(SEED).integers(8, 31, chosen.queries).tolist()
    systems = [
        tercet("tercet"),
        tercet("tercet/int8", quantize="int8"),
        flagembedding(chosen),
        sentence_transformers(chosen, batch_size=BEST_BATCH),
    ]
    run_m3(
        chosen, folder, "E4", "one query a call", systems=systems, lengths=lengths, one_by_one=True
    )


def late_interaction(chosen: argparse.Namespace, folder: Path) -> None:
    """E5: BERT-base ColBERT, 100 to 180 tokens, CPU time."""
    write_pylate(folder, layers=12, dims=(128,), **BERT_BASE)
    rng = np.random.default_rng(SEED)
    lengths = rng.integers(100, 180, 2 * chosen.documents).tolist()
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


def long_documents(chosen: argparse.Namespace, folder: Path) -> None:
    """E6: 2,000 to 8,000 tokens, three views, in one pass each."""
    lengths = np.linspace(2000, 8000, chosen.long_documents).astype(int).tolist()
    systems = [
        tercet("tercet"),
        tercet("tercet/auto", dtype="auto"),
        flagembedding(chosen),
        sentence_transformers(chosen, batch_size=32, name="batch-32"),
        sentence_transformers(chosen, batch_size=1, name="batch-1"),
        sentence_transformers(chosen, batch_size=1, dtype="bfloat16"),
    ]
    run_m3(chosen, folder, "E6", "float32 and auto", systems=systems, lengths=lengths)


def memory(chosen: argparse.Namespace, folder: Path) -> None:
    """E7: peak memory above the model, and that it does not grow with the documents."""
    for documents in [chosen.documents * times // 4 for times in (1, 2, 4, 8)]:
        systems: list[System | None] = [tercet("tercet")]
        lengths = mixed(chosen, documents)
        run_m3(chosen, folder, "E7", "streamed", systems=systems, lengths=lengths)


BARS: dict[str, Callable[[argparse.Namespace, Path], None]] = {
    "E1": mixed_lengths,
    "E2": mixed_lengths_auto,
    "E3": mixed_lengths_int8,
    "E4": one_query,
    "E5": late_interaction,
    "E6": long_documents,
    "E7": memory,
}


def tercet(name: str, **options: str) -> System:
    """Ours, every document in one pass as the peers read it."""
    return System(name, sys.executable, {"long_documents": "plain", **options})


def flagembedding(chosen: argparse.Namespace) -> System | None:
    """FlagEmbedding at its best batch size, float32; None where there is no interpreter."""
    if not chosen.flagembedding:
        return None
    return System("flagembedding", chosen.flagembedding, {"batch_size": BEST_BATCH})


def sentence_transformers(
    chosen: argparse.Namespace, *, batch_size: int, dtype: str = "float32", name: str = ""
) -> System | None:
    """sentence-transformers, dense only; None where there is no interpreter."""
    if not chosen.sentence_transformers:
        return None
    label = "/".join(["sentence-transformers", name or dtype])
    options = {"batch_size": batch_size, "dtype": dtype}
    return System(label, chosen.sentence_transformers, options)


def run_m3(
    chosen: argparse.Namespace,
    folder: Path,
    bar: str,
    what: str,
    *,
    systems: list[System | None],
    lengths: list[int],
    one_by_one: bool = False,
) -> None:
    """Compare some systems on the M3 shape; the first peer is the base of the ratios."""
    if not folder.exists():
        write_bge_m3(folder, layers=chosen.layers, **M3)
    job = make_job(folder, lengths, layers=chosen.layers, shape=M3)
    there = [system for system in systems if system is not None]
    peers = [system for system in there if not system.name.startswith("tercet")]
    report(
        f"{bar}: M3 shape, {chosen.layers} of {WHOLE_M3} layers, {len(lengths)} texts of "
        f"{min(lengths)} to {max(lengths)} tokens, three views (sentence-transformers: dense "
        f"only), {what}, {chosen.threads} threads",
        compare(
            there,
            {**job, "one_by_one": one_by_one},
            rounds=chosen.rounds,
            threads=chosen.threads,
        ),
        base=(peers or there)[0].name,
    )


def mixed(chosen: argparse.Namespace, documents: int | None = None) -> list[int]:
    """Lengths of 20 to 2,000 tokens."""
    return lognormal_lengths(documents or chosen.documents, low=20, high=2000)


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
