"""Nodes, filters and queries, from LlamaIndex to Tercet and back."""

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
from llama_index.core.schema import (
    BaseNode,
    Document,
    ImageDocument,
    ImageNode,
    IndexNode,
    MediaResource,
    MetadataMode,
    Node,
    NodeRelationship,
    QueryBundle,
    RelatedNodeInfo,
    TextNode,
)

import llama_index_tercet
from llama_index_tercet.convert import from_node, query_views, to_node
from tercet.documents import Document as TercetDocument
from tercet.testing.hash_encoder import HashEncoder

WITHOUT_FRAMEWORK = """
import sys
sys.modules["llama_index"] = None
try:
    import llama_index_tercet
except ImportError as error:
    print(type(error).__name__, error)
"""

COMMON: dict[str, Any] = {
    "id_": "n1",
    "metadata": {"title": "Title", "secret": 1, "of": {"x": [1, None]}, "doc_id": "mine"},
    "excluded_embed_metadata_keys": ["secret", "of", "doc_id"],
    "excluded_llm_metadata_keys": ["title"],
    "metadata_template": "{key}={value}",
    "metadata_separator": "; ",
    "relationships": {
        NodeRelationship.SOURCE: RelatedNodeInfo(node_id="book", metadata={"a": 1}, hash="h"),
        NodeRelationship.CHILD: [RelatedNodeInfo(node_id="c1"), RelatedNodeInfo(node_id="c2")],
    },
}

NODES: list[BaseNode] = [
    TextNode(text="The text.", start_char_idx=3, end_char_idx=12, **COMMON),
    TextNode(text="", **COMMON),
    TextNode(text="alone"),
    TextNode(text="  spaces round it \n", **COMMON),
    TextNode(text="The text.", text_template="<{metadata_str}> {content}", **COMMON),
    IndexNode(text="An index.", index_id="i1", **COMMON),
    ImageNode(text="A picture.", image="AAAA", image_url="https://example.org/a.png", **COMMON),
    Node(text_resource=MediaResource(text="The text."), **COMMON),
    Node(text_resource=MediaResource(text=None, url="https://example.org"), **COMMON),
    Node(image_resource=MediaResource(data=b"AAAA"), **COMMON),
    Document(text="The text.", **COMMON),
    Document(text="", id_="empty"),
    ImageDocument(text="A picture.", image="AAAA", **COMMON),
]


def test_the_public_names_are_sorted_and_there() -> None:
    assert llama_index_tercet.__all__ == [
        "TercetContextPostprocessor",
        "TercetEmbedding",
        "TercetRerank",
        "TercetRetriever",
        "TercetSparseEmbedding",
        "TercetVectorStore",
        "retriever_tool",
    ]
    assert all(hasattr(llama_index_tercet, name) for name in llama_index_tercet.__all__)


def test_without_llama_index_the_import_names_the_extra() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_FRAMEWORK], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("MissingExtraError")
    assert "pip install" in done.stdout
    assert "tercet[llama-index]" in done.stdout


@pytest.mark.parametrize("node", NODES, ids=lambda node: type(node).__name__)
def test_a_node_comes_back_equal(node: BaseNode) -> None:
    before = node.model_dump()
    document = from_node(node)
    stored = replace(document, private=json.loads(json.dumps(document.private)))
    back = to_node(stored)
    assert type(back) is type(node)
    assert back.model_dump() == before == node.model_dump()


@pytest.mark.parametrize("node", NODES, ids=lambda node: type(node).__name__)
def test_what_is_encoded_is_what_llama_index_embeds(node: BaseNode) -> None:
    document = from_node(node)
    assert document.text == node.get_content(MetadataMode.NONE)
    assert document.content.strip() == node.get_content(MetadataMode.EMBED).strip()


def test_text_metadata_and_source_stand_where_other_users_find_them() -> None:
    document = from_node(NODES[0])
    assert (document.id, document.text, document.parent) == ("n1", "The text.", "book")
    assert document.header == "title=Title\n\n"
    assert document.metadata == COMMON["metadata"]
    assert set(document.private) == {"llama_index"}
    assert not {"text", "metadata", "embedding"} & set(document.private["llama_index"])


def test_an_index_node_s_object_comes_back_as_llama_index_reads_it() -> None:
    node = IndexNode(text="An index.", index_id="i1", obj=TextNode(text="inner", id_="in"))
    back, by_llama_index = to_node(from_node(node)), IndexNode.from_json(node.to_json())
    assert isinstance(back, IndexNode)
    assert back.index_id == "i1"
    assert back.obj.get_content() == by_llama_index.obj.get_content()


def test_a_vector_on_a_node_stays_out() -> None:
    node = TextNode(text="a", embedding=[1.0, 2.0])
    assert to_node(from_node(node)).embedding is None
    assert node.embedding == [1.0, 2.0]


def test_metadata_comes_from_the_index() -> None:
    document = from_node(TextNode(id_="a", text="text", metadata={"n": 1}))
    changed = TercetDocument(
        id="a", text="new text", metadata={"n": 2}, header="n: 1\n\n", private=document.private
    )
    node = to_node(changed)
    assert (node.metadata, node.get_content()) == ({"n": 2}, "new text")


def test_a_document_of_another_adapter_becomes_a_text_node() -> None:
    node = to_node(
        TercetDocument(id="a", text="text", metadata={"n": 1}, parent="book", private={"other": {}})
    )
    assert type(node) is TextNode
    assert (node.node_id, node.ref_doc_id, node.metadata) == ("a", "book", {"n": 1})
    assert to_node(TercetDocument(id="a", text="text")).ref_doc_id is None


def test_a_template_with_something_after_the_text_is_refused_by_name() -> None:
    node = TextNode(
        id_="n", text="body", metadata={"k": "v"}, text_template="{content}\n{metadata_str}"
    )
    with pytest.raises(ValueError, match=r"text_template of node 'n'.*after \{content\}"):
        from_node(node)


def test_a_class_that_would_not_come_back_is_refused_by_name() -> None:
    class Mine(TextNode):
        more: int = 0

    with pytest.raises(TypeError, match=r"node 'n' is a Mine.*TextNode"):
        from_node(Mine(id_="n", text="a", more=1))


def test_metadata_that_is_no_json_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match="metadata of document 'n' is not JSON"):
        from_node(TextNode(id_="n", text="a", metadata={"when": {1, 2}}))


def test_a_query_that_brings_no_vector_has_no_views(encoder: HashEncoder) -> None:
    assert query_views(QueryBundle("a"), encoder) is None


def test_a_query_s_vector_and_hypothetical_documents_are_its_dense_view(
    encoder: HashEncoder,
) -> None:
    views = query_views(QueryBundle("a", embedding=[1.0, 2.0]), encoder)
    assert views is not None
    assert views.dense is not None
    assert views.dense.tolist() == [[1.0, 2.0]]
    made = query_views(QueryBundle("a", custom_embedding_strs=["cold sea", "cod"]), encoder)
    rows = encoder.encode_queries(["cold sea", "cod"]).dense
    assert made is not None
    assert made.dense is not None
    assert rows is not None
    assert made.dense[0] == pytest.approx(rows.mean(axis=0))
    assert [v.value for v in made.representations] == ["dense"]


def test_what_is_no_node_is_refused() -> None:
    with pytest.raises(TypeError, match="'text' is no LlamaIndex node"):
        from_node("text")  # type: ignore[arg-type]
