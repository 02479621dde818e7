"""Encoders: texts to `Embeddings`. torch is loaded with the first model, not with this file."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, Self

from tercet.embeddings import Embeddings, EncoderSpec, Representation
from tercet.encoding.options import EncoderOptions
from tercet.encoding.reporting import REMEDIES
from tercet.encoding.streaming import Role
from tercet.encoding.threads import wait_briefly
from tercet.errors import TercetError, check_texts

if TYPE_CHECKING:
    from tercet.encoding.pipeline import Pipeline


@dataclass(frozen=True, slots=True)
class Token:
    """A token that has a vector.

    Attributes:
        term: Its entry in the vocabulary.
        start: Offset of its first character in the text; None where it stands for none of it.
        end: Offset behind its last character.
    """

    term: str
    start: int | None
    end: int | None


class Encoder:
    """Turns texts into the views of one model; safe to use from many threads."""

    def __init__(self, pipeline: "Pipeline", spec: EncoderSpec) -> None:
        """Take a loaded model; `from_pretrained` is the usual way."""
        self._pipeline, self._spec = pipeline, spec
        self._queries = Role(pipeline, pipeline.prepare_queries, spec, None, REMEDIES["queries"])
        self._documents = Role(
            pipeline, pipeline.prepare_documents, spec, spec.document_id, REMEDIES["documents"]
        )

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        *,
        revision: str | None = None,
        backend: str | None = None,
        device: str | None = None,
        dtype: str = "auto",
        quantize: str | None = None,
        long_documents: str = "auto",
        query_tokens: int | None = None,
        document_tokens: int | None = None,
        mcls_interval: int = 256,
        mcls_positions: str = "shared",
        mcls_attention: str = "probe",
        on_truncation: str = "warn",
    ) -> Self:
        """Load a model; what a checkpoint is, its own files say.

        `long_documents` says what happens to documents that are long:

        * "auto": nothing is cut. Within the model's length a document is one pass, "mcls" where
          the model pools its CLS, reads 8,192 tokens and the document has more than 512; a longer
          one is encoded in windows.
        * "plain": one pass, as the model's own library does it; what is longer than the published
          length (or `document_tokens`) is cut and reported.
        * "mcls": a CLS before every block of `mcls_interval` text tokens, and the dense vector is
          the normalised mean of all their final states. By default an inserted CLS takes the
          position of its block's first token and reads the text without being seen by it, so it
          costs no length and leaves lexical weights and token vectors as they are. With
          `mcls_positions="sequential"` and `mcls_attention="full"` inserted CLS are tokens like
          others (the paper's literal reading), and so many fewer tokens of the text fit. What does
          not fit is cut and reported. The paper showed MCLS on a model that was not tuned on long
          texts: measure it on yours. Queries are never "mcls", however long they are.
        * "windows": documents beyond the model's length (or `document_tokens`) are read in windows
          that overlap by 64 tokens.

        Args:
            source: A hub id, a folder, or "tercet/mini".
            revision: Branch, tag or commit of a hub repository.
            backend: "torch", or "onnx" for a folder that `save_onnx` wrote, which needs neither
                torch nor transformers; None for what the files are for.
            device: "cpu", "cuda", "cuda:1"; "cuda:0,cuda:1" shares texts between both; None takes
                CUDA where there is one.
            dtype: "float32" is exact; "bfloat16", "float16"; "auto" is the fastest of the device
                that keeps rankings.
            quantize: None: weights as they are; "int8" on a CPU: a quarter of the memory, each
                token's activations with a scale of their own. Document vectors have another
                `document_id` then.
            long_documents: "auto", "plain", "mcls" or "windows".
            query_tokens: Tokens of a query; None for what the model was published with.
            document_tokens: Most tokens of a document in one pass; None for the model's own.
            mcls_interval: Text tokens of a block that has its own CLS.
            mcls_positions: "shared" or "sequential".
            mcls_attention: "probe" or "full".
            on_truncation: "warn", once a call, or "error".

        Raises:
            CheckpointError: The checkpoint cannot be found, recognised or used.
            ValueError: An argument that there is not, or that does not fit the model.
        """
        options = EncoderOptions.parse(
            quantize=quantize,
            long_documents=long_documents,
            query_tokens=query_tokens,
            document_tokens=document_tokens,
            mcls_interval=mcls_interval,
            mcls_positions=mcls_positions,
            mcls_attention=mcls_attention,
            on_truncation=on_truncation,
        )
        wait_briefly()
        from tercet.encoding.checkpoint import Checkpoint  # noqa: PLC0415  slow to import
        from tercet.encoding.pipeline import Pipeline  # noqa: PLC0415  slow to import

        checkpoint = Checkpoint.open(source, revision=revision)
        pipeline = Pipeline(
            checkpoint, options=options, backend=backend, device=device, dtype=dtype
        )
        return cls(pipeline, pipeline.encoder_spec())

    @property
    def spec(self) -> EncoderSpec:
        """What it is: enough to load it again, and to recognise its vectors."""
        return self._spec

    @property
    def representations(self) -> tuple[Representation, ...]:
        """The views that it makes."""
        return self._spec.representations

    def encode_queries(self, texts: Sequence[str], *, show_progress: bool = False) -> Embeddings:
        """The views of N queries, in the order given.

        Args:
            texts: The queries.
            show_progress: Draw a bar on stderr.

        Raises:
            TypeError: A bare string, or an item that is no string.
            TextTooLongError: One would be cut, and the encoder was told to refuse that.
        """
        return self._queries.whole(texts, show_progress=show_progress)

    def encode_documents(self, texts: Sequence[str], *, show_progress: bool = False) -> Embeddings:
        """The views of N documents, in the order given.

        Args:
            texts: The documents.
            show_progress: Draw a bar on stderr.

        Raises:
            TypeError: A bare string, or an item that is no string.
            TextTooLongError: One would be cut, and the encoder was told to refuse that.
        """
        return self._documents.whole(texts, show_progress=show_progress)

    def encode_queries_iter(
        self, texts: Iterable[str], *, show_progress: bool = False
    ) -> Iterator[Embeddings]:
        """The views of a stream of queries, as `encode_documents_iter` gives those of documents.

        Args:
            texts: The queries; read as they are needed.
            show_progress: Draw a bar on stderr.

        Raises:
            TypeError: A bare string, or an item that is no string.
            TextTooLongError: One would be cut, and the encoder was told to refuse that.
        """
        return _stream(self._queries, texts, show_progress=show_progress)

    def encode_documents_iter(
        self, texts: Iterable[str], *, show_progress: bool = False
    ) -> Iterator[Embeddings]:
        """The views of a stream of documents, batch after batch, in the order given.

        Memory does not grow with their number. What was cut is reported when the stream ends.

        Args:
            texts: The documents; read as they are needed.
            show_progress: Draw a bar on stderr.

        Raises:
            TypeError: A bare string, or an item that is no string.
            TextTooLongError: One would be cut, and the encoder was told to refuse that.
        """
        return _stream(self._documents, texts, show_progress=show_progress)

    def tokens(self, texts: Sequence[str]) -> list[list[Token]]:
        """The tokens of documents, one for each row of `multi_vector`.

        Without that view: all tokens that are read.

        Args:
            texts: The documents, as `encode_documents` takes them.
        """
        check_texts(texts)
        cleaned = self._documents.report().clean(texts)
        batch = self._pipeline.prepare_documents(cleaned)
        found = []
        for text, rows in zip(batch.texts, self._pipeline.kept_tokens(batch), strict=True):
            terms = self.terms(text.ids[rows].tolist())
            spans = zip(terms, text.starts[rows].tolist(), text.ends[rows].tolist(), strict=True)
            found.append([_token(term, start, end) for term, start, end in spans])
        return found

    def terms(self, ids: Sequence[int]) -> list[str]:
        """The entries of the vocabulary under some ids, as `sparse` has them."""
        return self._pipeline.tokenizer.terms(ids)

    def save_pretrained(self, path: str | Path) -> None:
        """Write the model as a plain folder, which this class and sentence-transformers open.

        Weights are written in floating point, and `tercet.json` says how the heads use them. The
        folder holds the model alone: options are given again when it is loaded.

        Args:
            path: The folder; made if missing, and empty if not.

        Raises:
            FileExistsError: The folder has files already.
        """
        self._pipeline.save(Path(path))

    def save_onnx(self, path: str | Path) -> None:
        """Write the model as a graph that this class opens with ONNX Runtime, without torch.

        Views are those of this model in float32. Options are given again when it is loaded.

        Args:
            path: The folder; made if missing, and empty if not.

        Raises:
            FileExistsError: The folder has files already.
            MissingExtraError: The "onnx" extra is not installed.
            ValueError: The backbone cannot be exported.
        """
        self._pipeline.export(Path(path))

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "an Encoder cannot be pickled: send its spec, and load it where it is needed with "
            "Encoder.from_pretrained(spec.source, revision=spec.revision, **spec.options)"
        )

    def __repr__(self) -> str:
        views = "+".join(self.representations)
        return f"Encoder({self._spec.source!r}, views={views!r}, {self._pipeline.where})"


def reload(spec: EncoderSpec, *, device: str | None = None, dtype: str = "auto") -> Encoder:
    """Load the encoder that a spec tells of, with the options that it had.

    Args:
        spec: The encoder's.
        device: Where to load it; None takes CUDA where there is one.
        dtype: As `Encoder.from_pretrained` takes it.

    Raises:
        TercetError: The spec names no source.
        CheckpointError: The source cannot be found or used any more.
    """
    if spec.source is None:
        raise TercetError(
            f"the index was built by {spec.family} (model {spec.model_id[:12]}), which has no name "
            "to load it by: pass the encoder, Retriever.open(path, encoder=...)"
        )
    options = {**spec.options, "device": device, "dtype": dtype}
    return Encoder.from_pretrained(spec.source, revision=spec.revision, **options)


def _stream(role: Role, texts: Iterable[str], *, show_progress: bool) -> Iterator[Embeddings]:
    if isinstance(texts, str):
        raise TypeError("texts is one string; an iterable of strings belongs there: [texts]")
    return role.stream(texts, show_progress=show_progress)


def _token(term: str, start: int, end: int) -> Token:
    return Token(term, start, end) if start >= 0 else Token(term, None, None)
