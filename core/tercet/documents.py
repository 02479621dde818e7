"""Documents: what a user indexes and gets back."""

import json
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

MAX_ID_BYTES = 512

_finite_json = json.JSONEncoder(allow_nan=False).encode


@dataclass(frozen=True, slots=True)
class Document:
    """A text under an id.

    Attributes:
        id: A non-empty string of at most 512 bytes in UTF-8, without NUL.
        text: What is encoded (after `header`), stored and returned.
        metadata: A JSON object; filters look at it.
        header: Stands before the text when it is encoded, joined as it is; a title, say.
        parent: Id of the document of which this one is a chunk; filters see it as `$parent`.
        private: A JSON object that belongs to one adapter: stored, never filtered.
    """

    id: str
    text: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    header: str = ""
    parent: str | None = None
    private: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the id, the types of the texts, and that both objects are JSON."""
        check_id(self.id)
        for name in ("text", "header"):
            value = getattr(self, name)
            if not isinstance(value, str):
                raise TypeError(
                    f"{name} of document {self.id!r} is a {type(value).__name__}, not a string"
                )
        if self.parent is not None:
            check_id(self.parent, name=f"parent of document {self.id!r}")
        for name in ("metadata", "private"):
            check_json_object(getattr(self, name), name=f"{name} of document {self.id!r}")

    @property
    def content(self) -> str:
        """What is encoded: header and text, joined as they are."""
        return self.header + self.text


def check_id(value: object, *, name: str = "document id") -> str:
    """Refuse what cannot be an id.

    Raises:
        TypeError: Not a string.
        ValueError: Empty, with a NUL or a lone surrogate, or longer than 512 bytes.
    """
    if not isinstance(value, str):
        raise TypeError(f"{name} is {value!r}, a {type(value).__name__}; ids are strings")
    try:
        size = len(value.encode())
    except UnicodeEncodeError as error:
        raise ValueError(f"{name} {value!r} has a lone surrogate: no UTF-8 form") from error
    if not 1 <= size <= MAX_ID_BYTES or "\0" in value:
        raise ValueError(
            f"{name} {value[:80]!r} has {size} bytes; ids have 1 to {MAX_ID_BYTES} and no NUL"
        )
    return value


def check_json_object(value: object, *, name: str) -> None:
    """Refuse what is not a JSON object: string keys, and finite numbers, strings, lists inside.

    Raises:
        TypeError: Not a mapping with string keys, or a value that JSON does not know.
        ValueError: NaN, an infinity, or an object that holds itself.
    """
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} is a {type(value).__name__}, not a mapping")
    if not value:
        return
    try:
        _check_keys(value, name)
        _finite_json(dict(value))
    except TypeError as error:
        raise TypeError(f"{name} is not JSON: {error}; write dates as ISO-8601") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name} is not JSON: {error}") from error


def _check_keys(value: object, name: str) -> None:
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(f"the key {key!r} is no string")
            _check_keys(item, name)
    elif isinstance(value, list | tuple):
        for item in value:
            _check_keys(item, name)


REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def has_lone_surrogates(text: str) -> bool:
    """Whether a text has no UTF-8 form."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def replace_lone_surrogates(text: str) -> str:
    """The text with every lone surrogate replaced by U+FFFD, as long as before."""
    if not has_lone_surrogates(text):
        return text
    return "".join(REPLACEMENT if "\ud800" <= c <= "\udfff" else c for c in text)


@dataclass(frozen=True, slots=True)
class AddReport:
    """What an `add` did.

    Attributes:
        committed: Documents written, new and replaced ones.
        replaced: How many of them took the place of a document with the same id.
        skipped: Documents that were there already, with the same content.
        duplicate_ids: Ids given more than once in the call; the last one won.
    """

    committed: int = 0
    replaced: int = 0
    skipped: int = 0
    duplicate_ids: tuple[str, ...] = ()

    def __add__(self, other: "AddReport") -> "AddReport":
        return AddReport(
            self.committed + other.committed,
            self.replaced + other.replaced,
            self.skipped + other.skipped,
            tuple(dict.fromkeys((*self.duplicate_ids, *other.duplicate_ids))),
        )


def cleaned(documents: Sequence[Document]) -> list[Document]:
    """The documents with every lone surrogate in their strings replaced by U+FFFD.

    Warns once where there was one, since neither SQLite nor a tokenizer takes them.
    """
    result = [clean(document) for document in documents]
    changed = [new.id for old, new in zip(documents, result, strict=True) if old is not new]
    warn_of_surrogates(changed, stacklevel=4)
    return result


def warn_of_surrogates(ids: Sequence[str], *, stacklevel: int) -> None:
    """Say which documents had lone surrogates, if any had."""
    if ids:
        warnings.warn(
            f"{len(ids)} documents have lone surrogates, which have no UTF-8 form; they became "
            f"U+FFFD. The first of them is {ids[0]!r}",
            stacklevel=stacklevel,
        )


def batches_of(documents: object, *, most: int, characters: int) -> Iterator[list[Document]]:
    """Cut a stream of documents where a batch holds so many of them, or so many characters.

    Raises:
        TypeError: One document or one string, no iterable, or an item that is no `Document`.
    """
    if isinstance(documents, str | bytes | Mapping | Document) or not isinstance(
        documents, Iterable
    ):
        name = type(documents).__name__
        raise TypeError(f"documents is a {name}; an iterable of Document belongs there")
    stream = iter(documents)
    while batch := [_checked(document) for document in islice(stream, 1)]:
        size = len(batch[0].text)
        for document in islice(stream, most - 1):
            batch.append(_checked(document))
            size += len(document.text)
            if size > characters:
                break
        yield batch


def _checked(document: object) -> Document:
    if not isinstance(document, Document):
        raise TypeError(f"{document!r} is no Document; make one: Document(id=..., text=...)")
    return document


def clean(document: Document) -> Document:
    """The document with every lone surrogate replaced by U+FFFD; itself where there is none."""
    objects = json.dumps([document.metadata, document.private], ensure_ascii=False, default=dict)
    if not has_lone_surrogates(document.content + objects):
        return document
    return replace(
        document,
        text=replace_lone_surrogates(document.text),
        header=replace_lone_surrogates(document.header),
        metadata=_clean_json(document.metadata),
        private=_clean_json(document.private),
    )


def _clean_json(value: Any) -> Any:
    if isinstance(value, str):
        return replace_lone_surrogates(value)
    if isinstance(value, Mapping):
        return {replace_lone_surrogates(key): _clean_json(item) for key, item in value.items()}
    return [_clean_json(item) for item in value] if isinstance(value, list | tuple) else value
