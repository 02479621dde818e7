"""Which tokens a model inserts, adds, skips or drops, as ids of its own vocabulary."""

import math
import warnings

import numpy as np
from numpy.typing import NDArray

from tercet.encoding.tokenizer_backends import TokenizerBackend
from tercet.errors import CheckpointError
from tercet.models.spec import Expansion, ModelSpec, Skiplist, SparseHead, TextSide

LEAST_MASKS = 8
"""Masks that the dynamic rule adds at least (arXiv 2407.20750)."""

WITHOUT_WEIGHT = frozenset({"cls", "sep", "eos", "pad", "unk"})
"""Roles of tokens that have no lexical weight; masks have one.

FlagEmbedding 1.4.2 leaves sep its weight: in its own vocabulary it is the eos token, in BERT's not.
"""


def marker_id(backend: TokenizerBackend, side: TextSide) -> int | None:
    """The id of a side's marker; None where it has none.

    Raises:
        CheckpointError: The vocabulary lacks the marker.
    """
    if side.marker is None:
        return None
    found = backend.token_id(side.marker)
    if found is not None:
        return found
    if side.marker_may_lack and "unk" in backend.roles:
        warnings.warn(
            f"the marker {side.marker!r} is not in the model's vocabulary: the unknown token "
            "stands in for it, as in the library that made the checkpoint",
            UserWarning,
            stacklevel=2,
        )
        return backend.roles["unk"]
    raise CheckpointError(
        f"the marker {side.marker!r} is not in the vocabulary of the checkpoint's tokenizer: its "
        "files do not belong together"
    )


def skipped_ids(backend: TokenizerBackend, skiplist: Skiplist | None) -> NDArray[np.int64]:
    """The ids that have no token vector, ascending."""
    if skiplist is None:
        return np.empty(0, dtype=np.int64)
    unknown = backend.roles.get("unk")
    ids = {_skipped(backend, word, skiplist) for word in skiplist.words}
    if not skiplist.unknown:
        ids.discard(unknown)
    elif None in ids:
        ids.add(unknown)
    if skiplist.pad:
        ids.add(backend.roles.get("pad"))
    return np.asarray(sorted(n for n in ids if n is not None), dtype=np.int64)


def _skipped(backend: TokenizerBackend, word: str, skiplist: Skiplist) -> int | None:
    if not skiplist.first_piece:
        return backend.token_id(word)
    pieces = backend.pieces(word)
    return pieces[0] if pieces else None


def weightless_ids(backend: TokenizerBackend, head: SparseHead | None) -> NDArray[np.int64]:
    """The ids that have no lexical weight, ascending."""
    if head is None or not head.drop_special:
        return np.empty(0, dtype=np.int64)
    roles = WITHOUT_WEIGHT - {"sep"} if head.keep_sep else WITHOUT_WEIGHT
    found = {backend.roles[role] for role in roles & backend.roles.keys()}
    return np.asarray(sorted(found), dtype=np.int64)


def expansion_id(backend: TokenizerBackend, expansion: Expansion | None) -> int | None:
    """The id of the token that expands queries; None without expansion.

    Raises:
        CheckpointError: The vocabulary has no such token.
    """
    if expansion is None:
        return None
    if expansion.token is not None:
        found = backend.token_id(expansion.token)
    else:
        # A tokenizer without a mask token belongs to a decoder: PyLate expands with its eos.
        found = backend.roles.get("mask", backend.roles.get("eos"))
    if found is None:
        raise CheckpointError(
            f"queries are expanded with {expansion.token or 'the mask token'!r}, which the "
            "checkpoint's tokenizer lacks: its files do not belong together"
        )
    return found


def query_length(spec: ModelSpec, limit: int | None) -> int | None:
    """How many tokens a query keeps, marker included; None for all of them."""
    head = spec.multi_vector
    if head is None or (head.expansion is None and spec.query.tokens is None):
        return limit
    expansion = head.expansion
    if expansion is None:
        return min(limit or spec.query.tokens or spec.max_tokens, spec.max_tokens)
    if expansion.rule == "fixed":
        return min(limit or expansion.length, spec.max_tokens)
    if expansion.rule == "dynamic":
        return min(limit or spec.max_tokens, spec.max_tokens)
    ceiling = limit or spec.query.tokens or spec.max_tokens
    return min(max(ceiling, expansion.length), spec.max_tokens)


def expanded_length(
    expansion: Expansion, tokens: int, limit: int | None, *, max_tokens: int
) -> int:
    """How many tokens a query of some tokens, marker included, has after expansion."""
    if expansion.rule == "dynamic" and limit is None:
        target = dynamic_length(tokens, multiple=expansion.length)
    elif expansion.rule == "at_least":
        target = expansion.length
    else:
        target = limit or expansion.length
    return max(tokens, min(target, max_tokens))


def dynamic_length(tokens: int, *, multiple: int) -> int:
    """JaColBERTv2.5's rule: the next multiple, and at least 8 masks even if that goes past it.

    Examples with 32: 10 -> 32, 24 -> 32, 25 -> 33, 32 -> 40, 33 -> 64.

    Source: Clavié 2024, "JaColBERTv2.5", arXiv 2407.20750.
    """
    rounded = math.ceil(tokens / multiple) * multiple
    return max(rounded, tokens + LEAST_MASKS)
