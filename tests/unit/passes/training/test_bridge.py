"""Running parts of a graph in PyTorch: segments, replacements, gradients, and refusals."""

from __future__ import annotations

import numpy as np
import pytest

from passes.errors import ModelError, UsageError
from passes.ir.model import Model
from passes.ir.onnx_io import model_from_text

torch = pytest.importorskip("torch", reason="needs the extra train")
from passes.training.bridge import Bridge, bias_name  # noqa: E402
from passes.training.threads import threads  # noqa: E402

CHAIN = """<ir_version: 8, opset_import: ["" : 13]> g (float[N,2] x) => (float[N,2] y)
    <float[2,2] w = {1, 2, 3, 4}, float[2] b = {1, -1}>
    { [layer] h = Gemm(x, w, b)  r = Relu(h)  y = Add(r, x) }"""


def chain() -> Bridge:
    return Bridge.of(model_from_text(CHAIN).graph)


def test_a_segment_runs_from_any_tensors_to_any_others() -> None:
    h = torch.tensor([[-1.0, 5.0]])
    assert chain().run({"h": h}, ["r"])["r"].tolist() == [[0.0, 5.0]]


def test_a_fed_constant_takes_the_place_of_the_model_s() -> None:
    feeds = {"x": torch.tensor([[1.0, 1.0]]), "w": torch.eye(2)}
    assert chain().run(feeds)["y"].tolist() == [[3.0, 1.0]]


def test_a_change_is_seen_by_all_readers_but_spares_what_is_fed() -> None:
    feeds = {"x": torch.tensor([[1.0, 1.0]])}
    changes = {"h": lambda value: value * 0 + 7.0, "x": lambda value: value * 0}
    assert chain().run(feeds, changes=changes)["y"].tolist() == [[8.0, 8.0]]


def test_gradients_reach_weights() -> None:
    weight = torch.eye(2, requires_grad=True)
    y = chain().run({"x": torch.tensor([[1.0, 2.0]]), "w": weight})["y"]
    torch.autograd.backward([y.sum()])
    # The second output, 2 - 1, passes the Relu as well; each weight is multiplied by its input.
    assert weight.grad.tolist() == [[1.0, 1.0], [2.0, 2.0]]


def test_a_layer_may_have_a_bias_of_its_own() -> None:
    bridge = Bridge.of(model_from_text(CHAIN).graph, biases={"layer": np.array([5, 6], np.float32)})
    found = bridge.run({"x": torch.zeros(1, 2)}, ["h"])
    assert found["h"].tolist() == [[5.0, 6.0]]
    again = bridge.run({"x": torch.zeros(1, 2), bias_name("layer"): torch.ones(2)}, ["h"])
    assert again["h"].tolist() == [[1.0, 1.0]]


def test_what_is_missing_is_named() -> None:
    with pytest.raises(ModelError, match="tensor 'x' is needed, but neither fed nor computed"):
        chain().run({"h": torch.zeros(1, 2)})


def test_shapes_that_do_not_fit_are_a_typed_error() -> None:
    with pytest.raises(ModelError, match=r"node layer \(Gemm\) fails in PyTorch on shapes"):
        chain().run({"x": torch.zeros(1, 3)})


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ("[odd] y = NonZero(x)", r"node odd \(NonZero\): the operator is not supported"),
        ("[odd] y = Resize <mode=\"cubic\"> (x, , s)", "mode cubic is not supported"),
        ("[odd] y = com.acme.Magic(x)", "operators of domain com.acme are not supported"),
        ("[odd] y = ArgMax <select_last_index=1> (x)", "select_last_index is not supported"),
    ],
)  # fmt: skip
def test_refusals_name_node_operator_and_way_out(node: str, message: str) -> None:
    model = model_from_text(
        '<ir_version: 8, opset_import: ["" : 13, "com.acme" : 1]> g (float[N,2] x) => (y)'
        f" <float[2] s = {{1, 2}}> {{ {node} }}"
    )
    with pytest.raises(ModelError, match=message) as caught:
        Bridge.of(model.graph)
    assert "Methods without gradients still work" in str(caught.value)


def test_an_unknown_device_is_refused(residual: Model) -> None:
    with pytest.raises(UsageError, match="device 'tpu': expected cpu, auto, or cuda"):
        Bridge.of(residual.graph, "tpu")


def test_threads_are_set_for_a_while() -> None:
    before = torch.get_num_threads()
    with threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


def test_swish_has_its_factor() -> None:
    model = model_from_text("""<ir_version: 11, opset_import: ["" : 24]>
        net (float[N] x) => (float[N] y) { y = Swish <alpha=2.0> (x) }""")
    x = torch.tensor([-1.0, 0.0, 2.0])
    found = Bridge.of(model.graph).run({"x": x})["y"].tolist()
    assert found == pytest.approx([-1 / (1 + np.exp(2)), 0.0, 2 / (1 + np.exp(-4))])
