"""Opening a collection: read what it holds, or write down what it will hold."""

from tercet.embeddings import EncoderSpec, Representation
from tercet.errors import IndexNotFoundError
from tercet.indexes.checks import (
    check_same_model,
    check_stored_views,
    chosen_views,
    spec_dimensions,
)
from tercet.indexes.qdrant.connection import Connection
from tercet.indexes.qdrant.schema import Meta, Schema
from tercet.indexes.storage import Storage


def open_collection(
    connection: Connection,
    *,
    spec: EncoderSpec | None,
    read_only: bool,
    representations: tuple[Representation, ...] | None,
    storage: Storage | None,
) -> tuple[Schema, Meta]:
    """Open a collection; create it where there is none, a spec is given and it may be.

    Raises:
        IndexNotFoundError: No index there, and no spec to create one.
        IndexFormatError: The server is too old, or the collection is not ours.
        ModelMismatchError: The index holds another model's vectors.
    """
    _check_codec(storage)
    connection.check_version()
    schema, where = Schema(connection), str(connection.address)
    meta = schema.read()
    if meta is None:
        if spec is None or read_only:
            raise IndexNotFoundError(
                f"no index at {where}; to create one, tercet index ... --to qdrant://..., or in "
                "Python Index.open(address, spec=encoder.spec)"
            )
        views = chosen_views(spec, representations)
        known = {view: dim for view, dim in spec_dimensions(spec).items() if view in views}
        pooling = 1 if storage is None else storage.pooling
        layout = connection.address.layout
        meta = schema.create(Meta(spec, views, known, pooling, layout.project or 0), layout)
    if spec is not None:
        check_same_model(spec, meta.spec, where=where)
    check_stored_views(representations, meta.representations, where=where)
    if storage is not None and storage.pooling != meta.pooling:
        raise ValueError(
            f"the index at {where} was created with pooling={meta.pooling}; it was opened with "
            f"{storage.pooling}: open it without storage="
        )
    return schema, meta


def _check_codec(storage: Storage | None) -> None:
    """Refuse codecs that a server does not have, or that are chosen elsewhere.

    Raises:
        ValueError: Token vectors in another codec than float16, or a codec of dense vectors.
    """
    if storage is not None and storage.dense != "float32":
        raise ValueError(
            f"asked for dense vectors as {storage.dense}; a Qdrant collection takes that from its "
            "address: ?dense=float16 or ?quantisation=int8"
        )
    if storage is not None and storage.tokens != "float16":
        raise ValueError(
            f"a Qdrant server keeps token vectors as float16, not as {storage.tokens}: open the "
            'index without storage=, or with Storage(tokens="float16")'
        )
