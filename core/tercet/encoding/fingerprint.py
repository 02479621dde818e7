"""What a model is, as one sha256: two encoders with the same one make the same vectors.

A hub model is its repository and commit. A folder is the content of the files that shape vectors:
weights, heads, tokenizer, and the JSON that holds prompts, markers and poolings. Hashing gigabytes
takes seconds, so the hash of a file is kept in the user's cache and reused while its size and time
of change stay the same.
"""

import contextlib
import hashlib
import json
import os
import tempfile
import time
from pathlib import Path

from tercet.encoding.sources import Source
from tercet.models.files import join
from tercet.models.spec import ModelSpec

CONFIGURATION = frozenset(
    {
        "artifact.metadata",
        "config.json",
        "config_sentence_transformers.json",
        "modules.json",
        "tercet.json",
    }
)
"""Files of a checkpoint's own folder that say how the tensors are used."""

TOKENIZER = frozenset(
    {
        "added_tokens.json",
        "merges.txt",
        "sentencepiece.bpe.model",
        "special_tokens_map.json",
        "spiece.model",
        "spm.model",
        "tokenizer.json",
        "tokenizer.model",
        "tokenizer_config.json",
        "vocab.json",
        "vocab.txt",
    }
)
"""Files of a tokenizer."""

SETTLED_SECONDS = 2.0
"""A file that changed more recently may change again within one tick of its clock."""


def model_id(source: Source, spec: ModelSpec, names: frozenset[str]) -> str:
    """The fingerprint of a model.

    Args:
        source: Where its checkpoint is.
        spec: What it is.
        names: The checkpoint's files.
    """
    digest = hashlib.sha256()
    if source.revision is not None:
        digest.update(f"hub\0{source.name}\0{source.revision}".encode())
        return digest.hexdigest()
    for name in sorted(shaping_files(spec, names)):
        digest.update(f"{name}\0{file_hash(source.folder / name)}\0".encode())
    return digest.hexdigest()


def shaping_files(spec: ModelSpec, names: frozenset[str]) -> frozenset[str]:
    """The files of a checkpoint that shape its vectors."""
    folder = spec.tokenizer.folder
    files = {name for name in names if name in CONFIGURATION}
    files |= {join(folder, name) for name in TOKENIZER | CONFIGURATION} & names
    files |= {name for name in names if name.rpartition("/")[2].startswith("sentence_")}
    files |= {name for name in names if name.count("/") == 1 and name.endswith("/config.json")}
    files |= {*spec.weights, *(layer.file for _, layer in spec.head_layers)}
    return frozenset(files)


def file_hash(path: Path) -> str:
    """The sha256 of a file's content, from the cache where the file has not changed."""
    status = path.stat()
    state = [status.st_size, status.st_mtime_ns]
    kept = cache_folder() / hashlib.sha256(str(path.resolve()).encode()).hexdigest()
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        known = json.loads(kept.read_text(encoding="utf-8"))
        if known["state"] == state:
            return str(known["sha256"])
    with path.open("rb") as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()
    if time.time() - status.st_mtime > SETTLED_SECONDS:
        _keep(kept, json.dumps({"state": state, "sha256": content}))
    return content


def cache_folder() -> Path:
    """Where hashes are kept: `TERCET_CACHE`, or `tercet` in the user's cache folder."""
    own = os.environ.get("TERCET_CACHE")
    user = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    base = Path(own) if own else Path(user or Path.home() / ".cache") / "tercet"
    return base / "file-hashes"


def _keep(path: Path, content: str) -> None:
    """Write a file in one step; where the cache cannot be written, do without."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(content)
        Path(name).replace(path)
