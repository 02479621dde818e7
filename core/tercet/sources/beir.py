"""BEIR folders: which of their files holds the corpus, which the queries.

corpus.jsonl, queries.jsonl             perhaps packed, as .jsonl.gz
corpus.en.jsonl, corpus.de.jsonl        one of several, chosen by what stands in the middle
"""

from pathlib import Path

from tercet.errors import SourceError
from tercet.sources.jsonl import JSONL_SUFFIXES


def choices(folder: Path, stem: str) -> dict[str, Path]:
    """Files of a BEIR folder by what stands between their stem and .jsonl: "en", or nothing."""
    found: dict[str, Path] = {}
    for path in sorted(folder.glob(f"{stem}*.jsonl*")):
        for suffix in JSONL_SUFFIXES:
            middle = path.name.removeprefix(stem).removesuffix(suffix)
            if path.name.endswith(suffix) and (not middle or middle.startswith(".")):
                found.setdefault(middle.removeprefix("."), path)
    return found


def find_choice(folder: Path, stem: str, choice: str | None) -> Path:
    """One file of a BEIR folder: corpus.jsonl, or corpus.en.jsonl where "en" is the choice.

    Raises:
        SourceError: There is no such file.
    """
    found = choices(folder, stem)
    if len(found) == 1 and choice is None:
        return next(iter(found.values()))
    if (choice or "") not in found:
        there = ", ".join(path.name for path in found.values()) or "nothing of the kind"
        asked = f"{stem}.{choice}.jsonl" if choice else f"{stem}.jsonl"
        raise SourceError(f"no {asked} in {folder}; there is: {there}")
    return found[choice or ""]
