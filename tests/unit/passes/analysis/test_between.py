"""Operators and conversions between layers, and which activations are alive together."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hwmodels import Precision, load_target
from hwmodels.elementwise import VectorUnit
from passes.analysis.between import BetweenLayers
from passes.analysis.cost import price_plan
from passes.analysis.schedule import ActivationLives
from passes.api import PassContext
from passes.ir.model import Model
from passes.ir.onnx_io import model_from_text

RESIDUAL = """
<ir_version: 8, opset_import: ["" : 13]>
net (float[1,1,4,4] x) => (float[1,16] y)
<float[1,1,1,1] w1 = {1.0}, float[1,1,1,1] w2 = {1.0}, float[1,1,1,1] w3 = {1.0}, int64[2] flat = {1, -1}>
{
    [one] a = Conv(x, w1)
    [relu] b = Relu(a)
    [two] c = Conv(b, w2)
    [join] d = Add(b, c)
    [three] e = Conv(d, w3)
    [view] y = Reshape(e, flat)
}
"""
UNIT = VectorUnit(elements_per_s=1e6, memory_bytes_per_s=1e6, source="made up", element_pj=2.0)


@pytest.fixture
def net() -> Model:
    return model_from_text(RESIDUAL)


def machine(unit: VectorUnit | None) -> PassContext:
    return PassContext(replace(load_target("bitfusion"), vector_unit=unit))


def described(model: Model) -> list[tuple[str, str, str | None, str | None]]:
    found = machine(None).get(BetweenLayers(), model)
    return [(entry.work.op, entry.work.name, entry.source, entry.sink) for entry in found]


def test_layers_write_at_their_own_width_and_operators_work_at_that_of_their_result(net: Model) -> None:
    assert described(net) == [
        ("Requantize", "x", None, "x"),
        ("Requantize", "b", "x", "b"),
        ("Requantize", "c", "b", "c"),
        ("Add", "join", "d", "d"),
        ("Requantize", "b", "b", "d"),
        ("Requantize", "c", "c", "d"),
        # The result of the last layer leaves in floating point, and its view moves nothing.
        ("Requantize", "e", "d", None),
    ]


def test_elements_are_counted(net: Model) -> None:
    works = {entry.work.name: entry.work for entry in machine(None).get(BetweenLayers(), net)}
    assert (works["join"].in_elements, works["join"].out_elements) == (32, 16)


def test_what_is_converted_costs_time_and_energy(net: Model) -> None:
    def total(unit: VectorUnit | None, *bits: int):
        pairs = dict(zip(("one", "two", "three"), (Precision(8, it) for it in bits), strict=True))
        return price_plan(net, machine(unit), pairs)[0]

    free, uniform, mixed = total(None, 8, 8, 8), total(UNIT, 8, 8, 8), total(UNIT, 8, 4, 8)
    # At 8 bits everywhere: x comes in and e leaves in float (16 elements, 4 + 1 bytes each), one Add of 48
    # bytes. Memory is the slower side.
    assert uniform.latency_s - free.latency_s == pytest.approx((2 * 16 * 5 + 48) * 1e-6)
    # The reader of b asks for 4 bits: b is narrowed and widened again for the Add, c comes out of a layer
    # that writes 4 bits and has 8 itself.
    layers = total(None, 8, 4, 8)
    conversions = mixed.latency_s - layers.latency_s - (uniform.latency_s - free.latency_s)
    assert conversions == pytest.approx(3 * 16 * 1.5e-6)
    assert mixed.energy_j - layers.energy_j == pytest.approx((2 * 16 + 32 + 3 * 16) * 2e-12)


def test_a_fused_conversion_costs_the_bits_that_it_adds(net: Model) -> None:
    fused = replace(UNIT, fused_ops=("Requantize",))
    pairs = dict.fromkeys(("one", "two", "three"), Precision(8, 8)) | {"two": Precision(8, 4)}
    gained = (
        price_plan(net, machine(fused), pairs)[0].latency_s
        - price_plan(net, machine(None), pairs)[0].latency_s
    )
    # The Add, e to float (24 bits more), b for the Add and c out of its layer (4 bits more each).
    assert gained == pytest.approx((48 + 16 * 3 + 2 * 16 * 0.5) * 1e-6)


def test_peak_memory_follows_the_schedule(net: Model) -> None:
    lives = machine(None).get(ActivationLives(), net)
    # A clamp and a view have no memory of their own: 32 bits each for 16 elements.
    assert [step.writes for step in lives.schedule.steps] == [("a",), ("c",), ("d",), ("e",)]
    assert lives.schedule.peak_bytes() == 3 * 64
    assert lives.group == {"x": "x", "a": "b", "c": "c", "d": "d"}
    pairs = dict.fromkeys(("one", "two", "three"), Precision(8, 8))
    # b, c and d together at one byte; or d and the float result.
    assert price_plan(net, machine(None), pairs)[0].peak_memory_bytes == 16 + 64


def test_a_machine_with_containers_stores_the_supported_width(net: Model) -> None:
    target = load_target("bitfusion")
    wide = replace(target, arithmetic=replace(target.arithmetic, packed_storage=False))
    pairs = dict.fromkeys(("one", "two", "three"), Precision(3, 3))
    packed, padded = (price_plan(net, PassContext(it), pairs)[0] for it in (target, wide))
    assert (packed.weight_bytes, padded.weight_bytes) == (3, 3)
    assert packed.peak_memory_bytes == 64 + 6
    assert padded.peak_memory_bytes == 64 + 8


@pytest.mark.parametrize(
    "cut", ["Slice(x, one, three, two)", "Gather<axis = 2>(x, one)"], ids=["slice", "gather"]
)
def test_what_selects_reads_no_more_than_it_writes(cut: str) -> None:
    model = model_from_text(f"""
        <ir_version: 8, opset_import: ["" : 13]>
        net (float[1,4,8] x) => (float[1,4,5] y)
        <int64[1] one = {{1}}, int64[1] three = {{2}}, int64[1] two = {{2}}, float[1,5] w = {{1, 2, 3, 4, 5}}>
        {{
            [cut] c = {cut}
            [layer] y = MatMul(c, w)
        }}
    """)
    works = [entry.work for entry in machine(None).get(BetweenLayers(), model)]
    (selected,) = [work for work in works if work.name == "cut"]
    assert (selected.in_elements, selected.out_elements) == (4, 4)
