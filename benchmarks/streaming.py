"""A stream of a million short documents: memory stays flat, and the speed what it is.

    OMP_NUM_THREADS=1 python benchmarks/streaming.py                  # some 15 minutes idle
    OMP_NUM_THREADS=1 python benchmarks/streaming.py --documents 20000

Texts of 5 to 40 words are made as they are asked for, and views are thrown away as they come. A
tenth of the stream is a line: documents a second, memory in use and its peak. Without `--model`, a
random model of one small layer in BGE-M3's layout: what is measured is the way of the texts.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from worker import resident_mib

from tercet.encoder import Encoder
from tercet.testing.checkpoints import write_bge_m3

WORDS = ("the", "cat", "sat", "on", "mat", "and", "read", "one", "vector", "for", "every", "token")
SHORTEST, LONGEST = 5, 40
LINES = 10


def main() -> None:
    """Parse the command line and stream."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--model", help="as Encoder.from_pretrained takes it")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = chosen.model or write_bge_m3(Path(folder), layers=1)
        encoder = Encoder.from_pretrained(model, device="cpu")
        encoder.encode_documents(list(texts(1000)))  # what is allocated once is there
    print(repr(encoder))
    stream(encoder, chosen.documents)


def stream(encoder: Encoder, documents: int) -> None:
    """Encode a stream, and print a line a tenth."""
    before, done, start = resident_mib("VmRSS"), 0, time.perf_counter()
    begun, of_line, next_line = start, 0, documents / LINES
    for batch in encoder.encode_documents_iter(texts(documents)):
        done += len(batch)
        of_line += len(batch)
        if done >= next_line:
            now = time.perf_counter()
            print(
                f"{done:>10,} documents  {of_line / (now - begun):8.0f} a second  "
                f"{resident_mib('VmRSS') - before:+7.1f} MiB, "
                f"at most {resident_mib('VmHWM') - before:+7.1f}",
                flush=True,
            )
            begun, of_line, next_line = now, 0, next_line + documents / LINES
    print(f"{done:,} documents in {time.perf_counter() - start:.0f} s")


def texts(documents: int) -> Iterator[str]:
    """Short texts, the same in every run."""
    drawn = random.Random(0)  # noqa: S311  nothing secret
    for n in range(documents):
        words = drawn.choices(WORDS, k=drawn.randint(SHORTEST, LONGEST))
        yield f"{' '.join(words)} {n}"


if __name__ == "__main__":
    main()
