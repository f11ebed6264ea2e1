"""Gates: nested bits, the Kronecker product that they stand for, and gradients for what a bit is worth."""

from __future__ import annotations

from functools import reduce

import numpy as np
import pytest

from passes.ir.plan import Role, TensorQuant
from passes.numerics import IntFormat, PerChannel, QuantParams, QuantSpec, fake_quantize, quantize

torch = pytest.importorskip("torch", reason="needs the extra train")
from passes.training.gated_step import GatedStep  # noqa: E402
from passes.training.gated_weight import GatedWeight  # noqa: E402
from passes.training.gates import START, Gates  # noqa: E402
from passes.training.resource import GatedLayer, Limit, Resource  # noqa: E402

CPU = torch.device("cpu")


def gates_of(*widths: int, free: list[float] | None = None) -> Gates:
    gates = Gates(widths, CPU)
    if free is not None:
        gates.free = torch.tensor(free)
    gates.learn()
    return gates


def act_quants(*widths: int) -> list[TensorQuant]:
    """Unsigned activations of the same range at each width, with zero point 0."""
    return [
        TensorQuant(
            Role.ACT,
            QuantSpec(IntFormat(bits, signed=False), symmetric=False),
            QuantParams(np.float32(2.0 ** (4 - bits)), np.int32(0)),  # type: ignore[arg-type]
        )
        for bits in widths
    ]


@pytest.mark.parametrize(
    ("free", "bits"),
    [([0.1, 0.2], 8), ([0.1, -0.2], 4), ([-0.1, 0.9], 2), ([-0.1, -0.1], 2), ([0.0, 0.5], 2)],
)
def test_a_gate_counts_when_all_below_it_are_open(free: list[float], bits: int) -> None:
    gates = gates_of(2, 4, 8, free=free)
    gates.decide()
    assert gates.bits == bits


def test_gates_begin_open_and_stay_in_their_window() -> None:
    gates = gates_of(2, 4, 8)
    assert (gates.bits, gates.free.tolist()) == (8, [START, START])
    with torch.no_grad():
        gates.free.copy_(torch.tensor([7.0, -7.0]))
    gates.bound()
    assert gates.free.tolist() == [1.0, -1.0]


def test_settled_gates_stay_where_they_are() -> None:
    gates = gates_of(2, 4, 8, free=[0.9, 0.9])
    gates.place = 1
    gates.settle()
    gates.decide()
    assert (gates.bits, gates.free.requires_grad) == (4, False)


def test_closed_gates_are_the_block_matrix_of_the_paper(rng: np.random.Generator) -> None:
    """``q^T (U / Z) o`` with U as a Kronecker product, but for half a block that keeps 0 a level."""
    widest, x = 4, rng.uniform(0.0, 14.9, 200)
    for bits in (1, 2, 3, 4):
        factors = [np.eye(2) if bit < bits else np.ones((2, 2)) for bit in range(widest)]
        matrix: np.ndarray = reduce(np.kron, factors)
        block = 2 ** (widest - bits)
        assert set(matrix.sum(axis=0)) == {block}
        levels = np.arange(2.0**widest) - (block - 1) / 2
        merged = levels @ (matrix / matrix.sum(axis=0))
        one_hot = np.abs(merged[:, None] - x).argmin(axis=0)
        step = GatedStep(act_quants(1, 2, 3, 4), gates_of(1, 2, 3, 4))
        step.gates.place = bits - 1
        found = step(torch.tensor(x)).detach().numpy()
        np.testing.assert_allclose(found, merged[one_hot])


