"""Contexts within a token budget for LangChain."""

from collections.abc import Callable, Sequence
from typing import Any, NoReturn, Self

from langchain_core import callbacks, documents
from pydantic import ConfigDict, Field, PositiveInt

from langchain_tercet.convert import LoadedEncoder, OpenIndex, refuse_pickling, with_metadata
from tercet.context.builder import Context, ContextBuilder
from tercet.context.layout import Order
from tercet.documents import Document


class TercetContextCompressor(documents.BaseDocumentCompressor):
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

    def compress_documents(
        self,
        documents: Sequence[documents.Document],
        query: str,
        callbacks: callbacks.Callbacks | None = None,
    ) -> Sequence[documents.Document]:
        """What fits the budget, as copies with their place in the document given."""
        del callbacks
        context = self._builder.build(query, _placed(documents), budget=self.budget)
        return self._copies(documents, context)

    async def acompress_documents(
        self,
        documents: Sequence[documents.Document],
        query: str,
        callbacks: callbacks.Callbacks | None = None,
    ) -> Sequence[documents.Document]:
        """`compress_documents`, without blocking the event loop."""
        del callbacks
        context = await self._builder.abuild(query, _placed(documents), budget=self.budget)
        return self._copies(documents, context)

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

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        return self.model_copy()

    def __reduce__(self) -> NoReturn:
        refuse_pickling(self)


def _placed(given: Sequence[documents.Document]) -> list[Document]:
    """Documents of ours; one without an id is called by its place."""
    for item in given:
        if not isinstance(item, documents.Document):
            raise TypeError(f"{item!r} is no LangChain Document")
    return [
        Document(id=str(place) if item.id is None else item.id, text=item.page_content)
        for place, item in enumerate(given)
    ]
