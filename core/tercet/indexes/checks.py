"""What an index refuses before an engine sees it."""

import warnings
from collections.abc import Mapping, Sequence
from inspect import currentframe

import numpy as np
from numpy.typing import NDArray

from tercet.documents import Document
from tercet.embeddings import Embeddings, EncoderSpec, Representation
from tercet.errors import MissingViewError, ModelMismatchError, check_texts
from tercet.filters import PARENT

Dimensions = Mapping[Representation, int]
"""E of each view that has one, as far as it is known."""

Vectors = Mapping[str, Sequence[float]]
"""Dense vectors that came along with documents, by id."""

SAME_COSINE = 0.99
"""From here on two vectors of a text are one model's: rounding and half precision cost less."""


def check_representations(names: Sequence[Representation | str]) -> tuple[Representation, ...]:
    """The views of these names.

    Raises:
        TypeError: A bare string, or no sequence.
        ValueError: No view has that name.
    """
    check_texts(names, name="representations")
    unknown = sorted(set(names) - set(Representation))
    if unknown:
        raise ValueError(f"no view {unknown[0]!r}; there are: {', '.join(Representation)}")
    return tuple(map(Representation, names))


def check_spec(spec: object) -> None:
    """Refuse what is neither a spec nor None, the encoder itself above all.

    Raises:
        TypeError: Something else.
    """
    if spec is not None and not isinstance(spec, EncoderSpec):
        raise TypeError(f"spec is a {type(spec).__name__}; an encoder has one: encoder.spec")


def check_documents(documents: object) -> Sequence[Document]:
    """Refuse anything but a sequence of documents.

    Raises:
        TypeError: No sequence, or an item that is no `Document`.
    """
    if isinstance(documents, str | Mapping) or not isinstance(documents, Sequence):
        raise TypeError(f"a sequence of Document belongs here, not a {type(documents).__name__}")
    for position, document in enumerate(documents):
        if not isinstance(document, Document):
            raise TypeError(f"documents[{position}] is a {type(document).__name__}, not a Document")
    return documents


def check_embeddings(embeddings: object, *, name: str) -> Embeddings:
    """Refuse what is not `Embeddings`, raw arrays above all.

    Raises:
        TypeError: Something else.
    """
    if not isinstance(embeddings, Embeddings):
        raise TypeError(f"{name} are a {type(embeddings).__name__}, not Embeddings")
    return embeddings


def check_query_model(queries: Embeddings, spec: EncoderSpec) -> None:
    """Refuse queries that another model made.

    Raises:
        ModelMismatchError: Their `model_id` is not the index's.
    """
    if queries.model_id is not None and queries.model_id != spec.model_id:
        raise ModelMismatchError(
            f"this index holds vectors of {model_name(spec)}, the queries come from model "
            f"{queries.model_id[:12]}: encode them with the model of the index"
        )


def check_document_model(embeddings: Embeddings, spec: EncoderSpec) -> None:
    """Refuse document vectors of another model, or made with other document options.

    Raises:
        ModelMismatchError: Their `model_id` or their `document_id` is not the index's.
    """
    foreign = embeddings.model_id not in (None, spec.model_id)
    if foreign or embeddings.document_id not in (None, spec.document_id):
        made_by = f"by model {(embeddings.model_id or '')[:12]}"
        other = made_by if foreign else "with other document options"
        raise ModelMismatchError(
            f"this index holds vectors of {model_name(spec)}, these documents were encoded {other}:"
            " encode them as the index's spec says, or open another index"
        )


def check_same_model(asked: EncoderSpec, found: EncoderSpec, *, where: str) -> None:
    """Refuse to open an index for a model that did not fill it.

    Raises:
        ModelMismatchError: Another `model_id`.
    """
    if asked.model_id != found.model_id:
        raise ModelMismatchError(
            f"the index at {where} holds vectors of {model_name(found)}, it was opened for "
            f"{model_name(asked)}: open it without spec=, or choose another place"
        )


def check_encoder(encoder: EncoderSpec, index: EncoderSpec) -> None:
    """Refuse to use an encoder with an index that another model filled.

    Raises:
        ModelMismatchError: Another `model_id`.
    """
    if encoder.model_id != index.model_id:
        raise ModelMismatchError(
            f"this index holds vectors of {model_name(index)}, the encoder is "
            f"{model_name(encoder)}: use the model of the index, or index anew"
        )


def check_document_options(encoder: EncoderSpec, index: EncoderSpec) -> None:
    """Refuse to add with an encoder whose document options are not those of the index.

    Raises:
        ModelMismatchError: Another `document_id`.
    """
    if encoder.document_id == index.document_id:
        return
    names = sorted({*encoder.options, *index.options})
    pairs = [(name, index.options.get(name), encoder.options.get(name)) for name in names]
    told = ", ".join(f"{n} {own!r} there and {new!r} here" for n, own, new in pairs if own != new)
    raise ModelMismatchError(
        f"this index holds documents that {model_name(index)} encoded with other options"
        f"{f' ({told})' if told else ''}: searching works, adding would mix them; load the encoder "
        "with the options of the index, or index anew"
    )


