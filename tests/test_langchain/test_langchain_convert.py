"""Documents and fields, from LangChain to Tercet and back."""

import subprocess
import sys
from importlib.util import find_spec
from uuid import UUID

import pytest
from langchain_core.documents import Document

import langchain_tercet
from langchain_tercet.convert import from_langchain, to_langchain, with_metadata, zip_documents
from tercet.documents import Document as TercetDocument
from tercet.ranking import Hit

WITHOUT_FRAMEWORK = """
import sys
sys.modules["langchain_core"] = None
try:
    import langchain_tercet
except ImportError as error:
    print(type(error).__name__, error)
"""


def test_the_public_names_are_sorted_and_there() -> None:
    assert langchain_tercet.__all__ == [
        "TercetContextCompressor",
        "TercetCrossEncoder",
        "TercetEmbeddings",
        "TercetReranker",
        "TercetRetriever",
        "TercetSparseEmbeddings",
        "TercetVectorStore",
        "TercetVectorStoreRetriever",
    ]
    older = {"TercetCrossEncoder"} if find_spec("langchain_core.cross_encoders") is None else set()
    assert all(hasattr(langchain_tercet, name) for name in {*langchain_tercet.__all__} - older)
    with pytest.raises(AttributeError, match="no attribute 'TercetEncoder'"):
        langchain_tercet.TercetEncoder  # noqa: B018


def test_an_older_langchain_core_is_named_where_it_lacks_something(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(langchain_tercet, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"needs langchain-core 1\.2\.19 or later: pip install"):
        langchain_tercet.TercetCrossEncoder  # noqa: B018


def test_without_langchain_the_import_names_the_extra() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_FRAMEWORK], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("MissingExtraError")
    assert "pip install" in done.stdout
    assert "tercet[langchain]" in done.stdout


def test_a_document_goes_in_and_comes_back_equal() -> None:
    given = Document(id="a", page_content="text", metadata={"year": 2020, "of": {"x": [1, None]}})
    hit = Hit(from_langchain(given), score=0.5, scores={"dense": 0.5}, rank=1)
    assert to_langchain(hit) == given


def test_a_document_without_an_id_gets_one() -> None:
    first, second = (from_langchain(Document(page_content="same")) for _ in range(2))
    assert UUID(first.id) != UUID(second.id)


def test_a_score_enters_the_metadata_only_on_request() -> None:
    document = TercetDocument(id="a", text="text", metadata={"year": 2020}, private={"x": {"y": 1}})
    hit = Hit(document, score=0.5, scores={}, rank=1)
    assert to_langchain(hit).metadata == {"year": 2020}
    assert to_langchain(hit, score_key="score").metadata == {"year": 2020, "score": 0.5}
    assert document.metadata == {"year": 2020}


def test_more_metadata_makes_a_copy_and_keeps_the_id() -> None:
    given = Document(id="a", page_content="text", metadata={"of": {"x": [1]}})
    copy = with_metadata(given, relevance_score=1.0)
    copy.metadata["of"]["x"].append(2)
    assert given.metadata == {"of": {"x": [1]}}
    assert (copy.id, copy.metadata["relevance_score"]) == ("a", 1.0)


def test_metadata_that_is_no_json_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match="metadata of document 'a' is not JSON"):
        from_langchain(Document(id="a", page_content="text", metadata={"when": object()}))


def test_what_is_no_document_is_refused() -> None:
    with pytest.raises(TypeError, match="no LangChain Document"):
        from_langchain("text")  # type: ignore[arg-type]


def test_texts_metadata_and_ids_are_matched_one_to_one() -> None:
    documents = zip_documents(iter(["one", "two"]), [{"n": 1}, {"n": 2}], ["a", None])
    assert [(d.page_content, d.metadata, d.id) for d in documents] == [
        ("one", {"n": 1}, "a"),
        ("two", {"n": 2}, None),
    ]
    assert [d.metadata for d in zip_documents(["one", "two"], None, None)] == [{}, {}]


@pytest.mark.parametrize(("metadatas", "ids"), [([{}], None), (None, ["a"]), (None, [*"abc"])])
def test_other_numbers_of_metadata_or_ids_lose_no_text(
    metadatas: list[dict[str, int]] | None, ids: list[str] | None
) -> None:
    with pytest.raises(ValueError, match="2 texts, but"):
        zip_documents(["one", "two"], metadatas, ids)


def test_a_bare_string_is_no_list_of_texts() -> None:
    with pytest.raises(TypeError, match="texts is one string"):
        zip_documents("one", None, None)
    with pytest.raises(TypeError, match="ids is one string"):
        zip_documents(["o", "n"], None, "ab")
