import types
import warnings
from typing import Any

import pytest

from tercet.documents import AddReport, Document, clean, cleaned


def test_header_and_text_are_joined_as_they_are() -> None:
    assert Document("a", "text", header="Title. ").content == "Title. text"


@pytest.mark.parametrize("id_", ["", "a\0b", "x" * 513, "é" * 257, "\ud800"])
def test_what_cannot_be_an_id_is_refused(id_: str) -> None:
    with pytest.raises(ValueError, match="document id"):
        Document(id_, "text")


def test_an_id_of_512_bytes_is_fine() -> None:
    assert Document("é" * 256, "").id


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"id": 3, "text": ""}, "ids are strings"),
        ({"id": "a", "text": b"bytes"}, "text of document 'a' is a bytes"),
        ({"id": "a", "text": "", "header": None}, "header of document 'a' is a NoneType"),
        ({"id": "a", "text": "", "parent": 7}, "parent of document 'a'"),
        ({"id": "a", "text": "", "metadata": [1]}, "is a list, not a mapping"),
        ({"id": "a", "text": "", "metadata": {"when": object()}}, "write dates as ISO-8601"),
        ({"id": "a", "text": "", "metadata": {1: "x"}}, "the key 1 is no string"),
        ({"id": "a", "text": "", "private": {"x": [{"y": {2: 0}}]}}, "the key 2 is no string"),
    ],
)
def test_values_of_a_wrong_type_are_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(TypeError, match=said):
        Document(**fields)


def test_metadata_that_is_no_json_is_refused() -> None:
    with pytest.raises(ValueError, match="is not JSON"):
        Document("a", "", {"x": float("nan")})
    round_trip: dict[str, object] = {}
    round_trip["self"] = round_trip
    with pytest.raises(ValueError, match="is not JSON"):
        Document("a", "", round_trip)


def test_any_mapping_is_metadata() -> None:
    frozen = types.MappingProxyType({"a": 1})
    assert clean(Document("a", "", frozen)).metadata == {"a": 1}


def test_lone_surrogates_become_replacement_characters_everywhere() -> None:
    dirty = Document(
        "a", "x\ud800y", {"k\udfff": ["\ud83d", {"d": "\udc00"}, 1]}, header="\ud801", private={}
    )
    with pytest.warns(UserWarning, match="1 documents have lone surrogates") as said:
        result = cleaned([Document("b", "fine"), dirty])
    assert len(said) == 1
    assert result[1].text == "x\N{REPLACEMENT CHARACTER}y"
    assert result[1].header == "\N{REPLACEMENT CHARACTER}"
    assert result[1].metadata == {
        "k\N{REPLACEMENT CHARACTER}": [
            "\N{REPLACEMENT CHARACTER}",
            {"d": "\N{REPLACEMENT CHARACTER}"},
            1,
        ]
    }


def test_clean_documents_are_handed_back_as_they_are() -> None:
    document = Document("a", "😀 text", {"x": "é"})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert cleaned([document])[0] is document


def test_reports_add_up() -> None:
    total = AddReport(2, 1, 0, ("a", "b")) + AddReport(1, 0, 4, ("b", "c"))
    assert total == AddReport(3, 1, 4, ("a", "b", "c"))