def check_views(
    views: Sequence[Representation], embeddings: Embeddings, *, name: str, what: str
) -> None:
    """Refuse embeddings that lack a view.

    Raises:
        MissingViewError: A view is not there.
    """
    missing = [view for view in views if view not in embeddings.representations]
    if missing:
        raise MissingViewError(
            f"{what} {', '.join(views)}; the {name} have {', '.join(embeddings.representations)} "
            f"only, no {', '.join(missing)}"
        )


def chosen_views(
    spec: EncoderSpec, representations: Sequence[Representation] | None
) -> tuple[Representation, ...]:
    """The views that a new index stores, in their order.

    Raises:
        MissingViewError: The model makes none of them, or one was asked for that it does not make.
    """
    if representations is None:
        return spec.representations
    missing = [view for view in representations if view not in spec.representations]
    if missing or not representations:
        raise MissingViewError(
            f"an index of {', '.join(representations) or 'no view'} was asked for; "
            f"{spec.source or spec.family} makes {', '.join(spec.representations)}"
        )
    return tuple(view for view in Representation if view in representations)


def check_stored_views(
    asked: Sequence[Representation] | None, stored: Sequence[Representation], *, where: str
) -> None:
    """Refuse to open an index for other views than it stores.

    Raises:
        ValueError: Other views.
    """
    if asked is not None and set(asked) != set(stored):
        raise ValueError(
            f"the index at {where} stores {', '.join(stored)}; it was opened for "
            f"{', '.join(asked)}: open it without representations="
        )


def check_dimensions(embeddings: Embeddings, dimensions: Dimensions, *, name: str) -> None:
    """Refuse vectors of another length than the index's.

    Raises:
        ModelMismatchError: Another length.
    """
    for view, found in dimensions_of(embeddings).items():
        expected = dimensions.get(view)
        if expected is not None and found != expected:
            raise ModelMismatchError(
                f"{view} vectors of this index have {expected} dimensions, those of the {name} "
                f"{found}: encode them with the model of the index"
            )


def warn_of_unknown(fields: Sequence[str]) -> None:
    """Warn of fields that a filter names and no document has, if there are any.

    `$parent` is none of them: there may just be no chunks, and it cannot be misspelt.
    """
    if unknown := [field for field in fields if field != PARENT]:
        names = ", ".join(map(repr, unknown))
        said = f"the filter names {names}, which no document of the index has"
        warnings.warn(said, stacklevel=_level_of_caller() - 1)


def _level_of_caller() -> int:
    """The stack level, from here, of what called this library."""
    level, frame = 1, currentframe()
    while frame is not None and frame.f_globals["__name__"].startswith("tercet."):
        level, frame = level + 1, frame.f_back
    return level


def check_vectors(
    documents: Sequence[Document], dense: NDArray[np.float32], vectors: Vectors, spec: EncoderSpec
) -> None:
    """Refuse vectors that came along with documents and are not the model's own.

    Args:
        documents: N documents.
        dense: What the model makes of them, [N, E].
        vectors: What came along with some of them.
        spec: The model.

    Raises:
        ModelMismatchError: Another length, or a cosine below 0.99.
    """
    for document, own in zip(documents, dense, strict=True):
        if document.id not in vectors:
            continue
        given = np.asarray(vectors[document.id], dtype=np.float64)
        found = f"{given.size} numbers"
        if given.shape == own.shape:
            norms = np.linalg.norm(given) * np.linalg.norm(own)
            cosine = given @ own / norms if norms else 0.0
            if cosine >= SAME_COSINE:
                continue
            found = f"a cosine of {cosine:.3f} to it"
        raise ModelMismatchError(
            f"document {document.id!r} came with a dense vector of another model: the one that "
            f"{model_name(spec)} makes has {own.size} numbers, the one given has {found}: leave it "
            "out, or make it with the encoder of the index"
        )


def dimensions_of(embeddings: Embeddings) -> dict[Representation, int]:
    """E of each view that has one."""
    found: dict[Representation, int] = {}
    if embeddings.dense is not None:
        found[Representation.DENSE] = int(embeddings.dense.shape[1])
    if embeddings.multi_vector is not None:
        found[Representation.MULTI_VECTOR] = embeddings.multi_vector.dim
    return found


def spec_dimensions(spec: EncoderSpec) -> dict[Representation, int]:
    """E of each view that has one, as far as a spec knows it."""
    known = {
        Representation.DENSE: spec.dense_dim,
        Representation.MULTI_VECTOR: spec.multi_vector_dim,
    }
    return {view: dim for view, dim in known.items() if dim is not None}


def model_name(spec: EncoderSpec) -> str:
    """How messages call a model."""
    return f"{spec.source or spec.family} (model {spec.model_id[:12]})"
