"""Makes steps at random and runs them in numpy and in the native kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from passes.artifact import PackedWeight, Step, TensorInfo, WeightLayout
from passes.numerics import IntFormat, RequantRule, Rounding
from qtool.runtime.engine import BUILDERS
from qtool.runtime.native import instruction_sets, make_executor
from qtool.runtime.native.codes import restore, store
from qtool.runtime.node import Node

SHORT = 2.0**-6
"""Scales that are a few bits times this have an exact rule; others have none."""


@pytest.fixture(scope="session", params=instruction_sets() or [None])
def executor(request: pytest.FixtureRequest) -> Any:
    """Every instruction set of this machine, with two threads."""
    if request.param is None:
        pytest.skip("this installation has no extension module")
    return make_executor(request.param, threads=2)


def random_scale(rng: np.random.Generator, size: int | None = None) -> Any:
    """Scales of a few bits, half of the time, or of 24."""
    if rng.integers(2):
        return rng.integers(1, 16, size) * SHORT
    return np.float32(rng.uniform(0.01, 0.3, size))


def random_info(rng: np.random.Generator, name: str, rank: int, bits: int | None = 8) -> TensorInfo:
    """A tensor of unknown extents."""
    signed = bool(rng.integers(2))
    info = TensorInfo(name, (None,) * rank, bits, signed, float(random_scale(rng)), 0)
    if bits is None:
        return info
    zero = int(rng.integers(info.qmin, info.qmax + 1))
    return TensorInfo(name, (None,) * rank, bits, signed, info.scale, zero)


def random_codes(rng: np.random.Generator, info: TensorInfo, shape: tuple[int, ...]) -> Any:
    """Codes of a tensor, both ends of its range among them."""
    codes = rng.integers(info.qmin, info.qmax + 1, shape)
    flat = codes.reshape(-1)
    flat[: len(flat) // 4] = info.qmax
    flat[len(flat) // 4 : len(flat) // 3] = info.qmin
    return codes.astype(info.dtype)


def random_weight(
    rng: np.random.Generator, shape: tuple[int, ...], channels: int, bits: int, layout: WeightLayout
) -> PackedWeight:
    """A packed weight, with or without zero points, of one scale or of one for each channel."""
    fmt = IntFormat(bits, signed=bool(rng.integers(2)))
    size = channels if rng.integers(2) else 1
    zero = rng.integers(fmt.qmin, fmt.qmax + 1, size) if rng.integers(2) else np.zeros(size, np.int64)
    q = rng.integers(fmt.qmin, fmt.qmax + 1, shape)
    q.reshape(-1)[: q.size // 3] = rng.choice([fmt.qmin, fmt.qmax])
    scale = np.atleast_1d(random_scale(rng, size))
    return PackedWeight.pack(q, name="w", layout=layout, fmt=fmt, scale=scale, zero_point=zero)


def _node(
    rng: np.random.Generator,
    op: str,
    infos: list[TensorInfo],
    output: TensorInfo,
    rules: tuple[str, str],
    **parts: Any,
) -> Node:
    if not output.is_float and rng.integers(2):
        lo, hi = sorted(rng.integers(output.qmin, output.qmax + 1, 2).tolist())
        parts |= {"lo": lo, "hi": hi}
    step = Step(op, "step", tuple(info.name for info in infos), output.name, **parts)
    return Node(step, tuple(infos), output, Rounding(rules[1]), RequantRule(rules[0]))


@pytest.fixture(scope="session")
def make() -> Any:
    """The functions above, by name."""

    class Make:
        info = staticmethod(random_info)
        codes = staticmethod(random_codes)
        weight = staticmethod(random_weight)
        node = staticmethod(_node)

    return Make


@pytest.fixture(scope="session")
def agree() -> Callable[..., None]:
    """Check that a native kernel gives what the numpy one gives, bit for bit."""

    def check(node: Node, native: Callable[..., Any], arrays: list[Any], images: bool = False) -> None:
        expected = np.asarray(BUILDERS[node.step.op](node)(*arrays))
        stored = [store(array, info) for array, info in zip(arrays, node.inputs, strict=True)]
        if images:
            stored = [np.ascontiguousarray(np.moveaxis(array, 1, -1)) for array in stored]
        found = restore(native(*stored), node.output)
        if images:
            found = np.moveaxis(found, -1, 1)
        assert found.dtype == np.dtype(node.output.dtype)
        np.testing.assert_array_equal(found, expected)

    return check
