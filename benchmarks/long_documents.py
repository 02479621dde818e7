"""Long documents: one CLS, more of them (MCLS), windows, token vectors and BM25, side by side.

    python benchmarks/long_documents.py quality --model FOLDER [--documents 40] [--lengths 512 2048]
    python benchmarks/long_documents.py bm25 --collection jaquad-long-ja --tokenizer tokenizer.json
    python benchmarks/long_documents.py cost [--layers 6]

`quality`: documents are cut at each length, and their judged queries search them. FOLDER is a
model that pools its CLS. Beyond its positions its position table is stretched by interpolation,
as in LongEmbed (Zhu et al. 2024): that model was not trained on long texts, which is the case for
which the paper of BGE-M3 proposes MCLS. tercet/mini, which pools the mean, gives token vectors.
`cost`: seconds and memory on random weights in BGE-M3's shape, at its real length.
Each row runs in a process of its own. With 40 documents up to 2,048 tokens: some 10 minutes on
one core; all 127 up to 8,192: some hours, mostly attention.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from bm25 import rank
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer
from worker import resident_mib

from tercet.embeddings import Representation
from tercet.encoder import Encoder
from tercet.evaluation.collections import Collection
from tercet.evaluation.measures import measure
from tercet.scoring.views import view_scores
from tercet.testing.checkpoints import write_bge_m3

M3 = {"hidden": 1024, "heads": 16, "intermediate": 4096}
POSITIONS = "embeddings.position_embeddings.weight"
FULL = {"long_documents": "mcls", "mcls_attention": "full"}
ONE_PASS = {
    "one CLS": {"long_documents": "plain"},
    "MCLS, probe, shared": {"long_documents": "mcls"},
    "MCLS, full, shared": {**FULL, "mcls_positions": "shared"},
    "MCLS, full, sequential": {**FULL, "mcls_positions": "sequential"},
}
DATA = Path(__file__).with_name("data")


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["quality", "bm25", "cost", "row"])
    parser.add_argument("--model", type=Path, help="folder of a model that pools its CLS")
    parser.add_argument("--collection", type=Path, default=DATA / "squality-long-en")
    parser.add_argument("--tokenizer", type=Path, help="what counts tokens; else the model's")
    parser.add_argument("--documents", type=int, help="only the first so many")
    parser.add_argument("--lengths", type=int, nargs="+", default=[512, 2048, 8192])
    parser.add_argument("--layers", type=int, default=6, help="of BGE-M3's 24, for `cost`")
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    if chosen.what == "row":
        print(json.dumps(row(json.load(sys.stdin))))
    elif chosen.what == "cost":
        cost(chosen)
    else:
        quality(chosen)


def quality(chosen: argparse.Namespace) -> None:
    """nDCG@10, recall@10, seconds and memory of each way, at each length."""
    counted = chosen.tokenizer or chosen.model / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(counted))
    tokenizer.no_truncation()
    documents, queries, qrels = collection_of(chosen)
    print(f"{chosen.collection.name}: {len(documents)} documents, {len(queries)} queries")
    for length in chosen.lengths:
        cut = {name: first_tokens(tokenizer, text, length) for name, text in documents.items()}
        job = {"documents": cut, "queries": queries, "qrels": qrels, "threads": chosen.threads}
        show(f"BM25, first {length}", bm25_row(cut, queries, qrels))
        if chosen.what == "quality":
            neural(job, chosen.model, length)


def neural(job: dict[str, object], model: Path, length: int) -> None:
    """The rows of models at a length."""
    published = json.loads((model / "config.json").read_text())["max_position_embeddings"]
    if length > published:
        windows = {"model": str(model), "long_documents": "windows"}
        show(f"one CLS in windows, first {length}", run({**job, "options": windows}))
    with tempfile.TemporaryDirectory() as folder:
        one_pass = stretched(model, Path(folder), length)
        for name, options in ONE_PASS.items():
            found = run({**job, "options": {"model": str(one_pass), **options}})
            show(f"{name}, first {length}", found)
    found = run({**job, "options": {"model": "tercet/mini", "long_documents": "windows"}})
    show(f"tercet/mini in windows, first {length}", found)


def cost(chosen: argparse.Namespace) -> None:
    """Seconds and memory in BGE-M3's shape, which reads 8,192 tokens at once."""
    with tempfile.TemporaryDirectory() as folder:
        model = write_bge_m3(Path(folder) / "m3", layers=chosen.layers, **M3)
        for length in chosen.lengths:
            texts = {"0": "word " * (length - 2)}
            windows = {"long_documents": "windows", "document_tokens": 512}
            for name, options in {**ONE_PASS, "windows of 512": windows}.items():
                asked = {"model": str(model), **options}
                job = {"documents": texts, "queries": {}, "qrels": {}, "options": asked}
                show(f"{name}, {length} tokens", run({**job, "threads": chosen.threads}))


