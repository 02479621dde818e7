"""Files that hold documents: text, Markdown, JSON lines, BEIR folders.

notes.txt, notes.md             one document; its id is the path below the argument
notes.jsonl, notes.jsonl.gz     one a line: {"id": "a", "text": "...", "metadata": {...}}
a folder                        its files, recursively, without hidden ones
a folder with corpus.jsonl      a BEIR collection: its corpus and nothing else
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from tercet.documents import Document
from tercet.errors import SourceError
from tercet.sources.beir import choices, find_choice
from tercet.sources.jsonl import JSONL_SUFFIXES, decoded, documents_of, make_document, read_lines

TEXT_SUFFIXES = (".txt", ".text", ".md", ".markdown")
READ = ", ".join((*TEXT_SUFFIXES, *JSONL_SUFFIXES))


@dataclass(frozen=True, slots=True)
class Source:
    """A file of documents.

    Attributes:
        path: Where it is.
        name: Its path below the argument that it was found by: the id of a text file's document.
    """

    path: Path
    name: str


class DocumentFiles:
    """The documents of some files and folders, read one by one each time they are gone through."""

    def __init__(self, paths: Sequence[str | PathLike[str]], *, corpus: str | None = None) -> None:
        """Find the files.

        Args:
            paths: Files and folders.
            corpus: Which corpus of a BEIR folder that has several: "en" is corpus.en.jsonl.

        Raises:
            SourceError: A path is not there, is of no form that we read, or holds no such file.
        """
        self.sources = [s for path in paths for s in find_sources(Path(path), corpus=corpus)]

    def __iter__(self) -> Iterator[Document]:
        for source in self.sources:
            yield from read_documents(source)

    def __length_hint__(self) -> int:
        """How many documents there are, by a quick pass over the lines; for progress bars."""
        return sum(map(_count, self.sources))


def find_sources(path: Path, *, corpus: str | None = None) -> list[Source]:
    """The files of documents that a path stands for, in the order of their names.

    Raises:
        SourceError: The path is not there, is of no form that we read, or holds no such file.
    """
    if path.is_dir():
        found = list(_walk(path, path, corpus))
        if not found:
            raise SourceError(f"no documents in {path}: no file ends in {READ}")
        return found
    if not path.exists():
        raise SourceError(f"no file or folder {str(path)!r}")
    if not _is_source(path):
        raise SourceError(f"{path} is of no form that is read; there are: {READ}")
    return [Source(path, path.name)]


def _walk(folder: Path, root: Path, corpus: str | None) -> Iterator[Source]:
    if choices(folder, "corpus"):
        chosen = find_choice(folder, "corpus", corpus)
        yield Source(chosen, chosen.relative_to(root).as_posix())
        return
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir() and not path.is_symlink():  # a link may lead round in a circle
            yield from _walk(path, root, corpus)
        elif path.is_file() and _is_source(path):
            yield Source(path, path.relative_to(root).as_posix())


def read_documents(source: Source) -> Iterator[Document]:
    """The documents of one file.

    Raises:
        SourceError: The file is not what its name says; the message names the line.
    """
    name = str(source.path)
    if name.lower().endswith(JSONL_SUFFIXES):
        yield from documents_of(read_lines(source.path), name=name)
    else:
        text = decoded(source.path.read_bytes(), place=name)
        yield make_document(source.name, text, place=name)


def _is_source(path: Path) -> bool:
    return path.name.lower().endswith((*TEXT_SUFFIXES, *JSONL_SUFFIXES))


def _count(source: Source) -> int:
    if not source.path.name.lower().endswith(JSONL_SUFFIXES):
        return 1
    return sum(1 for line in read_lines(source.path) if line.strip())
