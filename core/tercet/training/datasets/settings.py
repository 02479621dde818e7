"""What a recipe says about its data, and the examples and texts that this means."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np

from tercet.errors import SourceError
from tercet.training.datasets.examples import Demand, Example
from tercet.training.datasets.layouts import ExampleFiles
from tercet.training.datasets.texts import TextFiles

LayoutName = Literal["flag-embedding", "sentence-transformers", "pairs", "beir"]

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class DataSettings:
    """Where examples and unlabelled texts are.

    Attributes:
        examples: Files and folders of examples.
        texts: Files and folders of texts without labels.
        layout: Of the examples; None finds it out.
        split: Of a collection: "train", "dev", ...
        language: Of a collection in several languages: only this one.
        limit: At most so many examples, and so many texts: always the same ones, drawn at random.
    """

    examples: tuple[Path, ...] = ()
    texts: tuple[Path, ...] = ()
    layout: LayoutName | None = None
    split: str | None = None
    language: str | None = None
    limit: int | None = None


def read_examples(settings: DataSettings, *, demand: Demand | None = None) -> list[Example]:
    """The examples that a recipe names.

    Args:
        settings: Where they are.
        demand: What each must have.

    Raises:
        SourceError: None are named, a file cannot be read, or an example lacks what it must have.
    """
    if not settings.examples:
        raise SourceError("no examples are named, and this training needs some: [data] examples")
    files = ExampleFiles(
        settings.examples,
        layout=settings.layout,
        split=settings.split,
        language=settings.language,
        demand=demand,
    )
    return _some(files, settings.limit, named=settings.examples)


def read_texts(settings: DataSettings) -> list[str]:
    """The unlabelled texts that a recipe names.

    Raises:
        SourceError: None are named, or a file cannot be read.
    """
    if not settings.texts:
        raise SourceError("no texts are named, and this training needs some: [data] texts")
    files = TextFiles(settings.texts, split=settings.split, language=settings.language)
    return _some(files, settings.limit, named=settings.texts)


def _some(files: Iterable[Item], limit: int | None, *, named: tuple[Path, ...]) -> list[Item]:
    """All items, or a sample of them in their order."""
    items = list(files)
    if not items:
        raise SourceError(f"nothing is in {', '.join(map(str, named))}")
    if limit is None or limit >= len(items):
        return items
    rows = np.random.default_rng(0).choice(len(items), size=limit, replace=False)
    return [items[row] for row in sorted(rows.tolist())]
