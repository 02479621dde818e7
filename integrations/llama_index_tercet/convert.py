"""Between LlamaIndex's objects and ours."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Annotated, Any

from llama_index.core import schema
from llama_index.core.base.embeddings.base import mean_agg
from llama_index.core.storage.docstore.utils import doc_to_json
from pydantic import AfterValidator, SkipValidation, ValidationInfo

from tercet.adapting import checked_index, checked_retriever, dense_rows, loaded_encoder
from tercet.documents import Document
from tercet.embeddings import Embeddings, TextEncoder
from tercet.indexes.base import Index
from tercet.ranking import Hit, Ranking
from tercet.retriever import Retriever
from tercet.serving import Serving
from tercet.sharing import SharedEncoder

PRIVATE = "llama_index"
"""Under this key of `Document.private` stands what a node has beyond text and metadata."""

RETRIEVAL_SCORE = "retrieval_score"
"""The metadata key of LlamaIndex's rerankers for the score before."""

PLACE = "place"
"""Under this key of `Document.private` stands a node's place among those given."""

MISSPELT = "metadata_seperator"
"""LlamaIndex 0.13 writes this beside `metadata_separator`, and reads it first."""

NODE_CLASSES: Mapping[str, type[schema.BaseNode]] = {
    node.class_name(): node
    for node in (
        schema.Document,
        schema.ImageDocument,
        schema.ImageNode,
        schema.IndexNode,
        schema.Node,
        schema.TextNode,
    )
}


def from_node(node: schema.BaseNode) -> Document:
    """The node as we index it: what stands before its text for embedding is the header.

    The node's own `embedding` is left out, since it does not say which model made it.

    Raises:
        TypeError: No node, or a class of nodes that could not come back as it was.
        ValueError: A template that puts something after the text.
    """
    if not isinstance(node, schema.BaseNode):
        raise TypeError(f"{node!r} is no LlamaIndex node")
    if NODE_CLASSES.get(node.class_name()) is not type(node):
        raise TypeError(
            f"node {node.node_id!r} is a {type(node).__name__}, which would come back as another "
            f"class; there are: {', '.join(NODE_CLASSES)}"
        )
    return Document(
        id=node.node_id,
        text=node.get_content(schema.MetadataMode.NONE),
        metadata=node.metadata,
        header=text_header(node, schema.MetadataMode.EMBED),
        parent=node.ref_doc_id,
        private={PRIVATE: _without_content(node)},
    )


def to_node(document: Document) -> schema.BaseNode:
    """The node that `from_node` was given; of a document that was none, a new text node."""
    stored = document.private.get(PRIVATE)
    values = _from_elsewhere(document) if stored is None else dict(stored)
    kind = NODE_CLASSES[values.pop("class_name")]
    values |= {"id_": document.id, "metadata": dict(document.metadata)}
    if issubclass(kind, schema.TextNode):
        values["text"] = document.text
    elif values["text_resource"] is not None:
        values["text_resource"] = {"text": document.text, **values["text_resource"]}
    return kind.from_dict(values)


def to_node_with_score(hit: Hit) -> schema.NodeWithScore:
    """The node of a hit and its score."""
    return schema.NodeWithScore(node=to_node(hit.document), score=hit.score)


def placed(nodes: Sequence[schema.NodeWithScore], index: Index | None) -> list[Document]:
    """What embedding models see of nodes, as documents that know their place.

    Args:
        nodes: The nodes.
        index: Where it is given, the nodes' ids are kept, for it to look up.
    """
    return [
        Document(
            id=str(place) if index is None else scored.node.node_id,
            text=scored.node.get_content(schema.MetadataMode.EMBED),
            private={PLACE: place},
        )
        for place, scored in enumerate(nodes)
    ]


def rescored(
    nodes: Sequence[schema.NodeWithScore], ranking: Ranking, *, keep_score: bool
) -> list[schema.NodeWithScore]:
    """The nodes of a ranking of documents that are `placed`."""
    best = []
    for hit in ranking:
        given = nodes[hit.document.private[PLACE]]
        node = _with_score(given) if keep_score else given.node
        best.append(schema.NodeWithScore(node=node, score=hit.score))
    return best


