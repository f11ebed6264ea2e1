"""`Dataset`: samples in the form that a model reads, streamed in batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from passes.errors import DataError, ModelError, UsageError
from passes.execution.sources import open_source

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx_graphsurgeon as gs
    from numpy.typing import NDArray

    from passes.execution.metrics import Metric
    from passes.execution.preprocess import Preprocess
    from passes.execution.sources import Source


@dataclass(frozen=True, slots=True)
class InputSpec:
    """What a model reads: name, shape (``None``: any size, or any rank) and element type."""

    name: str
    shape: tuple[int | None, ...] | None
    dtype: np.dtype[Any]


def graph_inputs(graph: gs.Graph) -> tuple[InputSpec, ...]:
    """Return what a graph reads.

    Raises:
        ModelError: an input is no tensor, or of an element type that numpy does not have.
    """
    try:
        return tuple(InputSpec(it.name, _shape(it), np.dtype(it.dtype)) for it in graph.inputs)
    except TypeError as error:
        raise ModelError(f"an input of the model is no tensor of numbers: {error}") from error


def fixed_batch(inputs: tuple[InputSpec, ...]) -> int | None:
    """Return the number of samples that a model insists on, or ``None`` where any will do."""
    fixed = {spec.shape[0] for spec in inputs if spec.shape} - {None}
    return fixed.pop() if len(fixed) == 1 else None


@dataclass(frozen=True)
class Dataset:
    """Samples for a model.

    Attributes:
        source: where raw arrays come from.
        inputs: what the model reads.
        arrays: name in the source of the array for each input.
        preprocess: how integer images become inputs; ``None`` takes arrays as they are.
        count: number of samples to use.
        where: the location, for messages.
    """

    source: Source
    inputs: tuple[InputSpec, ...]
    arrays: tuple[str, ...]
    preprocess: Preprocess | None
    count: int
    where: str

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """Labels of the samples in use, or ``None``."""
        return None if self.source.labels is None else self.source.labels[: self.count]

    def truth(self, metric: Metric) -> NDArray[np.int64] | None:
        """Return what a metric compares outputs with: labels, or the tokens that the model reads.

        Raises:
            UsageError: tokens are needed, and the first input holds no integers of shape (N, length).
        """
        if not metric.needs_tokens:
            return self.labels
        tokens = self.source.load(0, self.count)[self.arrays[0]]
        if tokens.dtype.kind not in "iu" or tokens.ndim != 2:
            raise UsageError(
                f"metric {metric.name} needs tokens of shape (samples, length) as the first input; "
                f"{self.where} has {tokens.dtype} of shape {tokens.shape}"
            )
        return np.asarray(tokens, dtype=np.int64)

    def batch_size(self, wanted: int) -> int:
        """Return the batch size the model accepts that is nearest to the wanted one."""
        return fixed_batch(self.inputs) or min(wanted, self.count)

    def batches(self, size: int, limit: int | None = None) -> Iterator[dict[str, NDArray[Any]]]:
        """Yield feeds of at most `size` samples, the first `limit` samples in all.

        A model of fixed batch size gets whole batches only, and so some samples beyond the limit.

        Raises:
            DataError: an array does not fit its input, or holds NaN or infinity.
        """
        size = self.batch_size(size)
        whole = fixed_batch(self.inputs) or 1
        count = min(self.count, -(-(limit or self.count) // whole) * whole)
        for start in range(0, count, size):
            yield self._batch(start, min(start + size, count))

    def spread(self, size: int, samples: int) -> Iterator[dict[str, NDArray[Any]]]:
        """Yield batches of `size`, about `samples` samples in all, from evenly spaced places of the set.

        Raises:
            DataError: as for `batches`.
        """
        size = self.batch_size(size)
        number = max(1, min(-(-samples // size), self.count // size))
        for index in range(number):
            start = index * (self.count // size) // number * size
            yield self._batch(start, start + size)

    def part(self, start: int, count: int) -> dict[str, NDArray[Any]]:
        """Return the feeds of some neighbouring samples.

        Raises:
            DataError: as for `batches`.
        """
        return self._batch(start, start + count)

    def _batch(self, start: int, stop: int) -> dict[str, NDArray[Any]]:
        raw = self.source.load(start, stop)
        pairs = zip(self.inputs, self.arrays, strict=True)
        return {spec.name: self._prepare(raw[array], spec) for spec, array in pairs}

    def _prepare(self, raw: NDArray[Any], spec: InputSpec) -> NDArray[Any]:
        array, dtype = raw, spec.dtype
        if self.preprocess is not None and raw.dtype == np.uint8 and raw.ndim == 4:
            array = (self.preprocess.normalize if self.source.prepared else self.preprocess.arrays)(
                raw, dtype
            )
        self._check_fit(array, spec)
        array = np.ascontiguousarray(array, dtype=dtype)
        if np.issubdtype(dtype, np.floating) and not np.isfinite(array).all():
            raise DataError(f"{self.where}: the data for input {spec.name!r} hold NaN or infinity")
        return array

    def _check_fit(self, array: NDArray[Any], spec: InputSpec) -> None:
        name, shape, dtype = spec.name, spec.shape, spec.dtype
        kinds = (array.dtype.kind, dtype.kind)
        if kinds not in (("f", "f"), ("i", "i"), ("u", "u"), ("i", "u"), ("u", "i"), ("b", "b")):
            hint = "; give --preprocess for integer images" if kinds == ("u", "f") else ""
            raise DataError(f"{self.where}: input {name!r} expects {dtype}, found {array.dtype}{hint}")
        if shape is None:
            return
        fits = len(shape) == array.ndim and all(
            want is None or want == have for want, have in zip(shape[1:], array.shape[1:], strict=True)
        )
        if not fits:
            expected = [dim if dim is not None else "?" for dim in shape]
            raise DataError(
                f"{self.where}: input {name!r} expects shape {expected}, found {list(array.shape)}"
            )


def open_dataset(
    location: str,
    inputs: tuple[InputSpec, ...],
    preprocess: Preprocess | None = None,
    samples: int | None = None,
) -> Dataset:
    """Open data for a model.

    Args:
        location: file, folder or ``package.module:function``.
        inputs: what the model reads.
        preprocess: for integer images.
        samples: use the first so many; all by default.

    Raises:
        DataError: an input has no array, or there are too few samples.
    """
    names = [spec.name for spec in inputs]
    source = open_source(location, preprocess, names)
    arrays = _match(names, source.names, location)
    count, batch = min(source.count, samples or source.count), fixed_batch(inputs) or 1
    if count < batch:
        raise DataError(f"{location}: the model takes batches of {batch}, found {count} samples")
    count -= count % batch
    return Dataset(source, inputs, arrays, preprocess, count, location)


def _match(inputs: list[str], arrays: tuple[str, ...], where: str) -> tuple[str, ...]:
    if all(name in arrays for name in inputs):
        return tuple(inputs)
    if len(inputs) == 1 and "x" in arrays:
        return ("x",)
    raise DataError(f"{where}: expected an array for each input {inputs}, found {sorted(arrays)}")


def _shape(tensor: gs.Variable) -> tuple[int | None, ...] | None:
    if tensor.shape is None:
        return None
    return tuple(dim if isinstance(dim, int) and dim > 0 else None for dim in tensor.shape)
