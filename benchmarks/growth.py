"""How search grows with the collection, in all three views: a plot and its figures.

    OMP_NUM_THREADS=1 python benchmarks/growth.py                                  some 20 minutes
    OMP_NUM_THREADS=1 python benchmarks/growth.py --sizes 1000 3000 --queries 10   a minute

Writes `growth.json` and `growth.png` beside this file: median milliseconds a query of each system
of `search.py`, one interleaved run a size. Token vectors stop at `--most-tokens` documents, for
brute force needs all of them in memory as float32. Needs what `search.py` needs, and matplotlib.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path

from search import measured

from tercet.embeddings import Representation

Growth = Mapping[str, Mapping[str, Mapping[str, float]]]
"""Seconds by view, documents and system."""

FIGURES = Path(__file__).with_name("growth.json")
PLOT = Path(__file__).with_name("growth.png")
TITLES = {"dense": "dense, 384-d", "sparse": "sparse, 129 terms", "multi_vector": "80 x 128-d"}


def measure(sizes: list[int], queries: int, most_tokens: int) -> Growth:
    """All views at all sizes."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for view in Representation:
        late = view is Representation.MULTI_VECTOR
        found[view.value] = {
            str(size): measured(view, size, queries, hard=late)
            for size in sizes
            if not late or size <= most_tokens
        }
    return found


def plot(growth: Growth) -> None:
    """Draw one panel a view, both axes logarithmic."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, len(growth), figsize=(13, 4), layout="constrained")
    for panel, (view, by_size) in zip(panels, growth.items(), strict=True):
        for name in dict.fromkeys(name for row in by_size.values() for name in row):
            points = [(int(s), 1e3 * row[name]) for s, row in by_size.items() if name in row]
            panel.loglog(*zip(*points, strict=True), marker="o", label=name)
        panel.set(title=TITLES[view], xlabel="documents", ylabel="median ms a query")
        panel.grid(visible=True, alpha=0.3)
        panel.legend(fontsize="small")
    figure.savefig(PLOT, dpi=110)


def main() -> None:
    """Measure, or draw what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 3000, 10_000, 30_000, 10**5])
    parser.add_argument("--most-tokens", type=int, default=30_000)
    parser.add_argument("--queries", type=int, default=30)
    parser.add_argument("--draw", action="store_true", help="only draw growth.json again")
    chosen = parser.parse_args()
    if not chosen.draw:
        growth = measure(chosen.sizes, chosen.queries, chosen.most_tokens)
        FIGURES.write_text(json.dumps(growth, indent=1) + "\n")
    plot(json.loads(FIGURES.read_text()))


if __name__ == "__main__":
    main()
