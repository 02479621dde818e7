"""Which layout a file or folder of examples has, and its examples as a stream."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from tercet.errors import SourceError
from tercet.sources.beir import choices
from tercet.sources.jsonl import JSONL_SUFFIXES
from tercet.training.datasets import beir, flag_embedding, pairs, sentence_transformers
from tercet.training.datasets.examples import Demand, Example

Placed = Iterator[tuple[str, Example]]

TABLES = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
LINES = (*JSONL_SUFFIXES, ".json")


@dataclass(frozen=True, slots=True)
class Layout:
    """A form in which people keep examples.

    Attributes:
        shows: What it looks like, for messages.
        fits: Whether a path is of this layout.
        read: Its examples: path, split, language.
        splits: Whether a split or a language can be asked for.
    """

    shows: str
    fits: Callable[[Path], bool]
    read: Callable[[Path, str | None, str | None], Placed]
    splits: bool = False


def _columns(path: Path) -> list[str]:
    """The columns of the first row of a file; none where it is no file of rows."""
    if not path.is_file() or not path.name.lower().endswith((*TABLES, *LINES)):
        return []
    return next((list(row) for _, row in sentence_transformers.rows_of(path)), [])


def _is_flag_embedding(path: Path) -> bool:
    return path.name.lower().endswith(LINES) and set(_columns(path)) >= flag_embedding.KEYS


LAYOUTS = {
    "flag-embedding": Layout(
        'JSON lines with "query", "pos", "neg"',
        _is_flag_embedding,
        lambda path, _split, _language: flag_embedding.read_flag_embedding(path),
    ),
    "sentence-transformers": Layout(
        "JSON lines, CSV or TSV with the columns anchor, positive, negative, ...",
        lambda path: sentence_transformers.recognised(_columns(path)),
        lambda path, _split, _language: sentence_transformers.read_columns(path),
    ),
    "pairs": Layout(
        "a folder with passages.jsonl and pairs.jsonl",
        lambda path: bool(choices(path, pairs.PAIRS) and choices(path, pairs.DOCUMENTS)),
        lambda path, split, language: pairs.read_pairs(path, split=split, language=language),
        splits=True,
    ),
    "beir": Layout(
        "a folder with corpus.jsonl, queries.jsonl and qrels",
        lambda path: bool(choices(path, "corpus") and choices(path, "queries")),
        lambda path, split, language: beir.read_beir(path, split=split, language=language),
        splits=True,
    ),
}
"""The layouts in the order in which they are tried."""


class ExampleFiles:
    """The examples of some files and folders, read one by one each time they are gone through."""

    def __init__(
        self,
        paths: Sequence[str | PathLike[str]],
        *,
        layout: str | None = None,
        split: str | None = None,
        language: str | None = None,
        demand: Demand | None = None,
    ) -> None:
        """Find the files and recognise their layouts.

        Args:
            paths: Files and folders.
            layout: A name of `LAYOUTS`; None finds it out. A file of pairs whose columns have
                other names is "sentence-transformers": their order counts.
            split: Of a collection: whose judgements or pairs.
            language: Of a collection in several languages: only this one.
            demand: What each example must have.

        Raises:
            SourceError: A path is not there, or of no layout.
        """
        self.demand = demand or Demand()
        self._sources = [(path, layout_of(path, layout)) for path in map(Path, paths)]
        self._split, self._language = split, language
        for path, name in self._sources:
            if (split or language) and not LAYOUTS[name].splits:
                raise SourceError(
                    f"{path} is of the layout {name}, which has no splits and languages; "
                    f"asked was for {split or language!r}"
                )

    def __iter__(self) -> Iterator[Example]:
        for path, name in self._sources:
            for place, example in LAYOUTS[name].read(path, self._split, self._language):
                self.demand.check(example, place=place)
                yield example


def layout_of(path: Path, name: str | None = None) -> str:
    """The layout of a file or folder.

    Args:
        path: The file or folder.
        name: What a caller says that it is.

    Raises:
        SourceError: Nothing is there, it is of no layout, or there is no such layout.
    """
    if not path.exists():
        raise SourceError(f"no file or folder {str(path)!r}")
    if name is not None and name not in LAYOUTS:
        raise SourceError(f"no layout {name!r}; there are: {', '.join(LAYOUTS)}")
    found = name or next((key for key, layout in LAYOUTS.items() if layout.fits(path)), None)
    if found is None:
        columns = f"its columns are {', '.join(_columns(path))}; " if _columns(path) else ""
        known = "; ".join(f"{key}: {layout.shows}" for key, layout in LAYOUTS.items())
        raise SourceError(f"{path} is of no layout that we know; {columns}there are: {known}")
    return found
