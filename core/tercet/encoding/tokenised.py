"""A text as a model reads it: ids, where each came from, and what its row is for."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class TokenisedText:
    """The tokens of one text, special ones, marker and expansion included, L of them.

    Attributes:
        ids: Token ids, [L].
        starts: Offset of a token's first character in the text given; -1 where it has none (special
            token, marker, prompt, expansion, or a tokenizer without offsets), [L].
        ends: Offset behind its last character, or -1, [L].
        special: Added by the template: cls, sep; neither marker nor expansion, [L].
        attended: False for masks that no token may see as keys; they are queries all the same, [L].
        keep: Rows that have a token vector, [L].
        lexical: Rows that give lexical weights, [L].
        leading: Tokens in front of the text: special ones, marker, prompt.
        trailing: Tokens behind the text: special ones, expansion.
        prompt: How many of the first tokens a head that excludes the prompt leaves out.
        total: Tokens of the whole text before any cut, without expansion.
        read: Tokens of it in `ids`, without expansion; fewer than `total` where it was cut.
    """

    ids: NDArray[np.int64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    special: NDArray[np.bool_]
    attended: NDArray[np.bool_]
    keep: NDArray[np.bool_]
    lexical: NDArray[np.bool_]
    leading: int
    trailing: int
    prompt: int
    total: int
    read: int

    def __len__(self) -> int:
        return len(self.ids)
