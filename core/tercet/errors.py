"""What can go wrong, as one tree of errors.

    TercetError
    ├── CheckpointError          a checkpoint cannot be used
    │   ├── UnknownLayoutError   its files are of no layout that we read
    │   └── MissingTensorError   a tensor that the layout needs is not there
    ├── MissingExtraError        an optional library is not installed
    ├── MissingViewError         a model or an index lacks the view that was asked for
    ├── SourceError              a file of documents, queries, judgements or examples cannot be read
    ├── TextTooLongError         a text is longer than the model reads, and cutting was refused
    ├── RecipeError              a training recipe cannot be followed
    ├── TrainingError            training stopped: a loss is no number, or a checkpoint has no room
    └── TercetIndexError         an index cannot do what was asked
        ├── IndexCorruptError    a file of the index is damaged or missing
        ├── IndexFormatError     the index was written in a format that we do not read
        ├── IndexLocked          another writer holds the index
        ├── IndexNotFoundError   there is no index
        ├── IndexReadOnlyError   the index was opened for reading, or cannot be written
        ├── IndexUnreachableError  the server that holds the index does not answer
        └── ModelMismatchError   the index holds another model's vectors

Wrong arguments are the built-in `TypeError` and `ValueError`. A message says what was asked, what
was found, and what to do.
"""

from collections.abc import Sequence
from importlib import import_module
from operator import index
from types import ModuleType
from typing import SupportsIndex


class TercetError(Exception):
    """Any error of this library that a caller may want to catch."""


class CheckpointError(TercetError):
    """A checkpoint cannot be used."""


class UnknownLayoutError(CheckpointError):
    """The files of a checkpoint are of no layout that we read."""


class MissingTensorError(CheckpointError):
    """A tensor that the layout needs is not in the checkpoint."""


class MissingExtraError(TercetError, ImportError):
    """An optional library is not installed."""


class MissingViewError(TercetError, ValueError):
    """A model or an index lacks the view that was asked for."""


class SourceError(TercetError, ValueError):
    """A file of documents, queries, judgements or examples cannot be read."""


class TextTooLongError(TercetError, ValueError):
    """A text is longer than the model reads, and cutting it was refused."""


class RecipeError(TercetError, ValueError):
    """A training recipe cannot be followed."""


class TrainingError(TercetError):
    """Training stopped: a loss or a weight is no number, or a checkpoint could not be written."""


class TruncationWarning(UserWarning):
    """Texts were longer than the encoder reads in the way that it was asked to."""


class TercetIndexError(TercetError):
    """An index cannot do what was asked."""


class IndexCorruptError(TercetIndexError):
    """A file of the index is damaged or missing."""


class IndexFormatError(TercetIndexError):
    """The index was written in a format that this version does not read."""


class IndexLocked(TercetIndexError, TimeoutError):  # noqa: N818  the published name
    """Another writer holds the index."""


class IndexNotFoundError(TercetIndexError, FileNotFoundError):
    """There is no index where one was to be opened."""


class IndexReadOnlyError(TercetIndexError):
    """The index was opened for reading only, or its folder cannot be written."""


class IndexUnreachableError(TercetIndexError, ConnectionError):
    """The server that holds the index does not answer."""


class ModelMismatchError(TercetIndexError, ValueError):
    """The index holds the vectors of another model."""


def require(module: str, *, extra: str) -> ModuleType:
    """Import an optional library.

    Args:
        module: The library's import name.
        extra: The extra of this distribution that installs it.

    Raises:
        MissingExtraError: The library is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if not f"{module}.".startswith(f"{error.name}."):
            raise  # the library is there, and something that it needs is not
        raise MissingExtraError(
            f"{module!r} is not installed; it comes with the {extra!r} extra: "
            f"pip install 'tercet[{extra}]'"
        ) from error


def check_texts(texts: object, *, name: str = "texts") -> None:
    """Refuse anything but a sequence of strings, a bare string above all.

    Raises:
        TypeError: A bare string, something that is no sequence, or an item that is no string.
    """
    if isinstance(texts, str):
        raise TypeError(f"{name} is one string; a sequence of strings belongs there: [{name}]")
    if not isinstance(texts, Sequence):
        raise TypeError(f"{name} is a {type(texts).__name__}; a sequence of strings belongs there")
    for position, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"{name}[{position}] is a {type(text).__name__}, not a string")


def check_query(query: object) -> None:
    """Refuse a query that is no string.

    Raises:
        TypeError: It is something else.
    """
    if not isinstance(query, str):
        raise TypeError(f"a query is one string, not {query!r}")


def check_k(k: object, *, name: str = "k") -> int:
    """Refuse a number of hits that is not a positive whole number.

    Raises:
        TypeError: Not a whole number.
        ValueError: Less than 1.
    """
    if isinstance(k, bool) or not isinstance(k, int | SupportsIndex):
        raise TypeError(f"{name} is {k!r}; a whole number belongs there")
    if (number := index(k)) < 1:
        raise ValueError(f"{name} is {number}; at least 1 hit must be asked for")
    return number


def check_methods(value: object, methods: Sequence[str], *, name: str) -> None:
    """Refuse an object without these methods; none is called, so nothing lazy is loaded.

    Raises:
        TypeError: A class in place of an object, or an object that lacks a method.
    """
    if isinstance(value, type):
        raise TypeError(f"{name} is the class {value.__name__}; an object of it belongs there")
    missing = [method for method in methods if not callable(getattr(value, method, None))]
    if missing:
        raise TypeError(f"{name} is a {type(value).__name__}, without {', '.join(missing)}")
