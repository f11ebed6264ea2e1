"""Scale, integers and bias of one layer, from the moments of its input."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from passes.ir.layers import matrix_weight, weight_matrix
from passes.numerics import PerChannel, PerTensor, QuantParams, short_scale
from passes.numerics.gptq import Grid, Rounder, damped, descend, loss
from passes.numerics.qparams import MIN_SCALE
from passes.numerics.scales import shorter_scale
from passes.rounding.last_points import LastPoints

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from passes.execution.moments import Moments
    from passes.ir.layers import Layer
    from passes.ir.plan import TensorQuant
    from passes.numerics.gptq import Matrix


LARGEST_GAIN = 2.0
"""Of a row; more is asked for only where next to nothing of the signal is left."""


@dataclass(frozen=True, slots=True)
class RoundingOptions:
    """What `passes.transform.gptq.Gptq` says of its fields of the same names."""

    damping: float
    act_order: bool
    sweeps: int
    asymmetric: float
    deviation: float
    scales: int


@dataclass(frozen=True, slots=True)
class Curvature:
    """What rounding makes of the moments alone, and so the same for every width of a layer.

    Attributes:
        share: of the diagonal in the damped moments.
        hessian: damped second moments, (groups, depth, depth).
        rounder: with the factor of them.
    """

    share: float
    hessian: Matrix
    rounder: Rounder

    @classmethod
    def of(cls, layer: Layer, moments: Moments, options: RoundingOptions) -> Curvature:
        """Damp and factor the moments of a layer's input."""
        own, _, _ = moments.products(centred=layer.takes_bias)
        depth = own.shape[1]
        share = min(options.damping + depth / (depth + moments.count), 1.0)
        hessian = damped(own, share)
        return cls(share, hessian, Rounder(hessian, act_order=options.act_order))

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""
        return self.hessian.nbytes + self.rounder.nbytes


@dataclass(frozen=True, slots=True)
class RoundingTask:
    """One layer to round.

    Attributes:
        layer: with constant weights; of a recurrent one, the part whose weight is rounded.
        quant: specification and parameters of its weight.
        least: scales are not chosen below this, shape of the parameters.
        moments: of what the weight multiplies; one group for each of the weight, or for each block of rows of
            a weight without groups.
        fixed: points that are not rounded, added up, in the shape of `weight_matrix`; ``None`` for none.
        still: channels whose scale stays, bool (channels,); ``None``: none.
        curvature: of the moments, where it is known from another width; ``None``: to be computed.
    """

    layer: Layer
    quant: TensorQuant
    least: NDArray[np.float64]
    moments: Moments
    fixed: Matrix | None = None
    still: NDArray[np.bool_] | None = None
    curvature: Curvature | None = None

    def matrix(self, values: NDArray[Any]) -> NDArray[Any]:
        """Arrange a weight as `weight_matrix` does, its rows by the groups of the moments."""
        found = weight_matrix(self.layer, values)
        return found.reshape(self.moments.groups, -1, found.shape[2])


def round_layer(
    task: RoundingTask, options: RoundingOptions
) -> tuple[TensorQuant, NDArray[np.float32] | None]:
    """Return the weight with its codes, and the bias where the layer has a place for one, shape (channels,).

    The bias takes up the mean error, so that deviations from the means are all that rounding goes by. A layer
    without one is rounded by deviations from zero. Of a weight with points, the last are rounded.
    """
    points = LastPoints.of(task.layer, task.quant)
    if points is None:
        return _rounded(task, options)
    alone = replace(task, quant=points.alone(), fixed=points.fixed(), still=points.several)
    quant, bias = _rounded(alone, options)
    return points.merged(quant), bias


def _rounded(task: RoundingTask, options: RoundingOptions) -> tuple[TensorQuant, NDArray[np.float32] | None]:
    layer, moments = task.layer, task.moments
    curvature = task.curvature or Curvature.of(layer, moments, options)
    weight = task.matrix(layer.weight_values()).astype(np.float64)
    fixed = 0.0 if task.fixed is None else task.fixed
    target = _target(task, weight, curvature, options)
    search = _Search(task, target - fixed, curvature, options)
    quant, last = search.rounded()
    values = fixed + last
    if not layer.takes_bias:
        return quant, None
    seen, reference = moments.means()
    rest = np.einsum("gnd,gd->gn", weight, reference) - np.einsum("gnd,gd->gn", values, seen)
    old = 0.0 if layer.bias is None else np.asarray(layer.bias.values, dtype=np.float64)
    return quant, (old + rest.reshape(-1)).astype(np.float32)


