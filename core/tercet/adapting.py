"""What the adapters of every framework do with what they are given, whatever the framework."""

from typing import NoReturn

from tercet.embeddings import Embeddings
from tercet.encoder import Encoder
from tercet.errors import MissingViewError, check_methods


def loaded_encoder(encoder: object, *, model: str | None) -> object:
    """The encoder given, looked at no closer than its methods; the loaded model where none is.

    Args:
        encoder: A loaded encoder, or None.
        model: Hub id, local folder or `tercet/mini`.

    Raises:
        TypeError: The encoder lacks an encoder's methods.
        ValueError: There is neither.
        CheckpointError: The model cannot be found, recognised or used.
    """
    if encoder is not None:
        check_methods(encoder, ("encode_queries", "encode_documents"), name="encoder")
        return encoder
    if not model:
        raise ValueError("neither model nor encoder was given: name a model, or pass an encoder")
    return Encoder.from_pretrained(model)


def checked_retriever(retriever: object) -> object:
    """The retriever given, looked at no closer than its methods.

    Raises:
        TypeError: It lacks one.
    """
    check_methods(retriever, ("retrieve", "aretrieve"), name="retriever")
    return retriever


def checked_index(index: object) -> object:
    """The open index given, or None, looked at no closer than its methods.

    Raises:
        TypeError: It lacks one.
    """
    if index is not None:
        check_methods(index, ("get", "embeddings"), name="index")
    return index


def dense_rows(embeddings: Embeddings) -> list[list[float]]:
    """The dense view of N texts as lists of floats, [N, E].

    Raises:
        MissingViewError: The model has no dense view.
    """
    if embeddings.dense is None:
        raise MissingViewError(
            "a framework's embeddings are dense vectors, which this model does not make; it has "
            f"{', '.join(embeddings.representations)}: use a TercetRetriever"
        )
    rows: list[list[float]] = embeddings.dense.tolist()
    return rows


def refuse_pickling(adapter: object) -> NoReturn:
    """Say why an adapter is not pickled.

    Raises:
        TypeError: Always.
    """
    raise TypeError(
        f"a {type(adapter).__name__} holds a loaded model and is not pickled: make it anew in the "
        "other process, or do without processes (LlamaIndex's pipelines: num_workers=None)"
    )
