"""Clips of activations and of weights, chosen by what layers compute on calibration data.

A scale decides where values are clipped and how finely the others are rounded. Which loss matters depends on
what the layer behind does with the values: here the error of its results, ``|W' x' - W x|^2`` with rounded
weights and activations, is measured for every scale of a grid, and the two take turns.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from passes.ir.layers import weight_matrix
from passes.ir.weights import rounded_weight
from passes.numerics import PerChannel, PerTensor, QuantParams, fake_quantize, short_scale
from passes.numerics.qparams import MIN_SCALE
from passes.numerics.scales import shorter_scale

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import onnx_graphsurgeon as gs
    from numpy.typing import NDArray

    from passes.ir.layers import Layer
    from passes.ir.plan import TensorQuant
    from passes.ir.setup import QuantizerSetup
    from passes.ir.tensor_groups import TensorGroup
    from passes.numerics import QuantSpec

    Values = NDArray[np.float32]

VECTORS = 512
"""Vectors of each layer that errors are measured on."""
REACH = 8
"""Scales to try are up to an octave above and below the present one."""
CONSTANT = 1e-5
"""Variance over mean square of results that count as constant."""
SEARCHED_BITS = 8
"""Wider weights are not clipped."""


class Clip(StrEnum):
    """Whose scales are searched; ``auto`` searches both unless another estimator was asked for."""

    AUTO = "auto"
    NONE = "none"
    ACTS = "acts"
    WEIGHTS = "weights"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class _Site:
    """A layer with inputs and results, float.

    Attributes:
        x: shape (groups, vectors, depth).
        aim: results, shape (groups, vectors, rows).
        centred: whether errors count around their means: where a bias can take those up, unless the results
            are constant.
        power: of the results, centred likewise.
    """

    layer: Layer
    x: Values
    aim: Values
    centred: bool
    power: float

    @classmethod
    def of(cls, layer: Layer, patches: Values) -> _Site:
        """Take evenly spaced vectors from patches (samples, positions, groups, depth)."""
        rows = patches.reshape(-1, *patches.shape[2:])
        rows = rows[:: max(len(rows) // VECTORS, 1)][:VECTORS]
        x = np.ascontiguousarray(rows.transpose(1, 0, 2))
        aim = x @ weight_matrix(layer, layer.weight_values()).transpose(0, 2, 1)
        spread, squares = (float(_errors(aim, centred=it).sum()) for it in (True, False))
        centred = layer.op != "MatMul" and spread > CONSTANT * squares
        return cls(layer, x, aim, centred, spread if centred else squares)

    def losses(self, x: Values, weight: Values) -> NDArray[np.float64]:
        """Return the error of each row relative to the power of all, shape (groups, rows)."""
        error = x @ weight_matrix(self.layer, weight).transpose(0, 2, 1) - self.aim
        return _errors(error, centred=self.centred) / max(self.power, 1e-30)


def _errors(values: Values, *, centred: bool) -> NDArray[np.float64]:
    """Return mean squares over the vectors."""
    means = values.mean(axis=1, keepdims=True, dtype=np.float64) if centred else 0.0
    return np.asarray(np.square(values - means, dtype=np.float64).mean(axis=1))


class ClipSearch:
    """Scales of a plan on their way.

    Attributes:
        tensors: the quantization of every tensor, changed by `search`.
    """

    def __init__(
        self,
        graph: gs.Graph,
        setup: QuantizerSetup,
        tensors: Mapping[str, TensorQuant],
        patches: Mapping[str, Values],
        least: Callable[[Layer, TensorQuant, TensorQuant], NDArray[np.float64]],
    ) -> None:
        """Compute what the layers give in float.

        Args:
            graph: of the model.
            setup: the quantizable part of it.
            tensors: with parameters.
            patches: inputs of the layers to search, by layer name, (samples, positions, groups, depth).
            least: returns the least scales of a weight, from its layer, its own quantization and its input's.
        """
        self.tensors = dict(tensors)
        self._groups, self._least = setup.groups, least
        usable = [layer for layer in setup.layers if layer.name in patches]
        self._sites = {layer.name: _Site.of(layer, patches[layer.name]) for layer in usable}
        self._shared = {group.name for group in setup.groups if self._read_otherwise(group, graph, setup)}

    def search(self, clip: Clip, rounds: int) -> None:
        """Take turns: activations given the weights, weights given the activations."""
        for _ in range(rounds):
            if clip in (Clip.ACTS, Clip.BOTH):
                self._acts(rounded=clip is Clip.BOTH)
            if clip in (Clip.WEIGHTS, Clip.BOTH):
                self._weights(rounded=clip is Clip.BOTH)

    def _acts(self, *, rounded: bool) -> None:
        for group in self._groups:
            sites = [self._sites[name] for name in group.readers if name in self._sites]
            if group.is_output or not sites:
                continue
            params = self._best_act(group, sites, rounded=rounded)
            self.tensors |= {name: self.tensors[name].with_params(params) for name in group.members}

    def _best_act(self, group: TensorGroup, sites: list[_Site], *, rounded: bool) -> QuantParams:
        quant = self.tensors[group.name]
        weights = [self._weight(site.layer, rounded=rounded) for site in sites]

        def loss(params: QuantParams) -> float:
            total = 0.0
            for site, weight in zip(sites, weights, strict=True):
                x = fake_quantize(site.x, quant.spec, params)
                total += float(site.losses(x, weight).sum())
                # Sums, say, see the error as it is.
                if group.name in self._shared:
                    total += float(np.square(x - site.x).mean() / max(site.x.var(), 1e-30))
            return total

        tried = list(_act_candidates(quant.spec, quant.params))  # type: ignore[arg-type]
        return min(tried, key=loss)

    def _read_otherwise(self, group: TensorGroup, graph: gs.Graph, setup: QuantizerSetup) -> bool:
        """Whether anything computes with the members but layers of which results are known."""
        tensors = graph.tensors()
        readers = [
            node for name in group.members for node in tensors[name].outputs if node.name in setup.nodes
        ]
        computing = [node for node in readers if node.outputs[0].name not in group.members]
        return any(node.name not in self._sites for node in computing)

    def _weights(self, *, rounded: bool) -> None:
        for site in self._sites.values():
            layer = site.layer
            quant, act = self.tensors[layer.weight.name], self.tensors[layer.act.name]  # type: ignore[union-attr]
            kept = quant.codes is not None or quant.levels is not None
            searched = quant.spec.format.bits <= SEARCHED_BITS and not kept
            if not searched or not isinstance(quant.spec.granularity, PerChannel | PerTensor):
                continue
            x = fake_quantize(site.x, act.spec, act.params) if rounded else site.x  # type: ignore[arg-type]
            params = _best_weight(site, x, quant, self._least(layer, quant, act))
            self.tensors[layer.weight.name] = quant.with_params(params)  # type: ignore[union-attr]

    def _weight(self, layer: Layer, *, rounded: bool) -> Values:
        quant = self.tensors[layer.weight.name]  # type: ignore[union-attr]
        return rounded_weight(layer, quant) if rounded else layer.weight_values()


def _best_weight(site: _Site, x: Values, quant: TensorQuant, least: NDArray[np.float64]) -> QuantParams:
    start = np.asarray(quant.params.scale)  # type: ignore[union-attr]
    places, values = quant.spec.scale_places, site.layer.weight_values()
    floor = short_scale(np.maximum(least, MIN_SCALE), up=True, places=places)
    zero = np.zeros(start.shape, np.int32)
    tried = [np.maximum(shorter_scale(start, step), floor) for step in _steps(places)]
    losses = np.stack(
        [
            site.losses(x, fake_quantize(values, quant.spec, QuantParams(scale, zero))).reshape(-1)
            for scale in tried
        ]
    )
    if start.size == 1:
        return QuantParams(tried[int(losses.sum(axis=1).argmin())], zero)
    best = losses.argmin(axis=0)
    return QuantParams(np.take_along_axis(np.stack(tried), best[None], 0)[0], zero)


def _act_candidates(spec: QuantSpec, params: QuantParams) -> Iterator[QuantParams]:
    """Yield the present parameters, and then those around them."""
    scale, zero = np.asarray(params.scale), params.zero_point
    for step in _steps(spec.scale_places):
        other = np.asarray(np.maximum(shorter_scale(scale, step), np.float32(MIN_SCALE)))
        yield QuantParams(other, zero)
    if not spec.symmetric and spec.format.qmin < int(zero) < spec.format.qmax:
        yield from (QuantParams(scale, zero + shift) for shift in (-1, 1))


def _steps(places: int) -> list[int]:
    """Return the distances to try, the nearest first: it wins where all are as good."""
    return sorted(range(-REACH, REACH + 1, places), key=abs)