def _target(task: RoundingTask, weight: Matrix, curvature: Curvature, options: RoundingOptions) -> Matrix:
    """Return what is rounded: the weight, moved by what the inputs differ from those of the float network."""
    if not (options.asymmetric or options.deviation):
        return weight
    own, cross, aim = task.moments.products(centred=task.layer.takes_bias)
    # The least squares answer to inputs that differ. Over (1 - share), the damped moments are the true ones
    # with a ridge; without that factor the answer would overshoot.
    shift = np.linalg.solve(curvature.hessian, (cross - own) @ weight.transpose(0, 2, 1))
    target = weight + options.asymmetric * (shift * (1 - curvature.share)).transpose(0, 2, 1)
    target *= _gain(_power(weight, aim), _power(target, own))[..., None] ** options.deviation
    return np.asarray(target)


def _power(rows: Matrix, moments: Matrix) -> Matrix:
    """Return the second moment of what rows make of vectors with these moments, (groups, rows)."""
    return np.asarray(((rows @ moments) * rows).sum(axis=2))


def _gain(wanted: Matrix, found: Matrix) -> Matrix:
    """Return the factor of each row that gives its results the deviation that they have in the float network.

    Noise in the input makes least squares shrink the rows, and clipped activations vary less; what one layer
    loses, all later ones lose again.
    """
    known = (wanted > 0) & (found > 0)
    ratio = np.divide(wanted, found, out=np.ones_like(found), where=known)
    return np.asarray(np.sqrt(np.clip(ratio, LARGEST_GAIN**-2, LARGEST_GAIN**2)))


class _Search:
    """The choice among scales: GPTQ with each, and for every row the scale that ends best."""

    def __init__(
        self, task: RoundingTask, target: Matrix, curvature: Curvature, options: RoundingOptions
    ) -> None:
        self._task, self._target, self._options = task, target, options
        self._hessian, self._rounder = curvature.hessian, curvature.rounder

    def rounded(self) -> tuple[TensorQuant, Matrix]:
        """Return the weight with its codes, and their values as a matrix."""
        tried = self._scales()
        grids = [self._grid(scale) for scale in tried]
        codes = [self._rounder.codes(self._target, grid) for grid in grids]
        losses = [loss(self._target, self._hessian, *pair) for pair in zip(grids, codes, strict=True)]
        best = self._best(np.stack(losses))
        start = np.take_along_axis(np.stack(codes), best[None, :, :, None], 0)[0]
        shape = tried[0].shape
        picked = best.reshape(-1) if len(tried) > 1 else np.zeros(1, np.intp)
        flat = np.stack([scale.reshape(-1) for scale in tried])
        scale = np.take_along_axis(flat, np.resize(picked, flat.shape[1])[None], 0)[0].reshape(shape)
        grid = self._grid(scale)
        found = descend(self._target, self._hessian, grid, start, self._options.sweeps)
        codes_of = matrix_weight(self._task.layer, found)
        params = QuantParams(scale, np.zeros(shape, np.int32))
        return self._task.quant.with_codes(params, codes_of.astype(np.int16)), found * grid.scale

    def _best(self, losses: Matrix) -> NDArray[np.intp]:
        """Return the number of the best scale for each row, (groups, rows); rows may have to share it."""
        if isinstance(self._task.quant.spec.granularity, PerTensor):
            return np.full(losses.shape[1:], losses.sum(axis=(1, 2)).argmin())
        if self._task.layer.op == "ConvTranspose":
            # Its weight has one axis for the outputs of every group.
            shared = losses.sum(axis=1, keepdims=True).argmin(axis=0)
            return np.broadcast_to(shared, losses.shape[1:])
        return np.asarray(losses.argmin(axis=0))

    def _scales(self) -> list[NDArray[np.float32]]:
        """Return the scales to try, the present one in their middle; only that where rows have several."""
        quant = self._task.quant
        start = np.ascontiguousarray(quant.params.scale)  # type: ignore[union-attr]
        if not isinstance(quant.spec.granularity, PerChannel | PerTensor):
            return [start]
        places = quant.spec.scale_places
        floor = short_scale(np.maximum(self._task.least, MIN_SCALE), up=True, places=places)
        middle = self._options.scales // 2
        steps = range(-middle, self._options.scales - middle)
        tried = [np.maximum(shorter_scale(start, step * places), floor) for step in steps]
        still = self._task.still
        return tried if still is None else [np.where(still, start, scale) for scale in tried]

    def _grid(self, scale: NDArray[np.float32]) -> Grid:
        layer, spec = self._task.layer, self._task.quant.spec
        shape = layer.weight_values().shape
        expanded = np.broadcast_to(spec.granularity.expand(scale, shape), shape)
        limits, levels = (spec.format.qmin, spec.format.qmax), self._task.quant.levels
        return Grid(self._task.matrix(expanded.astype(np.float64)), *limits, levels)
