"""`TercetContextPostprocessor`: nodes cut down to a token budget, alone and in a query engine."""

import copy
import pickle

import pytest
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import (
    Document,
    ImageNode,
    MetadataMode,
    NodeWithScore,
    QueryBundle,
    TextNode,
)
from pydantic import ValidationError

from llama_index_tercet import TercetContextPostprocessor, TercetRetriever
from tercet.context.builder import ContextBuilder
from tercet.testing.hash_encoder import HashEncoder

QUERY = "where do owls sleep?"
OWLS = "The owls of the old tower sleep in hollow trees by day."
RAIN = "The night was long and nobody spoke. Rain fell on the roof for hours on end."


def words(text: str) -> int:
    return len(text.split())


def shown(nodes: list[NodeWithScore]) -> list[str]:
    return [scored.node.get_content(MetadataMode.LLM) for scored in nodes]


@pytest.fixture
def nodes() -> list[NodeWithScore]:
    long = TextNode(
        id_="a",
        text=f"{RAIN} {OWLS} {RAIN}",
        metadata={"title": "About owls"},
        start_char_idx=100,
        end_char_idx=400,
    )
    short = Document(id_="b", text="Nothing of the kind was ever seen in this quiet town.")
    return [NodeWithScore(node=long, score=0.9), NodeWithScore(node=short)]


@pytest.fixture
def postprocessor(encoder: HashEncoder) -> TercetContextPostprocessor:
    return TercetContextPostprocessor(
        encoder=encoder, budget=16, counter=words, passage_tokens=12, label="[{number}] "
    )


async def test_pieces_of_nodes_come_with_their_metadata_within_the_budget(
    postprocessor: TercetContextPostprocessor, nodes: list[NodeWithScore]
) -> None:
    before = copy.deepcopy(nodes)
    found = postprocessor.postprocess_nodes(nodes, query_str=QUERY)
    assert shown(found) == [f"title: About owls\n\n[1] {OWLS}"]  # 16 words
    (node,) = (scored.node for scored in found)
    start = nodes[0].node.get_content().index(OWLS)
    citation = node.metadata["context"]
    assert (citation["start"], citation["end"]) == (start, start + len(OWLS))
    assert (node.start_char_idx, node.end_char_idx) == (100 + start, 100 + start + len(OWLS))
    assert (node.node_id, found[0].score) == ("a", citation["score"])
    assert "context" not in node.get_content(MetadataMode.EMBED)
    again = await postprocessor.apostprocess_nodes(nodes, QueryBundle(f"\n{QUERY}\n"))
    assert shown(again) == shown(found)
    assert nodes == before


def test_nodes_of_any_class_that_all_fit_come_whole(
    encoder: HashEncoder, nodes: list[NodeWithScore]
) -> None:
    image = NodeWithScore(node=ImageNode(text="", image="AAAA"))
    whole = TercetContextPostprocessor(encoder=encoder, budget=200, counter=words)
    found = whole.postprocess_nodes([*nodes, image], query_str=QUERY)
    assert shown(found) == shown(nodes)
    assert [scored.score for scored in found] == [0.9, 0.0]
    assert [type(scored.node) for scored in found] == [TextNode, Document]


async def test_a_query_engine_never_reads_more_than_the_budget(encoder: HashEncoder) -> None:
    rows = [
        TextNode(text=f"{RAIN} {OWLS} {n}. {RAIN}", metadata={"title": f"story {n}"})
        for n in range(6)
    ]
    retriever = TercetRetriever.from_defaults(rows, encoder=encoder, similarity_top_k=5)
    engine = RetrieverQueryEngine.from_args(
        retriever,
        llm=MockLLM(),
        node_postprocessors=[
            TercetContextPostprocessor(
                encoder=encoder,
                budget=80,
                counter="cl100k_base",
                index=retriever.retriever.index,
            )
        ],
    )
    response = engine.query(QUERY)
    read = "\n\n".join(shown(response.source_nodes))
    assert OWLS in read
    assert read in str(response)  # the language model repeats its prompt
    assert ContextBuilder(counter="cl100k_base").counter(read) <= 80
    assert str(await engine.aquery(QUERY)) == str(response)


def test_bad_arguments_are_refused_by_name(
    encoder: HashEncoder, postprocessor: TercetContextPostprocessor
) -> None:
    with pytest.raises(ValueError, match="passages need the query"):
        postprocessor.postprocess_nodes([])
    with pytest.raises(ValidationError, match="budgett"):
        TercetContextPostprocessor(encoder=encoder, budget=9, budgett=1)  # type: ignore[call-arg]
    with pytest.raises(ValidationError, match="greater than 0"):
        TercetContextPostprocessor(encoder=encoder, budget=0)
    with pytest.raises(ValueError, match="no encoding 'gpt-9'"):
        TercetContextPostprocessor(encoder=encoder, budget=9, counter="gpt-9")
    template = TextNode(text="a", metadata={"b": "c"}, text_template="{content} {metadata_str}")
    with pytest.raises(ValueError, match="puts something after"):
        postprocessor.postprocess_nodes([NodeWithScore(node=template)], query_str=QUERY)


def test_copies_share_the_encoder_and_pickling_is_refused(
    encoder: HashEncoder, postprocessor: TercetContextPostprocessor
) -> None:
    assert postprocessor.class_name() == "TercetContextPostprocessor"
    assert copy.deepcopy(postprocessor).encoder is encoder
    assert "HashEncoder" not in repr(postprocessor)
    named = TercetContextPostprocessor(encoder=encoder, budget=9)
    assert TercetContextPostprocessor.from_dict(named.to_dict(), encoder=encoder).budget == 9
    with pytest.raises(TypeError, match="TercetContextPostprocessor holds a loaded model"):
        pickle.dumps(postprocessor)
