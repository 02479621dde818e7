"""Document compressors whose work callbacks and tracers see: LangChain has no event for them."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, Self

from langchain_core import callbacks, documents
from langchain_core.runnables import RunnableConfig, RunnableLambda

from tercet.adapting import refuse_pickling


class ReportedCompressor(documents.BaseDocumentCompressor):
    """A compressor that reports a run of its own name: its start, and its end or its error."""

    def compress_documents(
        self,
        documents: Sequence[documents.Document],
        query: str,
        callbacks: callbacks.Callbacks | None = None,
    ) -> Sequence[documents.Document]:
        """What is kept of the documents, as copies.

        Args:
            documents: What was found.
            query: The question.
            callbacks: Whom to tell of it.

        Raises:
            TypeError: No sequence of documents, or no string as the query.
        """
        given = {"documents": _checked(documents), "query": query}
        return self._run.invoke(given, self._config(callbacks))

    async def acompress_documents(
        self,
        documents: Sequence[documents.Document],
        query: str,
        callbacks: callbacks.Callbacks | None = None,
    ) -> Sequence[documents.Document]:
        """`compress_documents`, without blocking the event loop."""
        given = {"documents": _checked(documents), "query": query}
        return await self._run.ainvoke(given, self._config(callbacks))

    @abstractmethod
    def _compress(self, given: Mapping[str, Any]) -> list[documents.Document]:
        """What is kept of `documents` for `query`."""

    @abstractmethod
    async def _acompress(self, given: Mapping[str, Any]) -> list[documents.Document]:
        """The same, without blocking the event loop."""

    @property
    def _run(self) -> RunnableLambda[Mapping[str, Any], list[documents.Document]]:
        return RunnableLambda(self._compress, self._acompress)

    def _config(self, given: callbacks.Callbacks | None) -> RunnableConfig:
        config = RunnableConfig(run_name=type(self).__name__)
        return config if given is None else RunnableConfig(**config, callbacks=given)

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        return self.model_copy()

    def __reduce__(self) -> NoReturn:
        refuse_pickling(self)


def _checked(given: Sequence[documents.Document]) -> Sequence[documents.Document]:
    if isinstance(given, str | documents.Document) or not isinstance(given, Sequence):
        raise TypeError(f"documents is one {type(given).__name__}; a sequence belongs there")
    for place, item in enumerate(given):
        if not isinstance(item, documents.Document):
            raise TypeError(
                f"documents[{place}] is a {type(item).__name__}, not a LangChain Document; "
                "Document(page_content=...) makes one"
            )
    return given
