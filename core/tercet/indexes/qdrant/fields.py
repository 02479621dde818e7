"""Metadata as payload that filters can look at, with the types and the order that Python has.

A field has, under its key,

    names     the keys of all fields of the document, for $exists
    values    its value as a string that names the type too, for $eq and $in
    items     those of a list, for $contains
    numbers   the nearest float, for orderings
    strings   the first 24 bytes as numbers, for orderings
    folded    the string in folded case, for $match
"""

import hashlib
import sys
from collections.abc import Mapping
from typing import Any

from tercet.documents import replace_lone_surrogates
from tercet.filters import flatten, kind

PARTS = 4
PART_BYTES = 6
"""Bytes of a string that one number holds: 257 ** 6 is below the 2 ** 53 that a float counts to."""

ORDERED_BYTES = PARTS * PART_BYTES
LONGEST_VALUE = 256
"""Longer strings are compared by their hash."""


def field_payload(metadata: Mapping[str, Any], parent: str | None) -> dict[str, Any]:
    """The part of a document's payload that filters look at."""
    payload: dict[str, Any] = {
        name: {} for name in ("values", "items", "numbers", "strings", "folded")
    }
    found = {key(name): value for name, value in flatten(metadata, parent=parent)}
    for name, value in found.items():
        payload["values"][name] = canonical(value)
        if isinstance(value, list):
            payload["items"][name] = [canonical(item) for item in value]
        elif isinstance(value, str):
            payload["strings"][name] = dict(zip("0123", string_parts(value), strict=True))
            payload["folded"][name] = replace_lone_surrogates(value).casefold()
        elif kind(value) == "number":
            payload["numbers"][name] = nearest_float(value)
    return {"names": list(found), **payload}


def key(name: str) -> str:
    """The name of a field as a path of the payload can have it."""
    raw = replace_lone_surrogates(name).encode()
    escaped = (chr(b) if chr(b).isascii() and chr(b).isalnum() else f"_{b:02x}" for b in raw)
    return "".join(escaped) or "_"


def canonical(value: Any) -> str:
    """A string that two values share if they are equal, as `filters` sees it."""
    found = kind(value)
    if found == "string":
        text = replace_lone_surrogates(value)
        if len(text) <= LONGEST_VALUE:
            return f"string {text}"
        return f"hash {hashlib.sha256(text.encode()).hexdigest()}"
    if found == "number":
        whole = not isinstance(value, float) or value.is_integer()
        return f"number {int(value):x}" if whole else f"number {value!r}"
    if found == "bool":
        return f"bool {value}"
    if found == "list":
        return "list" if value else "list 0"
    return found


def nearest_float(value: int | float) -> float:
    """The float nearest to a number, the largest ones for those beyond."""
    try:
        return float(value)
    except OverflowError:
        return sys.float_info.max if value > 0 else -sys.float_info.max


def string_parts(text: str) -> list[float]:
    """The first bytes of a string as numbers that order as it does, [4]."""
    raw = replace_lone_surrogates(text[:ORDERED_BYTES]).encode()[:ORDERED_BYTES]
    digits = [byte + 1 for byte in raw] + [0] * (ORDERED_BYTES - len(raw))
    parts = [digits[n : n + PART_BYTES] for n in range(0, ORDERED_BYTES, PART_BYTES)]
    return [float(sum(d * 257**n for n, d in enumerate(reversed(part)))) for part in parts]
