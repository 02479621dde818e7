"""Serving short queries: bar E8 of the table in README.md.

    python benchmarks/serving.py --model tercet/mini --threads 2          # about a minute
    python benchmarks/serving.py --threads 2                              # an M3 shape, random

64 asynchronous callers of one `Serving` beside 64 threads that call one locked encoder, one query
at a time, in turn; and the lag of the event loop that serves them, beside that of idle loops in the
same process and in another one, at the same time. (Where lag matters more than throughput, Python's
`sys.setswitchinterval` is the knob: --switch shows its effect.)
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from tercet.embeddings import TextEncoder
from tercet.encoder import Encoder
from tercet.serving import Serving
from tercet.testing.checkpoints import write_bge_m3

M3 = {"hidden": 1024, "heads": 16, "intermediate": 4096, "layers": 2}
CALLERS = 64
TICK = 0.005
"""Seconds that a tick sleeps; what it oversleeps is lag."""

WORDS = "what is the capital of a country that has no sea and how many people live there"


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", help="a hub id, folder or tercet/mini; else random, M3 shape")
    parser.add_argument("--queries", type=int, default=640, help="queries a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2, help="of torch")
    parser.add_argument("--switch", type=float, default=0.005, help="sys.setswitchinterval")
    parser.add_argument("--tick", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.tick:
        tick()
        return
    sys.setswitchinterval(chosen.switch)
    torch.set_num_threads(chosen.threads)
    with tempfile.TemporaryDirectory() as folder:
        model = chosen.model or str(write_bge_m3(Path(folder) / "m3", **M3))
        encoder = Encoder.from_pretrained(model, device="cpu")
        print(f"{encoder!r}, {chosen.threads} torch threads, {chosen.queries} queries a round")
        throughput(encoder, queries=chosen.queries, rounds=chosen.rounds)
        event_loop_lag(encoder, queries=chosen.queries, rounds=chosen.rounds)


def throughput(encoder: TextEncoder, *, queries: int, rounds: int) -> None:
    """Queries a second of threads at one locked encoder, and of asynchronous callers."""
    systems: dict[str, Callable[[list[str]], object]] = {
        f"{CALLERS} threads, one at a time": lambda texts: threads(encoder, texts),
        f"{CALLERS} asynchronous callers": lambda texts: asyncio.run(callers(encoder, texts)),
    }
    rates: dict[str, list[float]] = {name: [] for name in systems}
    for round_ in range(rounds + 1):
        for name, run in systems.items():
            texts = some_queries(queries, seed=round_)
            start = time.perf_counter()
            run(texts)
            if round_:  # the first does not count
                rates[name].append(queries / (time.perf_counter() - start))
    base = statistics.median(rates[next(iter(rates))])
    for name, values in rates.items():
        middle, low, high = statistics.median(values), min(values), max(values)
        print(
            f"  {name:28} {middle:8.1f} a second [{low:.1f} .. {high:.1f}] {middle / base:5.2f} x"
        )


def event_loop_lag(encoder: TextEncoder, *, queries: int, rounds: int) -> None:
    """Milliseconds that ticks are late: on the serving loop and, beside it, on idle ones."""
    found: list[tuple[list[float], list[float], list[float]]] = []
    for round_ in range(rounds):
        texts = some_queries(queries, seed=round_)
        beside = subprocess.Popen(
            [sys.executable, __file__, "--tick"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert beside.stdout is not None
        beside.stdout.readline()  # it ticks
        with ThreadPoolExecutor(1) as pool:
            over = threading.Event()
            idle = pool.submit(lambda over=over: asyncio.run(lags_until(over.is_set)))
            ours = asyncio.run(lags_while_serving(encoder, texts))
            over.set()
        elsewhere: list[float] = json.loads(beside.communicate(b"")[0])
        found.append((ours, idle.result(), elsewhere))
    for name, place in {"median": 0.5, "95 %": 0.95}.items():
        ours, here, elsewhere_ = (
            statistics.median(1000 * at(lags, place) for lags in column)
            for column in zip(*found, strict=True)
        )
        print(
            f"  lag, {name:6}: serving loop {ours:6.2f} ms; idle loop of the same process "
            f"{here:6.2f} ms ({ours / here:.2f} x); of another {elsewhere_:6.2f} ms"
        )


async def lags_while_serving(encoder: TextEncoder, texts: list[str]) -> list[float]:
    """The lags of the loop that serves all texts."""
    load = asyncio.create_task(callers(encoder, texts))
    found = await lags_until(load.done)
    await load
    return found


async def lags_until(over: Callable[[], bool]) -> list[float]:
    """The lags of an event loop that does nothing else itself."""
    found = []
    while not over():
        found.append(await lag())
    return found


def tick() -> None:
    """Be an idle event loop until the input ends."""
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    print(flush=True)
    print(json.dumps(asyncio.run(lags_until(ended.is_set))))


async def lag() -> float:
    """How many seconds later than asked a tick comes back."""
    start = time.perf_counter()
    await asyncio.sleep(TICK)
    return time.perf_counter() - start - TICK


async def callers(encoder: TextEncoder, texts: list[str]) -> None:
    """64 tasks that each await one query after another."""
    serving, waiting = Serving.of(encoder), iter(texts)

    async def caller() -> None:
        for text in waiting:
            await serving.aencode_queries([text])

    await asyncio.gather(*(caller() for _ in range(CALLERS)))


def threads(encoder: TextEncoder, texts: list[str]) -> None:
    """64 threads that each encode one query after another under a lock."""
    lock = threading.Lock()

    def call(text: str) -> None:
        with lock:
            encoder.encode_queries([text])

    with ThreadPoolExecutor(CALLERS) as pool:
        list(pool.map(call, texts))


def some_queries(count: int, *, seed: int) -> list[str]:
    """Short queries, of 4 to 15 words."""
    words = WORDS.split()
    return [" ".join(words[: 4 + (n + seed) % 12]) for n in range(count)]


def at(values: list[float], place: float) -> float:
    """The value at a place of the sorted list."""
    return sorted(values)[int(place * (len(values) - 1))]


if __name__ == "__main__":
    main()
