"""The networks of the zoo: weights under PyTorch's names, and the shape of one input, channels first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Shape = tuple[int, ...]
BATCHNORM = ("weight", "bias", "running_mean", "running_var")


@dataclass(frozen=True)
class Network:
    """One network, whatever its export looks like.

    Attributes:
        name: what it is called in every style.
        shape: of one input, channels first.
        weights: by PyTorch's names, in PyTorch's layouts.
    """

    name: str
    shape: Shape
    weights: Mapping[str, Floats]

    def inputs(self, samples: int) -> Floats:
        """Return random inputs, of shape (samples, ...)."""
        return np.random.default_rng(7).normal(size=(samples, *self.shape)).astype(np.float32)


def _conv(name: str, out: int, fan: int, kernel: int, *, bias: bool = True) -> dict[str, Shape]:
    shapes: dict[str, Shape] = {f"{name}.weight": (out, fan, kernel, kernel)}
    return shapes | ({f"{name}.bias": (out,)} if bias else {})


def _linear(name: str, out: int, fan: int) -> dict[str, Shape]:
    return {f"{name}.weight": (out, fan), f"{name}.bias": (out,)}


def _norm(name: str, channels: int, fields: tuple[str, ...] = BATCHNORM) -> dict[str, Shape]:
    return {f"{name}.{field}": (channels,) for field in fields}


def _recurrent(gates: int, hidden: int, fan: int, suffixes: tuple[str, ...]) -> dict[str, Shape]:
    rows = gates * hidden
    kinds: dict[str, Shape] = {
        "weight_ih": (rows, fan), "weight_hh": (rows, hidden), "bias_ih": (rows,), "bias_hh": (rows,)
    }  # fmt: skip
    return {f"cell.{kind}_{suffix}": shape for suffix in suffixes for kind, shape in kinds.items()}


SHAPES: dict[str, tuple[Shape, dict[str, Shape]]] = {
    "cnn": (
        (3, 12, 12),
        _conv("stem", 8, 3, 3, bias=False) | _norm("stem_norm", 8)
        | _conv("depthwise", 8, 1, 3, bias=False) | _norm("depthwise_norm", 8)
        | _conv("pointwise", 12, 8, 1) | _linear("head", 5, 12),
    ),
    "residual": (
        (3, 12, 12),
        _conv("stem", 8, 3, 3) | _conv("first", 8, 8, 3) | _conv("second", 8, 8, 3)
        | _conv("shortcut", 8, 8, 1) | _linear("head", 5, 8 * 3 * 3),
    ),
    "transformer": (
        (6, 16),
        _norm("before", 16, ("weight", "bias")) | _linear("query", 16, 16) | _linear("key", 16, 16)
        | _linear("value", 16, 16) | _linear("output", 16, 16) | _norm("between", 16, ("weight", "bias"))
        | _linear("up", 32, 16) | _linear("down", 16, 32) | _linear("head", 5, 16),
    ),
    "lstm": ((7, 6), _recurrent(4, 8, 6, ("l0",)) | _linear("head", 4, 8)),
    "gru": ((7, 6), _recurrent(3, 8, 6, ("l0", "l0_reverse")) | _linear("head", 4, 16)),
    "gated": (
        (3, 8, 8),
        _conv("first", 8, 3, 3) | _conv("second", 8, 8, 3) | _conv("squeeze", 4, 8, 1)
        | _conv("excite", 8, 4, 1) | _linear("head", 5, 8),
    ),
}  # fmt: skip
"""Shape of one input, and the weights, of each network."""


def _weight(name: str, shape: Shape, rng: np.random.Generator) -> Floats:
    """Return values that keep activations near one: variances and gains are positive."""
    if name.endswith(("norm.weight", "running_var", "before.weight", "between.weight")):
        return rng.uniform(0.5, 1.5, shape).astype(np.float32)
    fan = int(np.prod(shape[1:])) if len(shape) > 1 else 25
    return (rng.normal(size=shape) / np.sqrt(fan)).astype(np.float32)


def network(name: str) -> Network:
    """Return a network with its weights, the same in every process."""
    shape, shapes = SHAPES[name]
    rng = np.random.default_rng(sorted(SHAPES).index(name))
    return Network(name, shape, {key: _weight(key, value, rng) for key, value in shapes.items()})
