"""Teachers: who says how well a document answers a query, and examples with their scores.

A teacher is any function from pairs of a query and a document to numbers; a cross-encoder is one.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self

import torch

from tercet.encoding.precision import choose_device, choose_dtype
from tercet.encoding.sources import find
from tercet.errors import CheckpointError, SourceError
from tercet.models.backbones import positions
from tercet.sources.jsonl import read_records
from tercet.training.datasets.examples import Example
from tercet.training.datasets.flag_embedding import example_of, line_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Pair = tuple[str, str]
"""A query and a document."""

Teacher = Callable[[Sequence[Pair]], Sequence[float]]
"""One score a pair, in their order; higher is better."""

PAIRS_AT_ONCE = 4096
"""Pairs that are tokenised and sorted by length together: what bounds the memory."""

DEFAULT_LENGTH = 512
"""Tokens of a pair where neither the model nor its tokenizer names a limit."""


class CrossEncoder:
    """A model that reads query and document together, through transformers."""

    def __init__(
        self,
        model: "PreTrainedModel",
        tokenizer: "PreTrainedTokenizerBase",
        *,
        max_tokens: int,
        batch_tokens: int,
    ) -> None:
        """Take a loaded model; `from_pretrained` is the usual way."""
        self._model, self._tokenizer = model, tokenizer
        self._max_tokens, self._batch_tokens = max_tokens, batch_tokens

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        *,
        device: str | None = None,
        dtype: str = "float32",
        max_tokens: int | None = None,
        batch_tokens: int = 8192,
    ) -> Self:
        """Load a model for classifying sequences; no code from the checkpoint is run.

        Args:
            source: A folder or a hub id.
            device: "cpu", "cuda", ...; None takes CUDA where there is one.
            dtype: "float32" is exact; "bfloat16", "float16" or "auto".
            max_tokens: Tokens of a pair, the longer text is cut; None for the tokenizer's limit.
            batch_tokens: Tokens that the model reads at once, padding included.

        Raises:
            CheckpointError: It is no such model: it has neither one nor two outputs, or lacks its
                classifier.
        """
        model, tokenizer = _load(find(source).folder, choose_device(device), dtype)
        rows = positions(model.config.model_type, model.config.to_dict())
        limit = min(tokenizer.model_max_length, rows or DEFAULT_LENGTH)
        return cls(
            model,
            tokenizer,
            max_tokens=limit if max_tokens is None else min(limit, max_tokens),
            batch_tokens=batch_tokens,
        )

    def __call__(self, pairs: Sequence[Pair]) -> list[float]:
        """One score a pair: the only logit, or the second less the first.

        Pairs are batched by their length; a score does not depend on the others.
        """
        starts = range(0, len(pairs), PAIRS_AT_ONCE)
        return [s for first in starts for s in self._score(pairs[first : first + PAIRS_AT_ONCE])]

    def _score(self, pairs: Sequence[Pair]) -> list[float]:
        tokens = self._tokenizer(
            [query for query, _ in pairs],
            [document for _, document in pairs],
            truncation=True,
            max_length=self._max_tokens,
        )
        lengths = [len(ids) for ids in tokens["input_ids"]]
        scores = torch.zeros(len(pairs))
        for rows in _batches(lengths, self._batch_tokens):
            batch = {name: [values[row] for row in rows] for name, values in tokens.items()}
            padded = self._tokenizer.pad(batch, return_tensors="pt").to(self._model.device)
            with torch.inference_mode():
                logits = self._model(**padded).logits.float()  # [rows, 1 or 2]
            found = logits[:, 0] if logits.shape[1] == 1 else logits[:, 1] - logits[:, 0]
            scores[rows] = found.cpu()
        return [float(score) for score in scores]


def _load(
    folder: Path, device: torch.device, dtype: str
) -> "tuple[PreTrainedModel, PreTrainedTokenizerBase]":
    """Model and tokenizer of a cross-encoder; no code from the checkpoint is run.

    Raises:
        CheckpointError: It is none.
    """
    from transformers import (  # noqa: PLC0415  slow to import
        AutoModelForSequenceClassification,
        AutoTokenizer,
    )

    arithmetic = choose_dtype(dtype, device=device)
    try:
        with _without_bar():
            model, report = AutoModelForSequenceClassification.from_pretrained(
                folder, output_loading_info=True, dtype=arithmetic
            )
        tokenizer = AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder} is no cross-encoder: {error}") from error
    if report["missing_keys"]:
        raise CheckpointError(
            f"{folder} lacks {', '.join(sorted(report['missing_keys']))}, which would be drawn "
            "at random: it is no cross-encoder"
        )
    if model.config.num_labels not in (1, 2):
        raise CheckpointError(
            f"{folder} has {model.config.num_labels} outputs; a cross-encoder has one, or two "
            "of which the second says that the document answers"
        )
    return model.to(device).eval(), tokenizer


def score_examples(examples: Iterable[Example], teacher: Teacher) -> Iterator[Example]:
    """The same examples with a teacher's scores of their documents.

    Args:
        examples: Read as a stream.
        teacher: Asked about many pairs at once.

    Raises:
        ValueError: The teacher gives more or fewer scores than pairs, or one that is not finite.
    """
    for part in _parts(examples):
        pairs = [(e.query, document) for e in part for document in e.documents]
        scores = [float(score) for score in teacher(pairs)]
        if len(scores) != len(pairs):
            raise ValueError(f"the teacher gave {len(scores)} scores for {len(pairs)} pairs")
        left = iter(scores)
        for example in part:
            yield example.scored([next(left) for _ in example.documents])


def score_to_file(examples: Iterable[Example], teacher: Teacher, path: Path) -> int:
    """Write examples with a teacher's scores to a file of FlagEmbedding's layout.

    Scores are kept in `path` with .partial behind it until all are there: a call that was
    interrupted goes on where it stopped when it is repeated with the same examples and teacher.

    Args:
        examples: Read as a stream.
        teacher: Asked about those that are not scored yet.
        path: The file.

    Returns:
        How many examples the teacher was asked about.

    Raises:
        SourceError: What is there already was made of other examples.
    """
    partial = path.with_name(f"{path.name}.partial")
    stream = iter(examples)
    done = _resume(partial, stream)
    count = 0
    with partial.open("ab") as file:
        file.truncate(done)
        for example in score_examples(stream, teacher):
            file.write(line_of(example).encode())
            file.flush()
            count += 1
    partial.replace(path)
    return count


def _resume(partial: Path, stream: Iterator[Example]) -> int:
    """Pass over the examples that a file holds; where its last whole line ends."""
    if not partial.exists():
        return 0
    end = 0
    with partial.open("rb") as file:
        whole = (line for line in file if line.endswith(b"\n"))  # a torn last line is written anew
        for place, record in read_records(_measured := _Measured(whole), name=str(partial)):
            written, given = example_of(record, place=place), next(stream, None)
            if given is None or (written.query, written.documents) != (
                given.query,
                given.documents,
            ):
                raise SourceError(
                    f"{place} is another example than the one to be scored: delete {partial} if "
                    "the examples have changed"
                )
            end = _measured.bytes
    return end


class _Measured(Iterable[bytes]):
    """Lines, and how many bytes of them were read."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        self._lines, self.bytes = lines, 0

    def __iter__(self) -> Iterator[bytes]:
        for line in self._lines:
            self.bytes += len(line)
            yield line


def _parts(examples: Iterable[Example]) -> Iterator[list[Example]]:
    """Examples in parts of some `PAIRS_AT_ONCE` pairs."""
    part: list[Example] = []
    pairs = 0
    for example in examples:
        part.append(example)
        pairs += len(example.documents)
        if pairs >= PAIRS_AT_ONCE:
            yield part
            part, pairs = [], 0
    if part:
        yield part


def _batches(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Rows by their length, longest first, in batches whose padded tokens fit the budget."""
    order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    while order:
        size = max(1, budget // lengths[order[0]])
        yield order[:size]
        order = order[size:]


@contextmanager
def _without_bar() -> Iterator[None]:
    """Have transformers draw no bar while it loads weights."""
    from transformers.utils import logging  # noqa: PLC0415  slow to import

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]
