"""What happens between layers is priced in the problem as it is in the network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hwmodels import HardwareModel, Precision, load_target
from hwmodels.elementwise import VectorUnit
from passes.allocation import AllocationProblem, Budget, solver
from passes.allocation.build import build_problem
from passes.allocation.evaluate import evaluate
from passes.analysis.between import BetweenLayers
from passes.analysis.cost import Costs, price_plan
from passes.analysis.sensitivity import SensitivityTable
from passes.api import PassContext
from passes.ir.model import Model
from passes.ir.onnx_io import model_from_text
from passes.ir.setup import quantizer_setup

NET = """
<ir_version: 8, opset_import: ["" : 13]>
net (float[1,1,8,8] x) => (float[1,1,1,1] y)
<float[1,1,1,1] w1 = {1.0}, float[1,1,1,1] w2 = {1.0}, float[1,1,1,1] w3 = {1.0}, float[1,1,1,1] w4 = {1.0}>
{
    [one] a = Conv(x, w1)
    [relu] b = Relu(a)
    [two] c = Conv(b, w2)
    [side] s = Conv(b, w4)
    [join] d = Add(b, c)
    [pool] p = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(d)
    [three] e = Conv(p, w3)
    [more] f = Add(e, p)
    [last] y = GlobalAveragePool(f)
}
"""
LAYERS = ("one", "two", "side", "three")
BITS = (2, 4, 8)


def machine() -> HardwareModel:
    unit = VectorUnit(1e9, 2e9, "made up", element_pj=1.5, memory_pj_per_bit=0.5, overhead_s=1e-8)
    return replace(load_target("bitfusion"), vector_unit=unit)


@pytest.fixture
def net() -> Model:
    return model_from_text(NET)


def problem_of(model: Model, target: HardwareModel) -> AllocationProblem:
    ctx = PassContext(target)
    setup = quantizer_setup(model.graph, target)
    losses = {name: {bits: 4.0**-bits for bits in BITS} for name in LAYERS}
    table = SensitivityTable("made up", losses, losses)
    costs, between = ctx.get(Costs(BITS), model), ctx.get(BetweenLayers(), model)
    return build_problem(setup, costs, table, target, {}, between)


def random_choices(problem: AllocationProblem, rng: np.random.Generator) -> list[int]:
    """Return choices that agree where two layers read the same tensor."""
    acts = {name: int(rng.choice(BITS)) for name in LAYERS}
    acts["side"] = acts["two"]
    weights = {name: int(rng.choice(BITS)) for name in LAYERS}
    return [
        next(
            at
            for at, choice in enumerate(layer.choices)
            if choice.pair == (weights[layer.name], acts[layer.name])
        )
        for layer in problem.layers
    ]


@pytest.mark.parametrize("seed", range(8))
def test_the_problem_costs_what_the_network_costs(net: Model, seed: int) -> None:
    target = machine()
    problem = problem_of(net, target)
    choices = random_choices(problem, np.random.default_rng(seed))
    _, cost = evaluate(problem, choices)
    bits = {
        layer.name: Precision(*layer.choices[at].pair)
        for layer, at in zip(problem.layers, choices, strict=True)
    }
    total, _ = price_plan(net, PassContext(target), bits)
    assert cost["latency_s"] == pytest.approx(total.latency_s, rel=1e-12)
    assert cost["energy_j"] == pytest.approx(total.energy_j, rel=1e-12)
    assert cost["weight_bytes"] == total.weight_bytes


def test_what_two_layers_decide_is_a_boundary_and_what_none_decides_is_fixed(net: Model) -> None:
    problem = problem_of(net, machine())
    pairs = {(it.source, it.reader) for it in problem.boundaries}
    # b is read by two and by side, which decide together; d and p are one group, read by three.
    assert pairs == {("one", "two"), ("two", "three")}
    # The sum f has no reader that multiplies: its addition and the pooling of it always take the same.
    assert problem.fixed["latency_s"] > 0


def test_a_machine_without_conversions_has_no_boundaries(net: Model) -> None:
    problem = problem_of(net, replace(load_target("bitfusion"), vector_unit=None))
    assert problem.boundaries == ()
    assert not any(problem.fixed.values())


def test_dear_conversions_make_the_solver_keep_one_width(net: Model) -> None:
    """Free conversions make mixed widths the fastest; where each costs more than it saves, they are not."""
    dear = VectorUnit(1e3, 1e3, "made up")
    target = replace(load_target("bitfusion"), vector_unit=dear)
    problem = problem_of(net, target)
    found = solver("ilp").solve(problem, [Budget("loss", 0.05)], minimize="latency_s")
    acts = {layer.choices[at].act_bits for layer, at in zip(problem.layers, found.choices, strict=True)}
    assert found.status == "optimal"
    assert acts == {8}
