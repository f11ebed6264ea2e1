"""A place where a factor per channel can move from activations into the weights that multiply them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import onnx_graphsurgeon as gs
    from numpy.typing import NDArray

    from passes.ir.layers import Layer

    Channels = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A constant that channels of activations are proportional to.

    Attributes:
        tensor: the constant.
        axis: of it that runs over channels.
        channels: the channel of the site that each slice makes, shape (slices,).
    """

    tensor: gs.Constant
    axis: int
    channels: Channels


@dataclass(frozen=True, slots=True, eq=False)
class Reader:
    """A layer whose weights multiply the activations.

    Attributes:
        layer: Conv, ConvTranspose, Gemm or MatMul with a constant weight.
        channels: the channel of the site that each of its input channels is, shape (input channels,).
    """

    layer: Layer
    channels: Channels

    @property
    def act_axis(self) -> int:
        """Axis of the activation that runs over channels."""
        return -1 if self.layer.op in ("Gemm", "MatMul") else 1

    def per_channel(self, weight: NDArray[np.float64] | NDArray[np.float32]) -> NDArray[np.float64]:
        """Return a weight as a matrix with a row per input channel."""
        moved = np.moveaxis(weight, self.layer.input_axis, 0)
        return np.asarray(moved.reshape(len(moved), -1), dtype=np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """One such place.

    Attributes:
        name: of the node that makes the activations; the first, where several do.
        op: its operator.
        sources: constants to divide.
        readers: layers whose weights are multiplied.
        channels: how many there are.
    """

    name: str
    op: str
    sources: tuple[Source, ...]
    readers: tuple[Reader, ...]
    channels: int

    def scale(self, factors: NDArray[np.float64]) -> None:
        """Divide the sources and multiply the readers' weights; the model computes what it did.

        Args:
            factors: positive, shape (channels,).
        """
        for source in self.sources:
            _multiply(source.tensor, source.axis, 1.0 / factors[source.channels])
        for reader in self.readers:
            _multiply(reader.layer.weight, reader.layer.input_axis, factors[reader.channels])

    def constants(self) -> set[str]:
        """Return the names of all constants that `scale` changes."""
        weights = {reader.layer.weight_name for reader in self.readers}
        return weights | {source.tensor.name for source in self.sources}


def owned(tensor: gs.Constant | None, node: gs.Node) -> bool:
    """Tell whether a constant is float32 and read by one node only, once."""
    if tensor is None or tensor.dtype != np.float32:
        return False
    return len(tensor.outputs) == 1 and tensor.outputs[0] is node


def _multiply(tensor: gs.Constant | None, axis: int, factors: NDArray[np.float64]) -> None:
    values = np.asarray(tensor.values, dtype=np.float64)  # type: ignore[union-attr]
    shape = tuple(-1 if at == axis else 1 for at in range(values.ndim))
    tensor.values = (values * factors.reshape(shape)).astype(np.float32)  # type: ignore[union-attr]
