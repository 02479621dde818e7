"""Contexts within a token budget for LangChain."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from langchain_core import documents
from pydantic import ConfigDict, Field, PositiveInt

from langchain_tercet.convert import LoadedEncoder, OpenIndex, with_metadata
from langchain_tercet.events import ReportedCompressor
from tercet.context.builder import Context, ContextBuilder
from tercet.context.layout import Order
from tercet.documents import Document


class TercetContextCompressor(ReportedCompressor):
    """Cuts LangChain's documents down to what fits a token budget, with a `ContextBuilder`.

    Documents that all fit come whole; of others come the passages nearest the query. Joined with
    `separator`, what comes out has never more tokens than `budget`.

    Attributes:
        model: Hub id, local folder or `tercet/mini`.
        encoder: A loaded encoder; where both are given, it is the one that is used.
        budget: Most tokens of all documents together.
        counter: Counts tokens: the name of one of tiktoken's encodings, or a function.
        order: "document": documents as given, each from its beginning on; "score": best first.
        separator: What your prompt puts between documents.
        label: Stands before each text, as "[{number}] " does; none without it.
        passage_tokens: Length of a passage.
        context_key: Under this key of the metadata stand `start` and `end`, offsets into the
            document given, `score`, `number` of the citation, and whether a sentence was `cut`.
        index: Where it holds a document's text under its id, the stored vectors are used.
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

    def model_post_init(self, context: Any) -> None:
        """Make a builder once, so that what it refuses is refused here."""
        del context
        self._builder.build("", [], budget=self.budget)

    def _compress(self, given: Mapping[str, Any]) -> list[documents.Document]:
        placed = _placed(given["documents"])
        context = self._builder.build(given["query"], placed, budget=self.budget)
        return self._copies(given["documents"], context)

    async def _acompress(self, given: Mapping[str, Any]) -> list[documents.Document]:
        placed = _placed(given["documents"])
        context = await self._builder.abuild(given["query"], placed, budget=self.budget)
        return self._copies(given["documents"], context)

    @property
    def _builder(self) -> ContextBuilder:
        return ContextBuilder(
            self.encoder,
            counter=self.counter,
            order=self.order,
            separator=self.separator,
            label=self.label,
            passage_tokens=self.passage_tokens,
            index=self.index,
        )

    def _copies(
        self, given: Sequence[documents.Document], context: Context
    ) -> list[documents.Document]:
        return [
            with_metadata(given[piece.place], **{self.context_key: piece.citation}).model_copy(
                update={"page_content": piece.label + piece.text}
            )
            for piece in context.pieces
        ]


def _placed(given: Sequence[documents.Document]) -> list[Document]:
    """Documents of ours; one without an id is called by its place."""
    return [
        Document(id=str(place) if item.id is None else item.id, text=item.page_content)
        for place, item in enumerate(given)
    ]
