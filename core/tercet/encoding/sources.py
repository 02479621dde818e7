"""Where a checkpoint comes from: the small model's package, a folder, or a model hub."""

import os
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from huggingface_hub import HfApi, snapshot_download, try_to_load_from_cache
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from tercet.errors import CheckpointError, MissingExtraError
from tercet.models.files import WEIGHTS
from tercet.models.tercet_mini import HEADS

MINI = "tercet/mini"
MINI_PACKAGE = "tercet_mini"

WANTED = frozenset({".json", ".metadata", ".model", ".pt", ".txt"})
"""Suffixes of files that layouts read, beside weights and the model card."""

BESIDE = frozenset({"README.md", HEADS})
"""Files wanted by their whole name: the model card tells the licence."""

UNWANTED_FOLDERS = frozenset({"onnx", "openvino", "coreml", "gguf", "imgs", "assets", "original"})
"""Folders of other libraries' exports."""

ENTRANCES = ("config.json", "modules.json", "tercet.json")
"""Files of which every layout has at least one in its own folder."""

UNREACHABLE: tuple[type[Exception], ...] = (*HfHubHTTPError.__bases__, OSError)
"""What the hub's client raises without an answer: errors of its HTTP library, whichever it uses."""


@dataclass(frozen=True, slots=True)
class Source:
    """A checkpoint's folder and where it came from.

    Attributes:
        name: `tercet/mini`, a hub id, or an absolute folder.
        folder: Where its files are on this machine.
        revision: Commit of the hub's repository, 40 hex digits; None for folders.
    """

    name: str
    folder: Path
    revision: str | None = None


def find(source: str | Path, *, revision: str | None = None) -> Source:
    """Bring a checkpoint's files onto this machine.

    Args:
        source: `tercet/mini`, a folder, or a hub id such as `BAAI/bge-m3`. A folder wins.
        revision: Branch, tag or commit of a hub repository.

    Raises:
        CheckpointError: There is no such folder or repository, or it cannot be reached.
        MissingExtraError: `tercet/mini` is not installed.
        ValueError: A revision for something that has none, or an empty source.
    """
    name = os.fspath(source)
    if not name.strip():
        raise ValueError("the source is empty; give a folder, a hub id or 'tercet/mini'")
    folder = Path(name).expanduser()
    local = name == MINI or isinstance(source, Path) or folder.is_dir()
    if local and revision is not None:
        raise ValueError(f"revision={revision!r}: {name} is no hub repository, it has none")
    if name == MINI:
        return Source(MINI, mini_folder())
    if local:
        return Source(str(folder.resolve()), folder.resolve())
    _check_hub_id(name, folder)
    return _from_hub(name, revision)


def mini_folder() -> Path:
    """The folder of the installed small model.

    Raises:
        MissingExtraError: Its package is not installed.
    """
    try:
        package = import_module(MINI_PACKAGE)
    except ModuleNotFoundError as error:
        if error.name != MINI_PACKAGE:
            raise  # the package is there, and something that it needs is not
        raise MissingExtraError(
            f"{MINI!r} is not installed; it is the distribution 'tercet-mini' of its own: "
            "pip install tercet-mini, or pip install ./models/mini in a checkout of tercet"
        ) from error
    return Path(package.PATH)


def _check_hub_id(name: str, folder: Path) -> None:
    looks_like_path = name.startswith((".", "~")) or folder.is_absolute() or os.sep == "\\" in name
    if looks_like_path or name.count("/") > 1:
        raise CheckpointError(
            f"there is no folder {name}; a source is a folder, a hub id such as "
            f"'BAAI/bge-m3', or {MINI!r}"
        )


def _from_hub(name: str, revision: str | None) -> Source:
    at = f" at {revision}" if revision else ""
    try:
        return _download(name, revision)
    except RevisionNotFoundError as error:
        raise CheckpointError(f"{name} has no revision {revision} on the hub") from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise CheckpointError(
            f"no model {name}{at} on the hub, and no folder of that name: check the spelling, and "
            "the access token if it is private or gated"
        ) from error
    except UNREACHABLE as error:
        return _from_cache(name, revision, error)


def _download(name: str, revision: str | None) -> Source:
    """The wanted files of a commit; nothing is asked for where all of them are in the cache."""
    found = HfApi().model_info(name, revision=revision)
    files = wanted_files([sibling.rfilename for sibling in found.siblings or ()])
    cached = [_cached(name, file, found.sha) for file in files]
    here = {folder for folder in cached if folder is not None}
    if None in cached or len(here) != 1:
        downloaded = snapshot_download(name, revision=revision, allow_patterns=sorted(files))
        return Source(name, Path(downloaded), Path(downloaded).name)
    return Source(name, here.pop(), found.sha)


def _from_cache(name: str, revision: str | None, error: Exception) -> Source:
    for file in ENTRANCES:
        folder = _cached(name, file, revision)
        if folder is not None:
            return Source(name, folder, folder.name)
    offline = isinstance(error, OfflineModeIsEnabled)
    why = "is switched off (HF_HUB_OFFLINE)" if offline else f"cannot be reached ({error})"
    raise CheckpointError(
        f"{name} is not in the local cache, and the hub {why}: connect once, or give a folder, "
        f"or use {MINI!r}, which needs no hub"
    ) from error


def _cached(name: str, file: str, revision: str | None) -> Path | None:
    """The cached folder of a commit, if this file of it is there."""
    found = try_to_load_from_cache(name, file, revision=revision)
    return Path(found).parents[file.count("/")] if isinstance(found, str) else None


def wanted_files(names: list[str]) -> set[str]:
    """The files of a repository that a layout may read; of two copies of weights, one."""
    candidates = {name for name in names if name.split("/")[0] not in UNWANTED_FOLDERS}
    folders = {name.rpartition("/")[0] for name in candidates}
    wanted = {name for name in candidates if Path(name).suffix in WANTED}
    wanted |= candidates & BESIDE
    for folder in folders:
        here = {name for name in candidates if name.rpartition("/")[0] == folder}
        wanted -= {name for name in here if name.endswith(WEIGHTS)}
        wanted |= _weights(here)
    return wanted


def _weights(names: set[str]) -> set[str]:
    """The weights of one folder: safetensors where there are any, in one file or in shards."""
    best = next((name for w in WEIGHTS for name in names if name.rpartition("/")[2] == w), None)
    if best is None or not best.endswith(".index.json"):
        return {best} if best else set()
    start, _, suffix = best.removesuffix(".index.json").rpartition(".")
    return {best} | {n for n in names if n.startswith(f"{start}-") and n.endswith(suffix)}
