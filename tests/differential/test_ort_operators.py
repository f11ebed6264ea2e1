"""The float rule computes the codes of ONNX Runtime's own quantized operators, on random programs."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

CASES = 12
EXACT = [
    "QLinearConv, u8 x u8",
    "QLinearConv, u8 x s8 of 7 bits",
    "QLinearConv, s8 x s8 of 7 bits",
    "QLinearMatMul, u8 x u8",
    "QLinearMatMul, u8 x s8 of 7 bits",
    "QLinearMatMul, s8 x s8 of 7 bits",
    "QLinearMatMul, two activations",
    "ConvInteger, u8 x u8",
    "MatMulInteger, u8 x u8",
    "MatMulInteger, u8 x s8 of 7 bits",
    "QuantizeLinear, u8",
    "QuantizeLinear, s8",
    "DequantizeLinear, u8",
    "DequantizeLinear, s8",
    "QLinearConcat, u8",
    "QLinearGlobalAveragePool, u8",
    "QLinearLeakyRelu, u8",
    "QLinearSigmoid, u8",
]
NEARLY = [
    "QLinearAdd, u8",
    "QLinearAdd, s8",
    "QLinearMul, u8",
    "QLinearAveragePool, u8",
]


@pytest.fixture(scope="module")
def cases(repository: Path) -> Iterator[ModuleType]:
    """The generator that benchmarks/rounding.py measures with."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(repository / "benchmarks"))
        yield importlib.import_module("ort_cases")


def test_every_operator_is_tested(cases: ModuleType) -> None:
    assert (list(cases.EXACT), list(cases.OTHERWISE)) == (EXACT, NEARLY)


@pytest.mark.parametrize("scales", ["any", "powers of two"])
@pytest.mark.parametrize("name", EXACT)
def test_equal_to_the_last_bit(cases: ModuleType, name: str, scales: str) -> None:
    draw = cases.EXACT[name]
    for seed in range(CASES):
        theirs, ours = draw(np.random.default_rng(seed), tied=scales != "any").both()
        np.testing.assert_array_equal(ours, theirs, err_msg=f"seed {seed}")


@pytest.mark.parametrize("name", NEARLY)
def test_at_most_one_step_apart_where_onnx_runtime_rounds_in_its_own_order(
    cases: ModuleType, name: str
) -> None:
    draw = cases.OTHERWISE[name]
    apart = np.concatenate([draw(np.random.default_rng(seed)).steps_apart().ravel() for seed in range(CASES)])
    assert apart.max() <= 1
    assert (apart > 0).mean() < 1e-3
