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
        device=job.get("device", "cpu"),
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

    model = BGEM3FlagModel(
        job["checkpoint"],
        use_fp16=job.get("dtype") == "float16",
        devices=job.get("device", "cpu"),
    )
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

    model = SentenceTransformer(job["checkpoint"], device=job.get("device", "cpu"))
    if job.get("dtype") == "bfloat16":
        model = model.bfloat16()
    elif job.get("dtype") == "float16":
        model = model.half()
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


def gemm_rate(device: str) -> float:
    """Operations a second of a plain product of the model's shape, here and now.

    In float32 on a CPU, in bfloat16 on a GPU.
    """
    import torch

    on_gpu = device.startswith("cuda")
    rows = 16384 if on_gpu else 2048
    dtype = torch.bfloat16 if on_gpu else torch.float32
    left = torch.randn(rows, 1024).to(device, dtype)
    right = torch.randn(1024, 4096).to(device, dtype)
    times = []
    for _ in range(20 if on_gpu else 5):
        start = time.perf_counter()
        torch.mm(left, right)
        wait_for(device)
        times.append(time.perf_counter() - start)
    return 2 * rows * 1024 * 4096 / min(times)


def wait_for(device: str) -> None:
    """Wait until a GPU has done what it was told."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize(device)


def gpu_mib(device: str) -> float | None:
    """Most memory of a GPU in use since the last call, which starts anew; None on a CPU."""
    if not device.startswith("cuda"):
        return None
    import torch

    peak = torch.cuda.max_memory_allocated(device) / 2**20
    torch.cuda.reset_peak_memory_stats(device)
    return peak


def measure(encode: Encode, job: dict[str, Any]) -> dict[str, float]:
    """One pass: seconds, CPU seconds, peak memory above the loaded model, share of GEMM."""
    device = str(job.get("device", "cpu")).partition(",")[0]
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = resident_mib("VmRSS")
    gpu_mib(device)
    model_on_gpu = gpu_mib(device)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    start = time.perf_counter()
    encode(job["texts"])
    wait_for(device)
    seconds = time.perf_counter() - start
    used = resource.getrusage(resource.RUSAGE_SELF)
    peak = gpu_mib(device)
    return {
        "seconds": seconds,
        "cpu_seconds": used.ru_utime + used.ru_stime - usage.ru_utime - usage.ru_stime,
        "peak_mib": resident_mib("VmHWM") - before,
        "gpu_mib": 0.0 if peak is None or model_on_gpu is None else peak - model_on_gpu,
        "gemm_share": job["operations"] / seconds / gemm_rate(device),
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
