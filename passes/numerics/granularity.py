"""Granularity: which elements of a tensor share one scale and one zero point.

All three classes offer the same four methods, so that callers never ask which one they hold:
``param_shape``, ``expand``, ``blocks`` and ``__str__``.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from passes.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

Shape: TypeAlias = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PerTensor:
    """One scale for the whole tensor (ONNX QuantizeLinear-13, per-tensor)."""

    def param_shape(self, shape: Shape) -> Shape:
        """Return the shape of scale and zero point for a tensor of ``shape``: always ``()``."""
        del shape
        return ()

    def expand(self, params: NDArray[Any], shape: Shape) -> NDArray[Any]:
        """Return ``params`` of shape ``()`` ready to broadcast against a tensor of ``shape``."""
        return _checked(params, self.param_shape(shape), self)

    def blocks(self, x: NDArray[Any]) -> NDArray[Any]:
        """View ``x`` as ``(1, elements)``."""
        return x.reshape(1, -1)

    def __str__(self) -> str:
        """Spell the granularity as `parse_granularity` reads it."""
        return "per_tensor"


@dataclass(frozen=True, slots=True)
class PerChannel:
    """One scale for each index along ``axis`` (ONNX QuantizeLinear-13, per-axis)."""

    axis: int

    def param_shape(self, shape: Shape) -> Shape:
        """Return ``(channels,)``.

        Raises:
            UsageError: the tensor has no such axis.
        """
        return (shape[_axis(self.axis, shape)],)

    def expand(self, params: NDArray[Any], shape: Shape) -> NDArray[Any]:
        """Reshape ``params`` of shape ``(channels,)`` to broadcast against a tensor of ``shape``."""
        params = _checked(params, self.param_shape(shape), self)
        target = [1] * len(shape)
        target[_axis(self.axis, shape)] = -1
        return params.reshape(target)

    def blocks(self, x: NDArray[Any]) -> NDArray[Any]:
        """View ``x`` as ``(channels, elements)``; copies unless ``axis`` is the first."""
        axis = _axis(self.axis, x.shape)
        rest = prod(x.shape) // max(x.shape[axis], 1)
        return np.moveaxis(x, axis, 0).reshape(x.shape[axis], rest)

    def __str__(self) -> str:
        """Spell the granularity as `parse_granularity` reads it."""
        return f"per_channel:{self.axis}"


@dataclass(frozen=True, slots=True)
class PerGroup:
    """One scale for each run of ``size`` elements along ``axis`` (ONNX QuantizeLinear-21, blocked).

    All other axes keep one scale per index, as in ONNX. The last group is shorter when ``size`` does not
    divide the axis.

    Raises:
        UsageError: ``size`` is below 1.
    """

    axis: int
    size: int

    def __post_init__(self) -> None:
        """Refuse empty groups."""
        if self.size < 1:
            raise UsageError(f"PerGroup: size must be at least 1, found {self.size}")

    def param_shape(self, shape: Shape) -> Shape:
        """Return ``shape`` with the length of ``axis`` replaced by the number of groups.

        Raises:
            UsageError: the tensor has no such axis.
        """
        axis = _axis(self.axis, shape)
        return (*shape[:axis], -(-shape[axis] // self.size), *shape[axis + 1 :])

    def expand(self, params: NDArray[Any], shape: Shape) -> NDArray[Any]:
        """Repeat ``params`` of shape ``param_shape(shape)`` along ``axis`` to the full ``shape``."""
        params = _checked(params, self.param_shape(shape), self)
        axis = _axis(self.axis, shape)
        index = np.arange(shape[axis]) // self.size
        return np.take(params, index, axis=axis)

    def blocks(self, x: NDArray[Any]) -> NDArray[Any]:
        """Arrange ``x`` as ``(groups, size)``, groups in the C order of ``param_shape``.

        A shorter last group is filled up with zeros: every quantizer here holds zero exactly, so they add
        neither range nor error.
        """
        axis = _axis(self.axis, x.shape)
        groups = -(-x.shape[axis] // self.size)
        padding = [(0, 0)] * x.ndim
        padding[axis] = (0, groups * self.size - x.shape[axis])
        padded = np.pad(x, padding)
        split = padded.reshape(*x.shape[:axis], groups, self.size, *x.shape[axis + 1 :])
        return np.moveaxis(split, axis + 1, -1).reshape(-1, self.size)

    def __str__(self) -> str:
        """Spell the granularity as `parse_granularity` reads it."""
        return f"per_group:{self.axis}:{self.size}"


Granularity: TypeAlias = PerTensor | PerChannel | PerGroup
"""Any of the three."""


def parse_granularity(text: str) -> Granularity:
    """Read ``per_tensor``, ``per_channel:AXIS`` or ``per_group:AXIS:SIZE``.

    Raises:
        UsageError: the text is none of these.
    """
    kind, *numbers = text.split(":")
    kinds: dict[tuple[str, int], Callable[..., Granularity]] = {
        ("per_tensor", 0): PerTensor,
        ("per_channel", 1): PerChannel,
        ("per_group", 2): PerGroup,
    }
    make = kinds.get((kind, len(numbers)))
    if make is None or not all(number.lstrip("-").isdecimal() for number in numbers):
        raise UsageError(
            f"granularity {text!r} is unknown; expected per_tensor, per_channel:AXIS or per_group:AXIS:SIZE"
        )
    return make(*map(int, numbers))


def _axis(axis: int, shape: Shape) -> int:
    """Return ``axis`` counted from the front."""
    if not -len(shape) <= axis < len(shape):
        raise UsageError(f"granularity: axis {axis} does not exist in a tensor of shape {shape}")
    return axis % len(shape)


def _checked(params: NDArray[Any], shape: Shape, owner: object) -> NDArray[Any]:
    """Return ``params`` if they have ``shape``; a single value stands for any shape of one element."""
    if params.shape != shape and not (params.size == 1 == prod(shape)):
        raise UsageError(f"{owner}: scale and zero point must have shape {shape}, found {params.shape}")
    return params.reshape(shape)
