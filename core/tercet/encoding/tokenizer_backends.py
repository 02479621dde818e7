"""The two kinds of tokenizers behind one face: fast ones with offsets, slow ones without."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tokenizers
from numpy.typing import NDArray
from tokenizers import normalizers

from tercet.errors import CheckpointError, MissingExtraError
from tercet.models.spec import TokenizerFiles

ROLES = ("cls", "sep", "eos", "bos", "pad", "unk", "mask")
"""Roles of special tokens, as `tokenizer_config.json` names them with `_token` behind."""

USUAL: dict[str, tuple[str, ...]] = {
    "cls": ("[CLS]", "<s>"),
    "sep": ("[SEP]", "</s>"),
    "eos": ("</s>",),
    "bos": ("<s>",),
    "pad": ("[PAD]", "<pad>"),
    "unk": ("[UNK]", "<unk>"),
    "mask": ("[MASK]", "<mask>"),
}
"""What the tokens are called where a checkpoint does not say."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """The ids of one text with the template's special tokens, uncut.

    Attributes:
        ids: Token ids, [L].
        starts: Offset of a token's first character; -1 where the tokenizer has none, [L].
        ends: Offset behind its last character, or -1, [L].
    """

    ids: NDArray[np.int64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]


class TokenizerBackend(Protocol):
    """What the encoder needs of a tokenizer."""

    @property
    def roles(self) -> Mapping[str, int]:
        """Ids of special tokens by role; roles that the vocabulary lacks are left out."""
        ...

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """The texts with special tokens."""
        ...

    def pieces(self, text: str) -> list[int]:
        """The ids of a text without special tokens."""
        ...

    def token_id(self, token: str) -> int | None:
        """The id of an entry of the vocabulary."""
        ...

    def terms(self, ids: Sequence[int]) -> list[str]:
        """The entries of the vocabulary under some ids."""
        ...


class FastTokenizer:
    """A tokenizer of the `tokenizers` library."""

    def __init__(self, backend: tokenizers.Tokenizer, names: Mapping[str, str]) -> None:
        """Take a tokenizer as it is, without the cut and the padding saved with it."""
        backend.no_truncation()
        backend.no_padding()
        self._backend = backend
        self.roles: Mapping[str, int] = _roles(names, self.token_id)

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """The texts with special tokens and offsets."""
        return [_with_offsets(item) for item in self._backend.encode_batch(list(texts))]

    def pieces(self, text: str) -> list[int]:
        """The ids of a text without special tokens."""
        ids: list[int] = self._backend.encode(text, add_special_tokens=False).ids
        return ids

    def token_id(self, token: str) -> int | None:
        """The id of an entry of the vocabulary, added tokens included."""
        found: int | None = self._backend.token_to_id(token)
        return found

    def terms(self, ids: Sequence[int]) -> list[str]:
        """The entries of the vocabulary under some ids."""
        return [self._backend.id_to_token(n) or "" for n in ids]


class SlowTokenizer:
    """A tokenizer written in Python, such as the one that runs MeCab first."""

    def __init__(self, tokenizer: Any, names: Mapping[str, str], *, lowercase: bool) -> None:
        """Take a tokenizer of transformers."""
        self._tokenizer = tokenizer
        self._vocabulary: dict[str, int] = tokenizer.get_vocab()
        self._lowercase = lowercase
        self.roles: Mapping[str, int] = _roles(names, self.token_id)

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """The texts with special tokens; there are no offsets."""
        read = [text.lower() for text in texts] if self._lowercase else list(texts)
        rows = self._tokenizer(read, truncation=False, verbose=False)["input_ids"]
        return [_without_offsets(np.asarray(row, dtype=np.int64)) for row in rows]

    def pieces(self, text: str) -> list[int]:
        """The ids of a text without special tokens."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        return ids

    def token_id(self, token: str) -> int | None:
        """The id of an entry of the vocabulary, added tokens included."""
        return self._vocabulary.get(token)

    def terms(self, ids: Sequence[int]) -> list[str]:
        """The entries of the vocabulary under some ids."""
        tokens: list[str] = self._tokenizer.convert_ids_to_tokens(list(ids))
        return tokens


def read_tokenizer(folder: Path, files: TokenizerFiles) -> TokenizerBackend:
    """Read the tokenizer of a checkpoint.

    Args:
        folder: Of the checkpoint.
        files: Where the tokenizer is in it.

    Raises:
        CheckpointError: Its files are damaged.
        MissingExtraError: It needs a library that is not installed.
    """
    home = folder / files.folder
    names = _special_names(home)
    if files.fast:
        backend = _from_json(home / "tokenizer.json")
    else:
        slow = _from_transformers(home)
        if not slow.is_fast:
            return SlowTokenizer(slow, names, lowercase=files.lowercase == "normaliser")
        backend = slow.backend_tokenizer
    if files.lowercase == "normaliser":
        first = [normalizers.Lowercase()]
        rest = [] if backend.normalizer is None else [backend.normalizer]
        backend.normalizer = normalizers.Sequence(first + rest)
    return FastTokenizer(backend, names)


def _from_json(path: Path) -> tokenizers.Tokenizer:
    try:
        return tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing narrower
        raise CheckpointError(f"{path} cannot be read as a tokenizer: {error}") from error


def _from_transformers(home: Path) -> Any:
    """A tokenizer that only transformers can build from its vocabulary."""
    from transformers import AutoTokenizer  # noqa: PLC0415  slow to import, and seldom needed

    try:
        return AutoTokenizer.from_pretrained(
            str(home), local_files_only=True, trust_remote_code=False
        )
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"the tokenizer in {home} needs {error.name or 'a library'} ({error}); for Japanese "
            "models it comes with the 'japanese' extra: pip install 'tercet[japanese]'"
        ) from error
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"no tokenizer can be built from {home}: {error}") from error


def _special_names(home: Path) -> dict[str, str]:
    """The special tokens by role, as the tokenizer's own files say."""
    names: dict[str, str] = {}
    for file in ("special_tokens_map.json", "tokenizer_config.json"):
        content = _object(home / file)
        for role in ROLES:
            value = content.get(f"{role}_token")
            token = value.get("content") if isinstance(value, dict) else value
            if isinstance(token, str):
                names[role] = token
    return names


def _object(path: Path) -> dict[str, Any]:
    """A file of JSON; nothing where there is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError as error:
        raise CheckpointError(f"{path} is no JSON: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} is no JSON object: the file is damaged")
    return content


def _roles(names: Mapping[str, str], token_id: Any) -> dict[str, int]:
    roles = {}
    for role in ROLES:
        candidates = (names[role],) if role in names else USUAL[role]
        found = next((n for n in map(token_id, candidates) if n is not None), None)
        if found is not None:
            roles[role] = found
    return roles


def _with_offsets(item: tokenizers.Encoding) -> Encoded:
    ids = np.asarray(item.ids, dtype=np.int64)
    offsets = np.asarray(item.offsets, dtype=np.int64).reshape(len(ids), 2)
    offsets[np.asarray(item.special_tokens_mask, dtype=np.bool_)] = -1
    return Encoded(ids, offsets[:, 0], offsets[:, 1])


def _without_offsets(ids: NDArray[np.int64]) -> Encoded:
    nowhere = np.full(len(ids), -1, dtype=np.int64)
    return Encoded(ids, nowhere, nowhere)
