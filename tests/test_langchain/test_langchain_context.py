"""`TercetContextCompressor`: LangChain documents cut down to a token budget."""

import copy
import pickle

import pytest
from langchain_core.documents import Document
from langchain_core.language_models.fake_chat_models import ParrotFakeChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda, RunnablePassthrough
from pydantic import ValidationError

from langchain_tercet import TercetContextCompressor, TercetRetriever
from tercet.context.builder import ContextBuilder
from tercet.documents import Document as OurDocument
from tercet.testing.hash_encoder import HashEncoder

QUERY = "where do owls sleep?"
OWLS = "The owls of the old tower sleep in hollow trees by day."
RAIN = "The night was long and nobody spoke. Rain fell on the roof for hours on end."


def words(text: str) -> int:
    return len(text.split())


@pytest.fixture
def documents() -> list[Document]:
    return [
        Document(id="a", page_content=f"{RAIN} {OWLS} {RAIN}", metadata={"tags": ["x"]}),
        Document(page_content="Nothing of the kind was ever seen in this quiet town."),
    ]


@pytest.fixture
def compressor(encoder: HashEncoder) -> TercetContextCompressor:
    return TercetContextCompressor(encoder=encoder, budget=12, counter=words, passage_tokens=12)


async def test_passages_and_offsets_are_the_core_s_sync_and_async(
    encoder: HashEncoder, compressor: TercetContextCompressor, documents: list[Document]
) -> None:
    before = copy.deepcopy(documents)
    found = compressor.compress_documents(documents, QUERY)
    ours = [OurDocument(id="a", text=documents[0].page_content)]
    core = ContextBuilder(encoder, counter=words, passage_tokens=12, label="")
    (piece,) = core.build(QUERY, ours, budget=12).pieces
    assert [d.page_content for d in found] == [OWLS] == [piece.text]
    assert found[0].metadata == {"tags": ["x"], "context": piece.citation}
    assert found[0].id == "a"
    assert documents[0].page_content[piece.start : piece.end] == OWLS
    assert await compressor.acompress_documents(documents, QUERY) == found
    found[0].metadata["tags"].append("changed")
    assert documents == before


def test_labels_and_separators_count(encoder: HashEncoder, documents: list[Document]) -> None:
    compressor = TercetContextCompressor(
        encoder=encoder,
        budget=33,
        counter=words,
        label="source {number} says: ",
        separator=" ; ",
        order="score",
        passage_tokens=10,
        context_key="span",
    )
    found = compressor.compress_documents(documents, QUERY)
    assert words(" ; ".join(d.page_content for d in found)) <= 33
    assert [d.page_content[:15] for d in found] == ["source 1 says: ", "source 2 says: "]
    assert [d.metadata["span"]["number"] for d in found] == [1, 2]


def test_a_chain_never_reads_more_than_the_budget(encoder: HashEncoder) -> None:
    rows = [f"{RAIN} {OWLS} {n}. {RAIN}" for n in range(6)]
    retriever = TercetRetriever.from_texts(rows, encoder=encoder, k=5)
    compressor = TercetContextCompressor(
        encoder=encoder, budget=60, counter="cl100k_base", index=retriever.retriever.index
    )

    @RunnableLambda
    def context(question: str) -> str:
        found = compressor.compress_documents(retriever.invoke(question), question)
        return compressor.separator.join(d.page_content for d in found)

    chain = (
        {"context": context, "question": RunnablePassthrough()}
        | ChatPromptTemplate.from_template("{context}\n===\n{question}")
        | ParrotFakeChatModel()
        | StrOutputParser()
    )
    read = chain.invoke(QUERY).split("\n===\n")[0]
    assert OWLS in read
    assert ContextBuilder(counter="cl100k_base").counter(read) <= 60


def test_nothing_in_nothing_out(compressor: TercetContextCompressor) -> None:
    assert compressor.compress_documents([], QUERY) == []


def test_bad_arguments_are_refused_by_name(encoder: HashEncoder) -> None:
    with pytest.raises(ValidationError, match="budgett"):
        TercetContextCompressor(encoder=encoder, budget=9, budgett=1)  # type: ignore[call-arg]
    with pytest.raises(ValidationError, match="greater than 0"):
        TercetContextCompressor(encoder=encoder, budget=0)
    with pytest.raises(ValidationError, match="Field required"):
        TercetContextCompressor(encoder=encoder)  # type: ignore[call-arg]
    with pytest.raises(ValidationError, match="neither model nor encoder"):
        TercetContextCompressor(budget=9)
    with pytest.raises(ValueError, match="no encoding 'gpt-9'"):
        TercetContextCompressor(encoder=encoder, budget=9, counter="gpt-9")
    with pytest.raises(TypeError, match="is a int, not a LangChain Document"):
        TercetContextCompressor(encoder=encoder, budget=9).compress_documents(
            [3],  # type: ignore[list-item]
            QUERY,
        )


def test_copies_share_the_encoder_and_pickling_is_refused(
    compressor: TercetContextCompressor,
) -> None:
    assert copy.deepcopy(compressor).encoder is compressor.encoder
    assert "HashEncoder" not in repr(compressor)
    with pytest.raises(TypeError, match="TercetContextCompressor holds a loaded model"):
        pickle.dumps(compressor)
