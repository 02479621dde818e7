"""Encoding on a GPU beside the peers in half arithmetic: bar 1.5 x the better on mixed lengths.

    python benchmarks/encode_gpu.py --flagembedding FE/bin/python \
        --sentence-transformers ST/bin/python

One random checkpoint in BGE-M3's shape and the same texts for all: short ones of 8 to 40 tokens,
mixed ones of 20 to 2,000, and long ones of 8,192. FlagEmbedding and this library make three views,
sentence-transformers the dense one. Each peer is run at every batch size, and the best one counts.
The share is of the GPU's own bfloat16 products, measured beside. benchmarks/README.md says how the
peers' environments are made; without them only this library runs. Some ten minutes on a large GPU.
`--device cpu --layers 1 --documents 2 --rounds 1` tries the script where there is none.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from encode import M3, SEED, WHOLE_M3, lognormal_lengths, make_job
from harness import System, compare

from tercet.testing.checkpoints import write_bge_m3

LONG = 8192
BAR = 1.5
"""Times the better peer, on mixed lengths."""


def main() -> None:
    """Parse the command line and run what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--flagembedding", help="interpreter with FlagEmbedding 1.4.2")
    parser.add_argument(
        "--sentence-transformers", help="interpreter with sentence-transformers 6.2"
    )
    parser.add_argument("--device", default="cuda", help='"cuda:0,cuda:1": ours on both')
    parser.add_argument("--layers", type=int, default=WHOLE_M3, help="blocks of the M3 shape")
    parser.add_argument("--documents", type=int, default=2048, help="mixed texts; 8 short to one")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[16, 64, 256])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=8, help="of the host")
    parser.add_argument("--only", choices=["short", "mixed", "long"])
    chosen = parser.parse_args()
    if chosen.device.startswith("cuda"):
        if not torch.cuda.is_available():
            parser.error("there is no CUDA device; --device cpu tries the script without one")
        print(torch.cuda.get_device_name(), f"torch {torch.__version__}")
    short = np.random.default_rng(SEED).integers(8, 41, 8 * chosen.documents).tolist()
    kinds = {
        "short": short,
        "mixed": lognormal_lengths(chosen.documents, low=20, high=2000),
        "long": [LONG] * max(1, chosen.documents // 64),
    }
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = write_bge_m3(Path(folder) / "m3", layers=chosen.layers, **M3)
        for kind in (chosen.only,) if chosen.only else kinds:
            run(chosen, checkpoint, kind, kinds[kind])


def run(chosen: argparse.Namespace, checkpoint: Path, kind: str, lengths: list[int]) -> None:
    """Compare all systems on texts of these lengths."""
    job = make_job(checkpoint, lengths, layers=chosen.layers, shape=M3)
    one = chosen.device.partition(",")[0]
    ours = {"device": chosen.device, "dtype": "auto", "long_documents": "plain"}
    systems = [System("tercet", sys.executable, ours)]
    peers = [(name, getattr(chosen, name.replace("-", "_"))) for name in PEERS]
    for name, python in peers:
        for size in batch_sizes(chosen.batch_sizes, lengths) if python else ():
            options = {"device": one, "dtype": "float16", "batch_size": size}
            systems.append(System(f"{name}/{size}", python, options))
    found = compare(systems, job, rounds=chosen.rounds, threads=chosen.threads)
    print(
        f"\n{kind}: M3 shape, {chosen.layers} layers, {len(lengths)} texts of {min(lengths)} to "
        f"{max(lengths)} tokens on {chosen.device}"
    )
    middle = {
        name: {measure: statistics.median(row[measure] for row in rows) for measure in rows[0]}
        for name, rows in found.items()
    }
    peers_seconds = [row["seconds"] for name, row in middle.items() if name != "tercet"]
    best = min(peers_seconds, default=middle["tercet"]["seconds"])
    for name, row in middle.items():
        spread = [sum(lengths) / each["seconds"] for each in found[name]]
        print(
            f"  {name:28} {sum(lengths) / row['seconds']:10.0f} tokens/s "
            f"[{min(spread):.0f} .. {max(spread):.0f}]  {best / row['seconds']:5.2f} x the best "
            f"peer  share of GEMM {row['gemm_share']:4.0%}  GPU {row['gpu_mib']:6.0f} MiB over the "
            f"model, host {row['peak_mib']:6.0f} MiB"
        )
    if kind == "mixed" and peers_seconds:
        print(f"  bar: {BAR} x the best peer")
    sys.stdout.flush()


PEERS = ("flagembedding", "sentence-transformers")


def batch_sizes(asked: Sequence[int], lengths: Sequence[int]) -> list[int]:
    """Batch sizes that make sense: long texts of padded peers only in small batches."""
    most = max(1, 2**18 // max(lengths))
    return sorted({min(size, most) for size in asked})


if __name__ == "__main__":
    main()
