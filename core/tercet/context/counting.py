"""Counting tokens as a language model does: with tiktoken, also offline, or any function."""

import os
import shutil
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from uuid import uuid4

from tercet.errors import TercetError, require

Counter = Callable[[str], int]
"""How many tokens a text has."""

CACHE_NAMES = {
    "cl100k_base": "9b5ad71b2ce5302211f9c61530b329a4922fc6a4",
    "o200k_base": "fb374d419588a4632f3f557e76b4b70aebbca790",
}
"""The file that tiktoken looks for in its cache: the SHA-1 of where it would download it from."""

CACHE_VARIABLES = ("TIKTOKEN_CACHE_DIR", "DATA_GYM_CACHE_DIR")

BUNDLE = Path("_static", "tiktoken_cache")
"""Where llama-index-core brings both files along."""


def token_counter(encoding: str) -> Counter:
    """Count the tokens of one of tiktoken's encodings.

    `cl100k_base` and `o200k_base` are taken from tiktoken's cache, else from the copies that come
    with llama-index-core, if it is installed; any other way tiktoken downloads them once.

    Args:
        encoding: `o200k_base`, `cl100k_base` or another name that tiktoken knows.

    Raises:
        MissingExtraError: tiktoken is not installed.
        ValueError: tiktoken knows no such encoding.
        TercetError: The encoding is not on this machine and could not be downloaded.
    """
    tiktoken = require("tiktoken", extra="tiktoken")
    if encoding not in tiktoken.list_encoding_names():
        names = ", ".join(sorted(tiktoken.list_encoding_names()))
        raise ValueError(f"no encoding {encoding!r}; tiktoken has: {names}")
    try:
        _fill_cache(encoding)
        encode = tiktoken.get_encoding(encoding).encode_ordinary
    except OSError as error:
        raise TercetError(
            f"tiktoken's {encoding!r} is not on this machine and could not be downloaded: set "
            "TIKTOKEN_CACHE_DIR to a folder that holds it, install llama-index-core, which brings "
            f"{' and '.join(CACHE_NAMES)} along, or pass counter= a function of your own"
        ) from error
    return lambda text: len(encode(text))


def _fill_cache(encoding: str) -> None:
    """Copy the bundled file where tiktoken looks for it, if it is not there.

    A copy, since tiktoken deletes a file of its cache that does not look right to it.
    """
    name, bundle = CACHE_NAMES.get(encoding), _bundle()
    if name is None or bundle is None:
        return
    given = next((os.environ[v] for v in CACHE_VARIABLES if v in os.environ), None)
    cache = Path(tempfile.gettempdir(), "data-gym-cache") if given is None else Path(given)
    if given == "" or (cache / name).exists() or not (bundle / name).exists():
        return
    cache.mkdir(parents=True, exist_ok=True)
    unfinished = cache / f"{name}.{uuid4()}.tmp"
    shutil.copyfile(bundle / name, unfinished)
    unfinished.replace(cache / name)


def _bundle() -> Path | None:
    """The folder in llama-index-core, found without importing it."""
    if find_spec("llama_index") is None:
        return None
    found = find_spec("llama_index.core")
    return None if found is None or found.origin is None else Path(found.origin).parent / BUNDLE
