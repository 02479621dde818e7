"""Contexts within a token budget for LlamaIndex."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any, NoReturn, Self

from llama_index.core import schema
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from pydantic import ConfigDict, Field, PositiveInt, model_validator

from llama_index_tercet.convert import (
    LoadedEncoder,
    OpenIndex,
    query_text,
    text_header,
    without_class_name,
)
from tercet.adapting import refuse_pickling
from tercet.context.builder import Context, ContextBuilder
from tercet.context.layout import Order, Piece
from tercet.documents import Document
from tercet.ranking import Hit

HEADER = "header"
"""Under this key of the metadata stands what LlamaIndex puts before a node's text in a prompt."""


class TercetContextPostprocessor(BaseNodePostprocessor):
    """Cuts LlamaIndex's nodes down to what fits a token budget, with a `ContextBuilder`.

    Nodes that all fit come whole; of others come the passages nearest the query. Joined with
    `separator`, what a language model sees of them, metadata included, has never more tokens than
    `budget`.

    Attributes:
        model: Hub id, local folder or `tercet/mini`.
        encoder: A loaded encoder; where both are given, it is the one that is used.
        budget: Most tokens of all nodes together.
        counter: Counts tokens: the name of one of tiktoken's encodings, or a function.
        order: "document": nodes as given, each from its beginning on; "score": best first.
        separator: What the response synthesizer puts between nodes.
        label: Stands before each text, as "[{number}] " does; none without it.
        passage_tokens: Length of a passage.
        context_key: Under this key of the metadata stand `start` and `end`, offsets into the text
            of the node given, `score`, `number` of the citation, and whether a sentence was `cut`;
            neither language nor embedding models see it.
        index: Where it holds a node's text under its id, the stored vectors are used.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    model: str | None = None
    encoder: LoadedEncoder = Field(default=None, validate_default=True, exclude=True, repr=False)
    budget: PositiveInt
    counter: str | Callable[[str], int] = "o200k_base"
    order: Order = "document"
    separator: str = "\n\n"
    label: str = ""
    passage_tokens: PositiveInt = 128
    context_key: str = "context"
    index: OpenIndex = Field(default=None, exclude=True, repr=False)

    _drop = model_validator(mode="before")(without_class_name)

    @classmethod
    def class_name(cls) -> str:
        """The name under which LlamaIndex knows the class."""
        return "TercetContextPostprocessor"

    def model_post_init(self, context: Any) -> None:
        """Make a builder once, so that what it refuses is refused here."""
        super().model_post_init(context)
        self._builder.build("", [], budget=self.budget)

    def _postprocess_nodes(
        self,
        nodes: list[schema.NodeWithScore],
        query_bundle: schema.QueryBundle | None = None,
    ) -> list[schema.NodeWithScore]:
        query, hits = query_text(query_bundle, need="passages need"), _hits(nodes)
        return self._shown(nodes, self._builder.build(query, hits, budget=self.budget))

    async def _apostprocess_nodes(
        self,
        nodes: list[schema.NodeWithScore],
        query_bundle: schema.QueryBundle | None = None,
    ) -> list[schema.NodeWithScore]:
        query, hits = query_text(query_bundle, need="passages need"), _hits(nodes)
        return self._shown(nodes, await self._builder.abuild(query, hits, budget=self.budget))

    @property
    def _builder(self) -> ContextBuilder:
        return ContextBuilder(
            self.encoder,
            counter=self.counter,
            order=self.order,
            separator=self.separator,
            label=f"{{metadata[{HEADER}]}}{self.label}",
            passage_tokens=self.passage_tokens,
            index=self.index,
        )

    def _shown(
        self, given: list[schema.NodeWithScore], context: Context
    ) -> list[schema.NodeWithScore]:
        return [
            schema.NodeWithScore(node=self._copy(given[piece.place].node, piece), score=piece.score)
            for piece in context.pieces
        ]

    def _copy(self, node: schema.BaseNode, piece: Piece) -> schema.BaseNode:
        """The node with a piece of its text, and no vector, which would be another text's."""
        key = self.context_key
        offset = getattr(node, "start_char_idx", None)
        known = (
            {}
            if offset is None
            else {"start_char_idx": offset + piece.start, "end_char_idx": offset + piece.end}
        )
        copy = node.model_copy(
            update={
                "metadata": {**deepcopy(node.metadata), key: piece.citation},
                "excluded_embed_metadata_keys": [*node.excluded_embed_metadata_keys, key],
                "excluded_llm_metadata_keys": [*node.excluded_llm_metadata_keys, key],
                "embedding": None,
                **known,
            }
        )
        header = text_header(node, schema.MetadataMode.LLM)
        copy.set_content(piece.label.removeprefix(header) + piece.text)
        return copy

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        return self.model_copy()

    def __reduce__(self) -> NoReturn:
        refuse_pickling(self)


def _hits(nodes: list[schema.NodeWithScore]) -> list[Hit]:
    return [
        Hit(_document(scored.node), scored.score or 0.0, {}, rank)
        for rank, scored in enumerate(nodes, start=1)
    ]


def _document(node: schema.BaseNode) -> Document:
    return Document(
        id=node.node_id,
        text=node.get_content(schema.MetadataMode.NONE),
        header=text_header(node, schema.MetadataMode.EMBED),
        metadata={HEADER: text_header(node, schema.MetadataMode.LLM)},
    )
