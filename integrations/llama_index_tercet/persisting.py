"""The file that stands for an index among what LlamaIndex persists."""

import json
from pathlib import Path

from llama_index.core.vector_stores.simple import DEFAULT_VECTOR_STORE, NAMESPACE_SEP
from llama_index.core.vector_stores.types import DEFAULT_PERSIST_FNAME

from tercet.indexes.base import Index
from tercet.retriever import Retriever

PERSISTED = f"{DEFAULT_VECTOR_STORE}{NAMESPACE_SEP}{DEFAULT_PERSIST_FNAME}"
"""The name under which a `StorageContext` has its vector store persisted."""


def write_place(file: Path, retriever: Retriever) -> None:
    """Write where the index of a retriever is; a temporary one is copied beside the file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    address = retriever.index.address
    if retriever.temporary:
        address = f"{file.stem}.tercet"
        _copy(retriever.index, file.parent / address)
    # a list, since LlamaIndex reads any object as an empty store of its own
    file.write_text(json.dumps([{"tercet_index": address}]), encoding="utf-8")


def read_place(file: Path) -> str:
    """Where the index is that `write_place` wrote of.

    Raises:
        FileNotFoundError: There is no file.
        ValueError: Another store wrote it.
    """
    match json.loads(file.read_text(encoding="utf-8")):
        case [{"tercet_index": str(address)}]:
            return address if "://" in address else str(file.parent / address)
    raise ValueError(f"{file} was not written by a TercetVectorStore")


def _copy(index: Index, folder: Path) -> None:
    with Index.open(folder, spec=index.spec, representations=index.representations) as copy:
        copy.clear()
        for documents, embeddings in index.scan():
            copy.add(documents, embeddings)
