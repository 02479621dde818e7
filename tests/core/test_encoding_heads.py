"""The heads, on states that can be computed by hand."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tercet.encoding.heads.dense import DenseView
from tercet.encoding.heads.multi_vector import MultiVectorView
from tercet.encoding.heads.projection import Projection, load_projection
from tercet.encoding.heads.sparse import SparseView, lexical_weights
from tercet.encoding.heads.token_rows import TokenRows
from tercet.encoding.onnx.model import DenseGraph
from tercet.encoding.onnx.session import EMPTY, Rows
from tercet.encoding.packing import Pass
from tercet.encoding.tokenised import TokenisedText
from tercet.errors import UnknownLayoutError
from tercet.models.spec import DenseHead, LinearLayer, Pooling

CPU = torch.device("cpu")


def text_of(
    ids: list[int],
    *,
    keep: list[bool] | None = None,
    lexical: list[bool] | None = None,
    prompt: int = 0,
) -> TokenisedText:
    rows = np.arange(len(ids))
    return TokenisedText(
        ids=np.asarray(ids),
        starts=rows,
        ends=rows + 1,
        special=rows < 0,
        attended=rows >= 0,
        keep=np.asarray([True] * len(ids) if keep is None else keep),
        lexical=np.asarray([True] * len(ids) if lexical is None else lexical),
        leading=0,
        trailing=0,
        prompt=prompt,
        total=len(ids),
        read=len(ids),
    )


def pass_of(
    text: int, rows: list[int], *, owned: list[bool] | None = None, visible: int | None = None
) -> Pass:
    return Pass(
        text=text,
        ids=np.zeros(len(rows), dtype=np.int64),
        positions=np.arange(len(rows)),
        rows=np.asarray(rows),
        owned=np.asarray([row >= 0 for row in rows] if owned is None else owned),
        pooled=np.asarray([0, *[n for n, row in enumerate(rows) if row < 0]]),
        visible=len(rows) if visible is None else visible,
    )


def dense_view(
    *pooling: Pooling, normalise: bool = False, include_prompt: bool = True
) -> DenseView:
    head = DenseHead(pooling=pooling, normalise=normalise, include_prompt=include_prompt)
    return DenseView(head, Projection(()))


STATES = torch.tensor([[1.0, 0.0], [3.0, 4.0], [-1.0, 2.0], [2.0, 2.0]])


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ("cls", [[1, 0], [2, 2]]),
        ("mean", [[1, 2], [2, 2]]),
        ("max", [[3, 4], [2, 2]]),
        ("mean_sqrt", [[3**0.5, 2 * 3**0.5], [2, 2]]),
        ("weighted_mean", [[(1 + 6 - 3) / 6, (8 + 6) / 6], [2, 2]]),
        ("last", [[-1, 2], [2, 2]]),
    ],
)
def test_each_pooling_is_what_its_name_says(pooling: Pooling, expected: list[list[float]]) -> None:
    passes, texts = [pass_of(0, [0, 1, 2]), pass_of(1, [0])], [text_of([5, 6, 7]), text_of([5])]
    found = dense_view(pooling).vectors(STATES, passes, texts)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert found.dtype == torch.float32


@pytest.mark.parametrize("pooling", ["cls", "mean", "max", "mean_sqrt", "weighted_mean", "last"])
def test_each_pooling_is_the_same_on_numpy(pooling: Pooling) -> None:
    passes, texts = [pass_of(0, [0, 1, 2]), pass_of(1, [0])], [text_of([5, 6, 7]), text_of([5])]
    expected = dense_view(pooling, normalise=True).vectors(STATES, passes, texts)
    view = DenseGraph(DenseHead(pooling=(pooling,)), Path("no layers"))
    found = view.vectors(Rows(STATES.numpy(), EMPTY, EMPTY), passes, texts)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_several_poolings_stand_one_behind_the_other() -> None:
    found = dense_view("cls", "mean").vectors(
        STATES[:3], [pass_of(0, [0, 1, 2])], [text_of([5, 6, 7])]
    )
    np.testing.assert_allclose(found, [[1, 0, 1, 2]])


def test_rows_that_nobody_sees_are_not_pooled() -> None:
    item = pass_of(0, [0, 1, 2], visible=2)
    for pooling, expected in (("mean", [2, 2]), ("last", [3, 4]), ("max", [3, 4])):
        found = dense_view(pooling).vectors(STATES[:3], [item], [text_of([5, 6, 7])])
        np.testing.assert_allclose(found, [expected])


def test_a_head_may_leave_the_prompt_out() -> None:
    text = text_of([5, 6, 7], prompt=2)
    view = dense_view("mean", include_prompt=False)
    np.testing.assert_allclose(view.vectors(STATES[:3], [pass_of(0, [0, 1, 2])], [text]), [[-1, 2]])
    all_prompt = text_of([5, 6, 7], prompt=3)
    found = view.vectors(STATES[:3], [pass_of(0, [0, 1, 2])], [all_prompt])
    np.testing.assert_allclose(found, [[1, 2]])


def test_the_states_of_all_cls_are_averaged() -> None:
    item = pass_of(0, [0, 1, -1])
    found = dense_view("cls").vectors(STATES[:3], [item], [text_of([5, 6])])
    np.testing.assert_allclose(found, [[0, 1]])


def test_windows_count_by_the_tokens_that_they_own() -> None:
    first = pass_of(0, [0, 1, 2], owned=[True, True, True])
    second = pass_of(0, [1, 2, 3], owned=[False, False, True])
    passes = [first, pass_of(1, [0]), second]
    vectors = np.asarray([[1, 0], [5, 5], [0, 1]], dtype=np.float32)
    joined = dense_view("mean").join(vectors, passes, texts=2)
    np.testing.assert_allclose(joined, [[0.75, 0.25], [5, 5]])
    scaled = dense_view("mean", normalise=True).join(vectors, passes, texts=2)
    np.testing.assert_allclose(scaled[0], np.asarray([3, 1]) / 10**0.5, rtol=1e-6)
    assert scaled[1].tolist() == [5, 5]  # made of one pass, so not touched again


def test_a_lexical_weight_is_the_largest_of_a_terms_tokens() -> None:
    view = SparseView(torch.tensor([[1.0, 1.0]]), torch.tensor([-1.0]))
    weights = view.weights(STATES).numpy()
    assert weights.tolist() == [0, 6, 0, 3]
    texts = [text_of([9, 8]), text_of([8, 8], lexical=[True, True])]
    found = lexical_weights(weights, [pass_of(1, [0, 1]), pass_of(0, [0, 1])], texts)
    assert found.to_dicts() == [{8: 3.0}, {8: 6.0}]


def test_tokens_without_lexical_weight_and_inserted_cls_are_left_out() -> None:
    weights = np.asarray([1, 2, 3, 4], dtype=np.float32)
    text = text_of([4, 5, 6], lexical=[False, True, True])
    found = lexical_weights(weights, [pass_of(0, [0, 1, 2, -1])], [text])
    assert found.to_dicts() == [{5: 2.0, 6: 3.0}]


def test_a_text_without_any_weight_is_an_empty_row() -> None:
    weights = np.zeros(2, dtype=np.float32)
    found = lexical_weights(weights, [pass_of(0, [0, 1])], [text_of([4, 5])])
    assert found.to_dicts() == [{}]


def test_a_sparse_layer_may_have_no_bias() -> None:
    assert SparseView(torch.tensor([[1.0, 1.0]]), None).weights(STATES[:1]).tolist() == [1]


def test_token_vectors_come_from_the_pass_that_owns_the_token() -> None:
    text = text_of([1, 2, 3, 4], keep=[True, False, True, True])
    first = pass_of(0, [0, 1, 2], owned=[True, True, False])
    second = pass_of(0, [2, 3, -1], owned=[True, True, False])
    rows = TokenRows([first, second], [text], dim=2)
    view = MultiVectorView(Projection(()), dim=2)
    for item, states in (
        (second, torch.tensor([[0.0, 1.0], [3.0, 4.0], [4.0, 3.0]])),
        (first, torch.tensor([[2.0, 0.0], [9.0, 9.0], [9.0, 9.0]])),
    ):
        for chosen, places in rows.pieces([item], at_once=1):
            rows.put(places, view.vectors(states, chosen).numpy())
    found = rows.result()
    np.testing.assert_allclose(found[0], [[1, 0], [0, 1], [0.6, 0.8]], rtol=1e-6)
    assert rows.tokens(0).tolist() == [0, 2, 3]


def test_on_a_cpu_token_vectors_are_projected_in_few_sizes() -> None:
    sizes = set()

    class Spy(Projection):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            sizes.add(len(x))
            return x

    view, states = MultiVectorView(Spy(()), dim=2), torch.randn(600, 2)
    for rows in range(1, 513):
        assert len(view.vectors(states, np.arange(rows))) == rows
    assert len(sizes) < 50  # a CPU's library keeps a kernel for each


def test_a_text_of_which_nothing_is_kept_has_its_first_token() -> None:
    text = text_of([1, 2], keep=[False, False])
    rows = TokenRows([pass_of(0, [0, 1])], [text], dim=2)
    assert rows.tokens(0).tolist() == [0]


@pytest.mark.parametrize("residual", ["none", "identity", "linear"])
def test_layers_add_their_residual_behind_the_activation(residual: str) -> None:
    layer = LinearLayer(2, 2, activation="torch.nn.modules.activation.ReLU", residual=residual)  # type: ignore[arg-type]
    tensors = {
        "dense.0.weight": torch.tensor([[1.0, 0.0], [0.0, -1.0]]),
        "dense.0.bias": torch.tensor([1.0, 0.0]),
        "dense.0.residual": torch.tensor([[0.0, 10.0], [0.0, 0.0]]),
    }
    if residual != "linear":
        del tensors["dense.0.residual"]
    projection = load_projection([layer], tensors, role="dense", device=CPU, dtype=torch.float32)
    with torch.inference_mode():
        found = projection(torch.tensor([[1.0, 2.0]]))
    added = {"none": [0, 0], "identity": [1, 2], "linear": [20, 0]}[residual]
    np.testing.assert_allclose(found, [[2 + added[0], 0 + added[1]]])


def test_an_activation_that_torch_lacks_is_refused() -> None:
    for name in ("evil.module.Function", "torch.nn.functional"):
        with pytest.raises(UnknownLayoutError, match=name):
            Projection([LinearLayer(2, 2, activation=name)])
