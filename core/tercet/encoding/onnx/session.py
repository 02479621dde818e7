"""Runs an exported backbone: passes of like lengths together, padded to the longest of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tercet.encoding.packing import POSITIONS_BEHIND_PADDING, Pass, alike, position_ids
from tercet.errors import CheckpointError, require
from tercet.models.spec import ModelSpec
from tercet.scoring.threads import thread_count

GRAPH = "model.onnx"
"""The backbone, and the heads that make something of every token."""

DENSE = "dense.onnx"
"""Linear layers behind the pooling, where there are any."""

INPUTS = ("ids", "positions", "seen")
"""What it reads: token ids and their positions [B, L], which row sees which [B, L, L]."""

OUTPUTS = ("states", "tokens", "lexical")
"""What a backbone's graph may make: states [B, L, H], token vectors [B, L, E], weights [B, L]."""

EMPTY = np.zeros((0, 0), dtype=np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """What the graph made of some passes, row after row; empty where it makes none of it.

    Attributes:
        states: Token states, for the dense view, [rows, H].
        tokens: Token vectors, [rows, E].
        lexical: Weights of tokens, [rows].
    """

    states: NDArray[np.float32]
    tokens: NDArray[np.float32]
    lexical: NDArray[np.float32]


class Session:
    """A backbone in ONNX Runtime."""

    packs = True

    def __init__(self, session: Any, spec: ModelSpec) -> None:
        """Take an open graph of a model."""
        self._session = session
        self._makes = [output.name for output in session.get_outputs()]
        behind = spec.architecture in POSITIONS_BEHIND_PADDING
        self._pad = int(spec.config["pad_token_id"]) if behind else None

    def __call__(self, passes: Sequence[Pass]) -> Rows:
        """What the graph makes of all rows, pass after pass."""
        pieces: list[dict[str, NDArray[np.float32]]] = [{} for _ in passes]
        for group in alike([len(item) for item in passes]):
            items = [passes[n] for n in group]
            made = self._session.run(self._makes, self._inputs(items))
            for place, n in enumerate(group):
                for name, values in zip(self._makes, made, strict=True):
                    pieces[n][name] = values[place, : len(passes[n])]
        found = {
            name: np.concatenate([piece[name] for piece in pieces])
            if name in self._makes
            else EMPTY
            for name in OUTPUTS
        }
        return Rows(found["states"], found["tokens"], found["lexical"])

    def _inputs(self, items: Sequence[Pass]) -> dict[str, NDArray[Any]]:
        """Ids and positions, [B, L], and which row sees which, [B, L, L]."""
        longest = max(map(len, items))
        ids = np.zeros((len(items), longest), dtype=np.int64)
        positions = np.zeros_like(ids)
        seen = np.zeros((len(items), longest, longest), dtype=np.bool_)
        for n, item in enumerate(items):
            ids[n, : len(item)] = item.ids
            positions[n, : len(item)] = position_ids(item, pad=self._pad)
            seen[n, :, : item.visible] = True  # rows of padding too: they need something to see
            if item.probes:
                own = np.arange(item.visible, len(item))
                seen[n, own, own] = True
        return dict(zip(INPUTS, (ids, positions, seen), strict=True))


def open_session(path: Path) -> Any:
    """Open a graph on the CPU, with as many threads as `OMP_NUM_THREADS` or the machine has.

    Raises:
        CheckpointError: It is missing or damaged.
        MissingExtraError: ONNX Runtime is not installed.
    """
    runtime = require("onnxruntime", extra="onnx")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = thread_count()
    options.inter_op_num_threads = 1
    # Threads that wait in a busy loop would take the processor from others.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    if not path.is_file():
        raise CheckpointError(f"{path} is missing: the folder is incomplete, export it again")
    try:
        return runtime.InferenceSession(
            str(path), sess_options=options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # its errors have no base class of their own
        raise CheckpointError(f"{path} cannot be read as a graph: {error}") from error
