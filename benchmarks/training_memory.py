"""Memory of a training step as the batch grows at 8,192 tokens: bar T1 of the README's table.

    python benchmarks/training_memory.py --flagembedding FE/bin/python

A step of BGE-M3's training on a narrow random XLM-R, each batch in a process of its own: the peak
of resident memory above the loaded model, gradients and AdamW's state included. Ours encodes a text
at a time with cached gradients and checkpointed layers, FlagEmbedding in sub-batches of one with
checkpointed layers, its thriftiest setting.

Two things keep what is measured from hiding behind the machine, for both alike: attention has no
dropout, with which torch's CPU kernel writes out all L x L weights, and glibc gives large blocks
back when they are freed (MALLOC_MMAP_THRESHOLD_). Some five minutes on two idle cores; `--tokens
1024 --layers 2` tries it in one.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

from encode import one_token_word
from harness import System, Worker
from tokenizers import Tokenizer
from train_step import QUERY, SCRIPT

from tercet.testing.checkpoints import write_bge_m3


def main() -> None:
    """Parse the command line, measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--flagembedding", help="interpreter with FlagEmbedding 1.4.2")
    parser.add_argument("--tokens", type=int, default=8192)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--vocabulary", type=int, default=32_000)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--threads", type=int, default=2)
    chosen = parser.parse_args()
    systems = [
        System(
            "tercet-m3",
            sys.executable,
            {"sub_batch_tokens": chosen.tokens, "checkpoint_layers": True},
            SCRIPT,
        ),
    ]
    if chosen.flagembedding:
        thrifty = {"sub_batch_size": 1, "checkpoint_layers": True}
        systems.append(System("flagembedding-m3", chosen.flagembedding, thrifty, SCRIPT))
    os.environ["MALLOC_MMAP_THRESHOLD_"] = str(1 << 16)
    with tempfile.TemporaryDirectory() as folder:
        write_bge_m3(
            Path(folder),
            layers=chosen.layers,
            hidden=chosen.hidden,
            heads=chosen.hidden // 64,
            intermediate=4 * chosen.hidden,
            vocabulary=chosen.vocabulary,
            weights_file="model.safetensors",
        )
        config = Path(folder) / "config.json"
        told = json.loads(config.read_text()) | {"attention_probs_dropout_prob": 0.0}
        config.write_text(json.dumps(told))
        peaks = {system.name: measured(chosen, Path(folder), system) for system in systems}
    print_table(chosen, peaks)


def measured(chosen: argparse.Namespace, folder: Path, system: System) -> list[float]:
    """The peak of one step for each batch, in MiB."""
    word = one_token_word(Tokenizer.from_file(str(folder / "tokenizer.json")))
    found = []
    for batch in chosen.batches:
        job: dict[str, object] = {
            "checkpoint": str(folder),
            "queries": [" ".join([word] * (QUERY - 2))] * batch,
            "documents": [" ".join([word] * (chosen.tokens - 2))] * batch,
            "each": 1,
            "texts": [],
            "operations": 0,
        }
        worker = Worker(system, job, threads=chosen.threads)
        found.append(worker.measure()["peak_mib"])
        worker.close()
        print(f"{system.name}: batch {batch}, {found[-1]:,.0f} MiB", file=sys.stderr, flush=True)
    return found


def print_table(chosen: argparse.Namespace, peaks: dict[str, list[float]]) -> None:
    """Print peaks, what one more text costs, and how many texts fit in the same memory."""
    first, last = chosen.batches[0], chosen.batches[-1]
    print(
        f"{chosen.layers} layers of {chosen.hidden}, vocabulary of {chosen.vocabulary:,}, "
        f"documents of {chosen.tokens:,} tokens: peak above the model in MiB"
    )
    print(f"{'batch':24}" + "".join(f"{batch:>9}" for batch in chosen.batches) + "  a text more")
    for name, found in peaks.items():
        more = (found[-1] - found[0]) / (last - first)
        print(f"{name:24}" + "".join(f"{peak:9,.0f}" for peak in found) + f"{more:13,.1f}")
    ours = peaks["tercet-m3"]
    each = (ours[-1] - ours[0]) / (last - first)
    for batch, peak in zip(chosen.batches, peaks.get("flagembedding-m3", []), strict=False):
        fits = first + max(0, int((peak - ours[0]) / max(each, 1e-3)))
        print(f"in the memory of FlagEmbedding's batch of {batch}: {fits} of ours")


if __name__ == "__main__":
    main()