def collection_of(
    chosen: argparse.Namespace,
) -> tuple[dict[str, str], dict[str, str], dict[str, dict[str, int]]]:
    """Texts of documents and queries by id, and judgements, of the documents asked for."""
    collection = Collection.read(chosen.collection)
    texts = {document.id: document.content for document in collection.documents()}
    kept = dict(list(texts.items())[: chosen.documents])
    qrels = {
        query: dict(judged)
        for query, judged in collection.qrels.items()
        if judged.keys() <= kept.keys()
    }
    return kept, {query: collection.queries[query] for query in qrels}, qrels


def first_tokens(tokenizer: Tokenizer, text: str, length: int) -> str:
    """The text as far as a pass of so many tokens reads it, special ones included."""
    offsets = tokenizer.encode(text, add_special_tokens=False).offsets
    return text if len(offsets) <= length - 2 else text[: offsets[length - 3][1]]


def stretched(model: Path, folder: Path, positions: int) -> Path:
    """A copy whose position table is interpolated to so many rows; itself where it has them."""
    config = json.loads((model / "config.json").read_text())
    rows = config["max_position_embeddings"]
    if positions <= rows:
        return model
    copied = Path(shutil.copytree(model, folder / "stretched"))
    tensors = load_file(copied / "model.safetensors")
    name = next(name for name in tensors if name.endswith(POSITIONS))
    places, table = np.linspace(0, rows - 1, positions), tensors[name]
    columns = [np.interp(places, np.arange(rows), column) for column in table.T]
    tensors[name] = np.stack(columns, axis=1).astype(table.dtype)
    save_file(tensors, copied / "model.safetensors")
    config["max_position_embeddings"] = positions
    (copied / "config.json").write_text(json.dumps(config))
    for settings in copied.glob("*_config.json"):
        known = json.loads(settings.read_text())
        for limit in {"max_seq_length", "model_max_length"} & known.keys():
            known[limit] = positions
        settings.write_text(json.dumps(known))
    return copied


def run(job: dict[str, object]) -> dict[str, object]:
    """A row, in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "row"],
        input=json.dumps(job),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


def row(job: dict[str, dict[str, str]]) -> dict[str, object]:
    """Encode, rank and measure: each view's nDCG@10 and recall@10, seconds and peak memory."""
    import torch

    torch.set_num_threads(int(job["threads"]))
    options = dict(job["options"])
    encoder = Encoder.from_pretrained(
        options.pop("model"), device="cpu", dtype="float32", **options
    )
    texts = list(job["documents"].values())
    encoder.encode_documents([texts[0][:200]])
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before, start = resident_mib("VmRSS"), time.perf_counter()
    documents = encoder.encode_documents(texts)
    seconds, peak = time.perf_counter() - start, resident_mib("VmHWM") - before
    measures: dict[str, dict[str, float]] = {}
    for view in encoder.representations if job["queries"] else ():
        ranked = {
            query: dict(
                zip(
                    job["documents"],
                    view_scores(
                        view,
                        encoder.encode_queries([text]),
                        documents,
                        reduction=encoder.spec.reduction,
                    ).tolist(),
                    strict=True,
                )
            )
            for query, text in job["queries"].items()
        }
        measures[view.value] = measure(ranked, job["qrels"], measures=("nDCG@10", "recall@10"))
    return {"measures": measures, "seconds": seconds, "peak_mib": peak}


def bm25_row(
    documents: dict[str, str], queries: dict[str, str], qrels: dict[str, dict[str, int]]
) -> dict[str, object]:
    """The lexical baseline: words in English, pairs of characters in Japanese."""
    start = time.perf_counter()
    ranked = rank(documents, queries)
    measures = measure(ranked, qrels, measures=("nDCG@10", "recall@10"))
    return {"measures": {"words": measures}, "seconds": time.perf_counter() - start}


def show(name: str, found: dict[str, object]) -> None:
    """One line of the table for each view."""
    measures = found["measures"]
    assert isinstance(measures, dict)
    peak = f"{found['peak_mib']:7.0f} MiB" if "peak_mib" in found else ""
    for view, values in (measures or {"": {}}).items():
        shown = " ".join(f"{key} {value:.3f}" for key, value in values.items())
        kind = view if len(measures) > 1 or view in {*Representation} else ""
        print(f"{name:40} {kind:13} {shown} {found['seconds']:8.1f} s {peak}", flush=True)


if __name__ == "__main__":
    main()
