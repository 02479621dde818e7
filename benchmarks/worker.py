"""One system in one process: loads a checkpoint once, then encodes the job's texts when told to.

Runs in the environment of its system; of this repository it needs nothing but itself (the row
`tercet` needs the library).
"""

import json
import os
import re
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Encode = Callable[[list[str]], object]


def tercet(job: dict[str, Any]) -> Encode:
    """Ours: every view that the model has, streamed."""
    from tercet import Encoder

    encoder = Encoder.from_pretrained(
        job["checkpoint"],
        device="cpu",
        dtype=job.get("dtype", "float32"),
        quantize=job.get("quantize"),
        long_documents=job.get("long_documents", "auto"),
    )
    if job.get("one_by_one"):
        return encoder.encode_queries
    return lambda texts: [len(batch) for batch in encoder.encode_documents_iter(texts)]


def flagembedding(job: dict[str, Any]) -> Encode:
    """FlagEmbedding's BGE-M3, three views."""
    from FlagEmbedding import BGEM3FlagModel

    model = BGEM3FlagModel(job["checkpoint"], use_fp16=False, devices="cpu")
    return lambda texts: model.encode(
        texts,
        batch_size=job["batch_size"],
        max_length=8192,
        return_dense=True,
        return_sparse=True,
        return_colbert_vecs=True,
    )


def sentence_transformers(job: dict[str, Any]) -> Encode:
    """sentence-transformers, the dense view only."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(job["checkpoint"], device="cpu")
    if job.get("dtype") == "bfloat16":
        model = model.bfloat16()
    return lambda texts: model.encode(texts, batch_size=job["batch_size"], show_progress_bar=False)


def pylate(job: dict[str, Any]) -> Encode:
    """PyLate's ColBERT."""
    from pylate import models

    model = models.ColBERT(job["checkpoint"], device="cpu", document_length=job["max_tokens"])
    return lambda texts: model.encode(
        texts, is_query=False, batch_size=job["batch_size"], show_progress_bar=False
    )


SYSTEMS = {
    "tercet": tercet,
    "flagembedding": flagembedding,
    "sentence-transformers": sentence_transformers,
    "pylate": pylate,
}


def resident_mib(field: str) -> float:
    """VmRSS or VmHWM of this process."""
    status = Path("/proc/self/status").read_text()
    found = re.search(rf"{field}:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else 0.0


def gemm_rate() -> float:
    """float32 operations a second of a plain product of the model's shape, here and now."""
    import torch

    left, right = torch.randn(2048, 1024), torch.randn(1024, 4096)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        torch.mm(left, right)
        times.append(time.perf_counter() - start)
    return 2 * 2048 * 1024 * 4096 / min(times)


def measure(encode: Encode, job: dict[str, Any]) -> dict[str, float]:
    """One pass: seconds, CPU seconds, peak memory above the loaded model, share of GEMM."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = resident_mib("VmRSS")
    usage = resource.getrusage(resource.RUSAGE_SELF)
    start = time.perf_counter()
    encode(job["texts"])
    seconds = time.perf_counter() - start
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "seconds": seconds,
        "cpu_seconds": used.ru_utime + used.ru_stime - usage.ru_utime - usage.ru_stime,
        "peak_mib": resident_mib("VmHWM") - before,
        "gemm_share": job["operations"] / seconds / gemm_rate(),
    }


def main() -> None:
    """Read a job, load its system, then answer every further line with a measurement."""
    job = json.loads(sys.stdin.readline())
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(job["threads"])
    import torch

    torch.set_num_threads(job["threads"])
    encode = SYSTEMS[job["system"].partition("/")[0]](job)
    if job.get("one_by_one"):
        together = encode
        encode = lambda texts: [together([text]) for text in texts]  # noqa: E731
    print(json.dumps({"ready": True}), flush=True)
    for _ in sys.stdin:
        print(json.dumps(measure(encode, job)), flush=True)


if __name__ == "__main__":
    main()
