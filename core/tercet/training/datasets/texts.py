"""Texts without labels, for stages that need none.

texts.txt              one text a line
texts.jsonl            {"text": "..."}, perhaps with a title before it
a collection           the documents of a BEIR folder or of a folder of pairs
"""

from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path

from tercet.errors import SourceError
from tercet.sources.beir import choices, find_choice
from tercet.sources.jsonl import JSONL_SUFFIXES, decoded, read_lines, read_records, record_text
from tercet.training.datasets import pairs

PLAIN = (".txt", ".text", ".txt.gz")


class TextFiles:
    """The texts of some files and folders, read one by one each time they are gone through."""

    def __init__(
        self,
        paths: Sequence[str | PathLike[str]],
        *,
        split: str | None = None,
        language: str | None = None,
    ) -> None:
        """Find the files.

        Args:
            paths: Files and folders.
            split: Of a folder of pairs: "train" leaves out its held-out documents, "dev" the
                others. Texts elsewhere have no splits, and all of them are read.
            language: Of a collection in several languages: only this one.

        Raises:
            SourceError: A path is not there, or of no form that is read.
        """
        self._split, self._language = split, language
        self._files = [_file(Path(path), language) for path in paths]

    def __iter__(self) -> Iterator[str]:
        for path in self._files:
            texts = _texts(path, self._language)
            if self._split is not None and _has_splits(path):
                pairs.check_split(path, self._split)
                held_out = self._split == "dev"
                texts = (text for text in texts if pairs.is_held_out(text) is held_out)
            yield from texts


def _file(path: Path, language: str | None) -> Path:
    if path.is_dir() and choices(path, pairs.DOCUMENTS):
        return find_choice(path, pairs.DOCUMENTS, None)
    if path.is_dir():
        return find_choice(path, "corpus", language)
    if not path.exists():
        raise SourceError(f"no file or folder {str(path)!r}")
    if not path.name.lower().endswith((*PLAIN, *JSONL_SUFFIXES)):
        raise SourceError(
            f"{path} is of no form that is read; there are: {', '.join((*PLAIN, *JSONL_SUFFIXES))} "
            "and folders with a corpus.jsonl"
        )
    return path


def _has_splits(path: Path) -> bool:
    return bool(choices(path.parent, pairs.PAIRS)) and path.name.startswith(pairs.DOCUMENTS)


def _texts(path: Path, language: str | None) -> Iterator[str]:
    if path.name.lower().endswith(PLAIN):
        for number, line in enumerate(read_lines(path), start=1):
            text = decoded(line, place=f"{path}, line {number}").strip()
            if text:
                yield text
        return
    for place, record in read_records(read_lines(path), name=str(path)):
        if language in (None, record.get("lang", language)):
            title = record_text(record, "title", place=place, default="")
            yield f"{title} {record_text(record, 'text', place=place)}".strip()