def _with_score(given: schema.NodeWithScore) -> schema.BaseNode:
    """A copy of the node with its score, which neither prompts nor embeddings show."""
    node = given.node
    return node.model_copy(
        update={
            "metadata": {**deepcopy(node.metadata), RETRIEVAL_SCORE: given.score},
            "excluded_embed_metadata_keys": [*node.excluded_embed_metadata_keys, RETRIEVAL_SCORE],
            "excluded_llm_metadata_keys": [*node.excluded_llm_metadata_keys, RETRIEVAL_SCORE],
        }
    )


def text_header(node: schema.BaseNode, mode: schema.MetadataMode) -> str:
    """What stands before a node's text for an embedding or a language model.

    Raises:
        ValueError: A template that puts something after the text.
    """
    text, shown = node.get_content(schema.MetadataMode.NONE), node.get_content(mode)
    for ending in (text, text.rstrip()):  # with metadata, LlamaIndex strips what it shows
        if shown.endswith(ending):
            return shown[: len(shown) - len(ending)]
    raise ValueError(
        f"the text_template of node {node.node_id!r}, {getattr(node, 'text_template', None)!r}, "
        "puts something after {content}; the text must come last: '{metadata_str}\\n\\n{content}'"
    )


def _without_content(node: schema.BaseNode) -> dict[str, Any]:
    values = node.model_dump(mode="json")
    if isinstance(node, schema.IndexNode) and isinstance(node.obj, schema.BaseNode):
        values["obj"] = doc_to_json(node.obj)  # LlamaIndex 0.13 would not read the plain form
    for name in ("id_", "text", "metadata", "embedding", MISSPELT):
        values.pop(name, None)
    resource = values.get("text_resource")
    if resource and resource["text"] is not None:
        del resource["text"]
    return values


def _from_elsewhere(document: Document) -> dict[str, Any]:
    values: dict[str, Any] = {"class_name": schema.TextNode.class_name()}
    if document.parent is not None:
        source = schema.RelatedNodeInfo(node_id=document.parent)
        values["relationships"] = {schema.NodeRelationship.SOURCE: source}
    return values


def sparse_rows(embeddings: Embeddings) -> list[dict[int, float]]:
    """The lexical weights as mappings from term id to weight; there is such a view."""
    return [] if embeddings.sparse is None else embeddings.sparse.to_dicts()


def query_views(query: schema.QueryBundle, encoder: TextEncoder) -> Embeddings | None:
    """The dense view that a query brings along, as in HyDE; None where it brings none."""
    if query.embedding is None and query.custom_embedding_strs:
        return _mean(encoder.encode_queries(query.custom_embedding_strs))
    return None if query.embedding is None else Embeddings.from_dense([query.embedding])


async def aquery_views(
    query: schema.QueryBundle, encoder: Serving | SharedEncoder
) -> Embeddings | None:
    """`query_views`, without blocking the event loop."""
    if query.embedding is None and query.custom_embedding_strs:
        return _mean(await encoder.aencode_queries(query.custom_embedding_strs))
    return None if query.embedding is None else Embeddings.from_dense([query.embedding])


def _mean(embeddings: Embeddings) -> Embeddings:
    return Embeddings.from_dense([mean_agg(dense_rows(embeddings))])


def without_class_name(values: Any) -> Any:
    """What LlamaIndex writes into the JSON of a component and does not read again."""
    if not isinstance(values, Mapping):
        return values
    return {name: value for name, value in values.items() if name != "class_name"}


def query_text(bundle: schema.QueryBundle | None, *, need: str) -> str:
    """The query that came beside nodes.

    Raises:
        ValueError: None came; `need` says what it is needed for.
    """
    if bundle is None:
        raise ValueError(f"{need} the query: pass query_bundle= or query_str=")
    return bundle.query_str.strip()


def _loaded(encoder: object, info: ValidationInfo) -> object:
    return loaded_encoder(encoder, model=info.data.get("model_name") or info.data.get("model"))


LoadedEncoder = Annotated[TextEncoder, SkipValidation, AfterValidator(_loaded)]
"""A field that holds an encoder, loaded by the field before it where none is given."""

OpenRetriever = Annotated[Retriever, SkipValidation, AfterValidator(checked_retriever)]
"""A field that holds a retriever, looked at no closer than its methods."""

OpenIndex = Annotated[Index | None, SkipValidation, AfterValidator(checked_index)]
"""A field that may hold an open index, looked at no closer than its methods."""
