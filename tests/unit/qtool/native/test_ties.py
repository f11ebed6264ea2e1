"""Ties, whole numbers and their neighbours in the exact rule, by every instruction set and rounding."""

from __future__ import annotations

import numpy as np
import pytest

from passes.artifact import Step, TensorInfo
from passes.numerics import RequantRule, Rounding
from qtool.runtime.native import elementwise
from qtool.runtime.native.proof import snap_is_exact
from qtool.runtime.node import Node

CODES = np.arange(256)
SNAPPED = [
    ("add", (1.0, 1.0, 98.0)),
    ("sub", (9.0, 21.0, 22.0)),
    ("mul", (1.0, 1.0, 98.0)),
    ("mul", (5.0, 1.0, 58.0)),
    ("mul", (2.0**15 + 1, 2.0**15 - 1, 2.0**31)),
]
DIVIDED = [
    ("add", (2.0**23 + 1, 2.0**-18, 2.0**24)),
    ("sub", (2.0**23 + 1, 2.0**-18, 2.0**24)),
    ("mul", (2.0**17 - 1, 2.0**16 + 1, 2.0**43)),
]
"""Operators with the scales of both operands and of the result."""


def every_pair(executor, agree, op, scales, rounding):
    infos = [
        TensorInfo(name, (None, None), 8, False, scale, zero)
        for name, scale, zero in zip("aby", scales, (100, 128, 90), strict=True)
    ]
    node = Node(Step(op, "step", ("a", "b"), "y"), tuple(infos[:2]), infos[2], rounding, RequantRule.EXACT)
    pairs = np.meshgrid(CODES, CODES, indexing="ij")
    agree(node, elementwise.KERNELS[op](node, executor), [np.ascontiguousarray(it, np.uint8) for it in pairs])


@pytest.mark.parametrize("rounding", Rounding)
@pytest.mark.parametrize(("op", "scales"), SNAPPED)
def test_a_snapped_product_is_the_fraction(executor, agree, op, scales, rounding):
    every_pair(executor, agree, op, scales, rounding)


@pytest.mark.parametrize("rounding", Rounding)
@pytest.mark.parametrize(("op", "scales"), DIVIDED)
def test_a_quotient_finer_than_the_grid_is_the_fraction(executor, agree, op, scales, rounding):
    every_pair(executor, agree, op, scales, rounding)


def test_the_examples_need_what_they_test():
    sums = np.arange(-(2**15), 2**15)
    for divisor, scale in ((98.0, 1.0), (22.0, 3.0), (58.0, 5.0)):
        assert snap_is_exact(np.array([scale]), np.array([divisor]))
        assert (np.rint(sums * (scale / divisor)) != np.rint(sums * scale / divisor)).any()
    for scale, divisor in ((2.0**-18, 2.0**24), ((2.0**17 - 1) * (2.0**16 + 1), 2.0**43)):
        assert not snap_is_exact(np.array([scale]), np.array([divisor]))
    # Just below ties that float32 cannot tell from it.
    assert np.float32((2.0**30 - 1) / 2.0**31) == 0.5
