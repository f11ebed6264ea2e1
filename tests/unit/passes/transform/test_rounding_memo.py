"""Codes found under one plan are used by others that give a layer the same integers to choose from."""

from __future__ import annotations

import numpy as np

from passes.ir.model import Model
from passes.ir.plan import QuantPlan, Role, TensorQuant
from passes.ir.setup import quantizer_setup
from passes.numerics import IntFormat, PerChannel, PerTensor, QuantParams, QuantSpec
from passes.transform.rounding_memo import RoundingMemo

WEIGHT = TensorQuant(
    Role.WEIGHT,
    QuantSpec(IntFormat(4, signed=True), PerChannel(1), symmetric=True),
    QuantParams(np.ones(2, np.float32), np.zeros(2, np.int32)),
)
ACT = TensorQuant(
    Role.ACT,
    QuantSpec(IntFormat(8, signed=False), PerTensor(), symmetric=False),
    QuantParams(np.float32(0.5), np.int32(0)),
)
ROUNDED = WEIGHT.with_codes(WEIGHT.params, np.array([[1, 2], [3, 4]], np.int16))


def plan_of(weight: TensorQuant, act: TensorQuant) -> QuantPlan:
    return QuantPlan(tensors={"w1": weight, "x": act})


def test_known_codes_and_biases_come_back(model: Model) -> None:
    memo, setup = RoundingMemo(), quantizer_setup(model.graph)
    memo.keep(setup.layers[0], WEIGHT, (ROUNDED, (0.25, 0.75)))
    found = memo.recall(plan_of(WEIGHT, ACT), setup)
    assert found.tensors["w1"] == ROUNDED
    assert found.biases == {"first": (0.25, 0.75)}


def test_other_scales_are_another_question(model: Model) -> None:
    memo, setup = RoundingMemo(), quantizer_setup(model.graph)
    memo.keep(setup.layers[0], WEIGHT, (ROUNDED, None))
    plan = plan_of(WEIGHT.with_params(QuantParams(np.full(2, 2, np.float32), np.zeros(2, np.int32))), ACT)
    assert memo.recall(plan, setup) == plan


def test_layers_in_floating_point_have_theirs_too(model: Model) -> None:
    memo, setup = RoundingMemo(), quantizer_setup(model.graph)
    memo.keep(setup.layers[0], WEIGHT, (ROUNDED, None))
    assert memo.recall(plan_of(WEIGHT, ACT), setup.fit({"first"})).tensors["w1"] == ROUNDED
