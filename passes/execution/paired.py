"""`PairedMoments`: what layers multiply in the quantized network and, beside it, in the float network."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from passes.errors import ModelError
from passes.execution.columns import choose_positions, columns
from passes.execution.moments import Moments
from passes.ir.layers import weight_matrix

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from passes.execution.segments import Segments
    from passes.execution.states import States
    from passes.ir.layers import Layer
    from passes.ir.plan import TensorQuant

    Pair = tuple[NDArray[np.float32], NDArray[np.float32]]

VECTORS_PER_INPUT = 40
"""Least number of vectors for each element of a sum."""


class PairedMoments:
    """Reads both networks where they wait for the next layer."""

    def __init__(
        self,
        quantized: Segments,
        reference: Segments,
        vectors: int,
        samples: int,
        rng: np.random.Generator,
        weights: Mapping[str, Sequence[NDArray[np.float32]]] = MappingProxyType({}),
    ) -> None:
        """Read nothing yet.

        Args:
            quantized: the network with quantized activations, its weights rounded as far as it has come.
            reference: the float network, as far.
            vectors: to see of each layer, about; more where a sum is long.
            samples: of the data set.
            rng: source of positions.
            weights: of the rows of some layers' inputs, by layer name, one array per batch.
        """
        self._quantized, self._reference, self._rng, self._weights = quantized, reference, rng, weights
        self._vectors, self._samples = vectors, samples

    def inputs(self, layer: Layer, quant: TensorQuant | None) -> Moments:
        """Return the moments of a layer's input.

        Args:
            layer: with constant weights.
            quant: of its input.

        Raises:
            ModelError: the input is NaN or infinite; the message names the layer.
        """
        moments, count = Moments(), self._count(layer)
        weights = self._weights.get(layer.name)
        for index, (seen, reference) in enumerate(self._batches(layer)):
            at = choose_positions(layer, seen.shape, count, self._rng)
            x, y = _values(layer, seen, at, quant), columns(layer, reference, at).astype(np.float32)
            moments.update(x, np.ascontiguousarray(y), None if weights is None else weights[index][at[0]])
        return _finite(moments, layer)

    def states(
        self, layer: Layer, quant: TensorQuant | None, cell: States, rounded: Pair, levels: int
    ) -> Moments:
        """Return the moments of what the second weight of a recurrent layer multiplies.

        Args:
            layer: the recurrent layer.
            quant: of its input.
            cell: the same layer by itself.
            rounded: both weights of the quantized network.
            levels: steps to 1 of its state.

        Raises:
            ModelError: as for `inputs`.
        """
        exact = tuple(part.weight_values() for part in layer.parts)
        moments, share = Moments(), self._count(layer.parts[1])
        for seen, reference in self._batches(layer):
            x = cell.operands(_dequantized(seen, quant), *rounded, levels)
            y = cell.operands(reference.astype(np.float32), exact[0], exact[1])
            count = min(share * seen.shape[1], x.shape[1])
            at = self._rng.choice(x.shape[1], size=count, replace=False, shuffle=False)
            moments.update(np.ascontiguousarray(x[:, at]), np.ascontiguousarray(y[:, at]))
        return _finite(moments, layer)

    def _batches(self, layer: Layer) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
        pair = (run.store.compact(run.operand(layer.name)) for run in (self._quantized, self._reference))
        return zip(*pair, strict=True)

    def _count(self, layer: Layer) -> int:
        """Return the number of vectors of each sample."""
        depth = int(weight_matrix(layer, layer.weight_values()).shape[2])
        return -(-max(self._vectors, VECTORS_PER_INPUT * depth) // self._samples)


def _finite(moments: Moments, layer: Layer) -> Moments:
    if not moments.finite():
        raise ModelError(f"layer {layer.name}: its input is NaN or infinite on the calibration data")
    return moments


def _dequantized(codes: NDArray[Any], quant: TensorQuant | None) -> NDArray[np.float32]:
    """Return numbers from numbers or from codes."""
    if quant is None or quant.params is None or codes.dtype.kind == "f":
        return codes.astype(np.float32)
    steps = np.subtract(codes, int(quant.params.zero_point), dtype=np.float32, casting="unsafe")
    return np.asarray(steps * np.float32(quant.params.scale))


def _values(
    layer: Layer, batch: NDArray[Any], positions: NDArray[np.intp], quant: TensorQuant | None
) -> NDArray[np.float32]:
    """Return what a layer multiplies as numbers, from numbers or from codes."""
    coded = quant is not None and quant.params is not None and batch.dtype.kind != "f"
    zero = int(quant.params.zero_point) if coded else 0  # type: ignore[union-attr]
    return np.ascontiguousarray(_dequantized(columns(layer, batch, positions, zero), quant))
