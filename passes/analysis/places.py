"""Places of single quantizers in a staged model: the weight of a layer, or a group of activations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from passes.execution.fake_quant import FakeQuantizer
from passes.execution.stages import Variant
from passes.ir.plan import Role, TensorQuant
from passes.ir.specs import act_spec, weight_spec
from passes.ir.weights import rounded_weight
from passes.numerics import IntFormat, dequantize, quantize

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from passes.execution.stages import Edit, StagedModel, Values
    from passes.ir.layers import Layer
    from passes.ir.setup import QuantizerSetup
    from passes.ir.tensor_groups import TensorGroup
    from passes.numerics import QuantParams, QuantSpec
    from passes.rounding.local import LocalRounding

    Rounded = Callable[[Layer, int], NDArray[np.float32]]
    Chosen = Callable[[TensorGroup, QuantSpec], QuantParams]
    Params = Callable[[Layer, QuantSpec], QuantParams]

PLANES = 8
"""Bits of the codes that lose planes."""


@dataclass(frozen=True)
class WeightPlace:
    """The weights of a layer.

    Attributes:
        name: of the layer.
        start: the point before its first reader.
        layer: the layer.
        after: the point at which its result is known.
        rounded: returns a weight at a number of bits.
        local: knows what the layer multiplies.
    """

    name: str
    start: int
    layer: Layer
    after: int
    rounded: Rounded
    local: LocalRounding

    def variant(self, bits: int) -> Variant:
        """Return the run with these weights at a number of bits, the mean of their error taken out."""
        values = {part.weight_name: self.rounded(part, bits) for part in self.layer.parts}
        error = self.local.mean_error(self.layer, values[self.layer.weight_name])
        return Variant({} if error is None else {self.after: self._less(error)}, values)

    def _less(self, error: NDArray[np.float32]) -> Edit:
        name, last = self.layer.output.name, self.layer.op == "Gemm"

        def change(values: Values) -> Values:
            if name not in values:
                return {}
            along = error if last else error.reshape(-1, *[1] * (values[name].ndim - 2))
            return {name: values[name] - along}

        return change


@dataclass(frozen=True)
class ActPlace:
    """A group of activations that share parameters.

    Attributes:
        name: of the group.
        start: the point at which its first tensor is known.
        sources: the tensors that are rounded, by the point at which they are known.
        edit: returns the change of some tensors to a number of bits.
    """

    name: str
    start: int
    sources: dict[int, tuple[str, ...]]
    edit: Callable[[tuple[str, ...], int], Edit]

    def variant(self, bits: int) -> Variant:
        """Return the run with this group at a number of bits."""
        return Variant({point: self.edit(names, bits) for point, names in self.sources.items()})


def weight_places(
    setup: QuantizerSetup, staged: StagedModel, rounded: Rounded, local: LocalRounding
) -> list[WeightPlace]:
    """Return the weights of all layers that have one.

    Args:
        setup: the quantizable part of the graph.
        staged: the float model.
        rounded: returns the weight of a layer at a number of bits.
        local: knows what layers multiply.
    """
    return [
        WeightPlace(
            layer.name,
            staged.reader(layer.weight_name),
            layer,
            staged.after(layer.output.name),
            rounded,
            local,
        )
        for layer in setup.layers
        if layer.weight is not None
    ]


def act_places(
    setup: QuantizerSetup, staged: StagedModel, chosen: Chosen, quantizer: FakeQuantizer
) -> list[ActPlace]:
    """Return the groups that layers read.

    Args:
        setup: the quantizable part of the graph.
        staged: the float model.
        chosen: returns the parameters of a group.
        quantizer: rounds.
    """
    places = []
    for group in setup.groups:
        if group.readers:
            points = {name: staged.after(name) for name in group.sources}
            sources = {
                point: tuple(name for name in group.sources if points[name] == point)
                for point in sorted(set(points.values()))
            }
            rounding = _Rounding(group, setup, chosen, quantizer)
            places.append(ActPlace(group.name, min(sources), sources, rounding.edit))
    return places


@dataclass(frozen=True)
class _Rounding:
    group: TensorGroup
    setup: QuantizerSetup
    chosen: Chosen
    quantizer: FakeQuantizer

    def edit(self, names: Sequence[str], bits: int) -> Edit:
        spec = act_spec(bits, self.setup)
        params = self.chosen(self.group, spec)

        def change(values: Values) -> Values:
            return {name: self.quantizer(values[name], spec, params) for name in names}

        return change


def by_data(setup: QuantizerSetup, params: Params, local: LocalRounding) -> Rounded:
    """Return the rounding that goes by what a layer multiplies, with scales chosen for each width."""

    def rounded(layer: Layer, bits: int) -> NDArray[np.float32]:
        spec = weight_spec(layer, bits, setup)
        return rounded_weight(
            layer, local.rounded(layer, TensorQuant(Role.WEIGHT, spec, params(layer, spec)))[0]
        )

    return rounded


def fewer_planes(setup: QuantizerSetup, params: Params) -> Rounded:
    """Return the rounding that drops the lowest bit planes of 8-bit codes, in sign and magnitude."""

    def rounded(layer: Layer, bits: int) -> NDArray[np.float32]:
        spec = weight_spec(layer, PLANES, setup)
        chosen = params(layer, spec)
        codes = quantize(layer.weight_values(), spec, chosen)
        return dequantize(without_planes(codes, max(PLANES - bits, 0)), spec, chosen)

    return rounded


def without_planes(codes: NDArray[Any], planes: int) -> NDArray[np.int32]:
    """Clear the lowest `planes` bits of the magnitude of signed codes."""
    wide = codes.astype(np.int32)
    return np.asarray(np.sign(wide) * ((np.abs(wide) >> planes) << planes), dtype=np.int32)


def empty_planes(values: NDArray[np.float32], axis: int) -> float:
    """Return how many of the highest planes are empty in a channel, on average.

    Args:
        values: a weight; its codes have 8 bits, and one scale for all channels.
        axis: of the output channels.
    """
    limit = IntFormat(PLANES, signed=True).qmax
    largest = np.abs(values).max(initial=0.0) or 1.0
    codes = np.rint(np.abs(values).astype(np.float64) / largest * limit).astype(np.int64)
    peaks = codes.max(axis=tuple(at for at in range(codes.ndim) if at != axis))
    used = np.ceil(np.log2(peaks + 1.0))
    return float((PLANES - 1 - used).mean())
