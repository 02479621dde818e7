"""`tercet info` and `tercet models`: what is here, told without loading a model."""

import os
import platform
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

import typer

from tercet.cli.console import print_facts, print_json, print_table
from tercet.cli.options import Json, default_plan, stored_spec
from tercet.embeddings import EncoderSpec
from tercet.indexes.base import Index
from tercet.indexes.reader import IndexStats
from tercet.models.layouts import LAYOUTS
from tercet.models.registry import PUBLISHED
from tercet.models.spec import ModelSpec
from tercet.plans import plans_of

PACKAGES = (
    "tercet",
    "tercet-mini",
    "torch",
    "transformers",
    "tokenizers",
    "numpy",
    "langchain-core",
    "llama-index-core",
    "ir-measures",
)

ARITHMETIC = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16", "bf16")
"""What a CPU may have that matters to matrix products, as Linux names it."""

CPU_FLAGS = Path("/proc/cpuinfo")


def describe(
    index: Annotated[
        str | None,
        typer.Argument(
            metavar="INDEX", help="Folder or address of an index.", show_default="the machine"
        ),
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Describe INDEX or, without one, this machine."""
    found = _machine() if index is None else _index(index)
    if as_json:
        print_json(found)
    else:
        print_facts({name.replace("_", " "): _shown(value) for name, value in found.items()})


def list_models(*, as_json: Json = False) -> None:
    """List known models, and the layouts that are read."""
    if as_json:
        models = [
            {
                "model": spec.source,
                "views": _views(spec),
                "max_tokens": spec.max_tokens,
                "license": spec.license,
                "revision": spec.revision,
            }
            for spec in PUBLISHED
        ]
        print_json({"models": models, "layouts": [name for name, _ in LAYOUTS]})
        return
    print_table(
        ["model", "dense", "sparse", "multi_vector", "tokens", "licence"],
        [_row(spec) for spec in PUBLISHED],
    )
    typer.echo("\nAny checkpoint in one of these layouts, from a folder or a hub:")
    for name, _ in LAYOUTS:
        typer.echo(f"  {name}")


def _row(spec: ModelSpec) -> list[str]:
    views = {view: str(dim or "yes") for view, dim in _views(spec).items()}
    cells = [views.get(view, "-") for view in ("dense", "sparse", "multi_vector")]
    return [spec.source, *cells, str(spec.max_tokens), spec.license]


def _views(spec: ModelSpec) -> dict[str, int | None]:
    """The views of a model, with the length of their vectors where they have one."""
    lengths = {
        "dense": spec.dense_dim,
        "multi_vector": None if spec.multi_vector is None else spec.multi_vector.dim,
    }
    return {view.value: lengths.get(view.value) for view in spec.representations}


def _index(path: str) -> dict[str, Any]:
    with Index.open(path) as index:
        stats, stored = index.stats(), stored_spec(index)
    return {
        "index": path,
        "documents": stats.documents,
        "model": stored.source or stored.family,
        "revision": stored.revision,
        "options": dict(stored.options),
        "views": _lengths(stored),
        "plans": plans_of(stored),
        "default_plan": default_plan(stored),
        "bytes": dict(stats.bytes),
        "segments": stats.segments,
        "tombstones": stats.tombstones,
        **_late_interaction(stats),
        "generation": stats.generation,
        "format": stats.format,
        "model_id": stored.model_id,
        "document_id": stored.document_id,
    }


def _late_interaction(stats: IndexStats) -> dict[str, Any]:
    """How token vectors are stored and searched, and what the last build measured."""
    if stats.token_vectors is None:
        return {}
    found = asdict(stats.token_vectors)
    report = found.pop("report")
    return {"token_vectors": found, "build_report": report}


def _lengths(spec: EncoderSpec) -> dict[str, int | None]:
    lengths = {"dense": spec.dense_dim, "multi_vector": spec.multi_vector_dim}
    return {view.value: lengths.get(view.value) for view in spec.representations}


def _machine() -> dict[str, Any]:
    flags = _flags()
    return {
        "versions": {"python": platform.python_version(), **_versions()},
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "arithmetic": [name for name in ARITHMETIC if name in flags],
        "cpu_dtype": "bfloat16" if "amx_tile" in flags else "float32",
    }


def _versions() -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def _flags() -> frozenset[str]:
    """Abilities of the CPU, where the system tells them without a library."""
    if not CPU_FLAGS.is_file():
        return frozenset()
    lines = CPU_FLAGS.read_text(encoding="utf-8", errors="replace").splitlines()
    return frozenset(
        flag
        for line in lines
        if line.lower().startswith(("flags", "features"))
        for flag in line.partition(":")[2].split()
    )


def _shown(value: Any) -> str:
    match value:
        case None:
            return "-"
        case Mapping():
            return ", ".join(f"{name} {_shown(item)}" for name, item in value.items()) or "-"
        case list() | tuple():
            return ", ".join(map(_shown, value)) or "-"
        case bool() | str():
            return str(value)
        case int():
            return f"{value:,}"
        case _:
            return f"{value:,.4f}".rstrip("0").removesuffix(".")