def test_each_width_rounds_as_the_compiler_does(rng: np.random.Generator) -> None:
    values = rng.standard_normal((2, 50)).astype(np.float32)
    quants = []
    for bits in (2, 4):
        params = QuantParams(np.array([0.25, 0.5], np.float32) * 2 ** (4 - bits), np.zeros(2, np.int32))
        quants.append(TensorQuant(Role.WEIGHT, QuantSpec(IntFormat(bits), PerChannel(0)), params))
    codes = quantize(values, quants[1].spec, quants[1].params)
    weight = GatedWeight(values, quants, codes, np.zeros(2), gates_of(2, 4))
    for place, quant in enumerate(quants):
        weight.gates.place = place
        # The latent weight has moved towards its codes; these are what is rounded.
        near = weight.latent.detach().numpy() * np.array([[0.25], [0.5]], np.float32)
        expected = fake_quantize(near, quant.spec, quant.params)
        np.testing.assert_array_equal(weight.value().detach().numpy(), expected)
        assert weight.decision().spec == quant.spec
        np.testing.assert_array_equal(weight.decision().codes, quantize(near, quant.spec, quant.params))
    assert weight.coarseness == 1
    weight.gates.place = 0
    assert weight.coarseness == 4


def test_the_gradient_of_a_gate_is_what_it_adds() -> None:
    step = GatedStep(act_quants(1, 2, 4), gates_of(1, 2, 4))
    step.gates.place = 1
    x, weight = torch.tensor([1.4, 5.0, 9.9]), torch.tensor([1.0, 2.0, -1.0])
    torch.autograd.backward([(step(x) * weight).sum()])
    # Steps are 8, 4 and 1: 1.4, 5, 9.9 are 0, 8, 8 with one bit, 0, 4, 8 with two, 1, 5, 10 with four.
    assert step.gates.free.grad.tolist() == [2 * (4 - 8), 1 * 1 + 2 * (5 - 4) - (10 - 8)]


def test_closing_a_gate_costs_the_second_order_as_well() -> None:
    step = GatedStep(act_quants(1, 2, 4), gates_of(1, 2, 4))
    step.gates.place, step.gates.curvature = 1, 0.5
    x, weight = torch.tensor([1.4, 5.0, 9.9]), torch.tensor([1.0, 2.0, -1.0])
    torch.autograd.backward([(step(x) * weight).sum()])
    # As above; of the bit in use, the only product is that of the second element.
    first = 2 * (4 - 8)
    assert step.gates.free.grad.tolist() == [first - 0.5 * first**2, 1 * 1 + 2 * (5 - 4) - (10 - 8)]


def test_no_gradient_is_computed_for_settled_gates() -> None:
    step = GatedStep(act_quants(2, 4), gates_of(2, 4))
    step.gates.settle()
    step.learn()
    torch.autograd.backward([step(torch.tensor([1.4, 3.0])).sum()])
    assert step.gates.free.grad is None
    assert step.shift.grad is not None


def test_prices_are_lines_between_widths() -> None:
    prices = {"latency_s": np.array([[1.0, 2.0], [3.0, 5.0], [9.0, 11.0]])}
    layer = GatedLayer("conv", "Conv", gates_of(2, 4, 8), gates_of(4, 8), prices)
    layer.weight.place = 1
    assert layer.price("latency_s") == 5.0
    torch.autograd.backward([layer.carried("latency_s")])
    assert layer.weight.free.grad.tolist() == [5.0 - 2.0, 11.0 - 5.0]
    assert layer.act.free.grad.tolist() == [5.0 - 3.0]


def test_only_an_excess_weighs() -> None:
    prices = {"latency_s": np.array([[1.0], [3.0]])}
    layer = GatedLayer("conv", "Conv", gates_of(4, 8), gates_of(8), prices)
    met = Resource([layer], [Limit("latency_s", 4.0, fixed=1.0)], power=2.0)
    assert float(met.excess()) == 0.0
    exceeded = Resource([layer], [Limit("latency_s", 2.0, fixed=1.0)], power=2.0)
    found = exceeded.excess()
    # (4 / 2) ** 2, and its logarithm falls by 2 / 4 for each unit of cost.
    assert float(torch.exp(found.detach())) == pytest.approx(4.0)
    torch.autograd.backward([found])
    assert layer.weight.free.grad.tolist() == pytest.approx([2.0 * 2.0 / 4.0])
