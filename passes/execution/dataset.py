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
    """What a model reads.

    Attributes:
        name: of the input.
        shape: ``None`` stands for an axis of any size, or in place of the shape for any rank.
        dtype: element type.
        first: what the model calls its first axis, where that has a name.
    """

    name: str
    shape: tuple[int | None, ...] | None
    dtype: np.dtype[Any]
    first: str = ""


def graph_inputs(graph: gs.Graph) -> tuple[InputSpec, ...]:
    """Return what a graph reads.

    Raises:
        ModelError: an input is no tensor, or of an element type that numpy does not have.
    """
    return tuple(InputSpec(it.name, _shape(it), _dtype(it), _first(it)) for it in graph.inputs)


def _dtype(tensor: gs.Variable) -> np.dtype[Any]:
    if tensor.dtype is None or tensor.type != "tensor_type":
        raise ModelError(
            f"input {tensor.name!r} of the model is no tensor, or one of unknown type; samples are "
            "tensors of numbers: cut the model behind it"
        )
    try:
        dtype: np.dtype[Any] = np.dtype(tensor.dtype)
    except TypeError as error:
        raise ModelError(
            f"input {tensor.name!r} of the model is no tensor of numbers that numpy has: {error}"
        ) from error
    return dtype


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
        self.check_even(f"metric {metric.name}")
        tokens = self.source.load(0, self.count)[self.arrays[0]]
        if tokens.dtype.kind not in "iu" or tokens.ndim != 2:
            raise UsageError(
                f"metric {metric.name} needs tokens of shape (samples, length) as the first input; "
                f"{self.where} has {tokens.dtype} of shape {tokens.shape}"
            )
        return np.asarray(tokens, dtype=np.int64)

    def batch_size(self, wanted: int) -> int:
        """Return the batch size the model accepts that is nearest to the wanted one."""
        return 1 if self.source.whole else fixed_batch(self.inputs) or min(wanted, self.count)

    def batches(self, size: int, limit: int | None = None) -> Iterator[dict[str, NDArray[Any]]]:
        """Yield feeds of at most `size` samples, the first `limit` samples in all.

        A model of fixed batch size gets whole batches only, and so some samples beyond the limit.

        Raises:
            DataError: an array does not fit its input, or holds NaN or infinity.
        """
        size = self.batch_size(size)
        whole = self.batch_size(1)
        count = min(self.count, -(-(limit or self.count) // whole) * whole)
        for first, end in self.source.stretches(count):
            for start in range(first, end, size):
                yield self._batch(start, min(start + size, end))

    def spread(self, size: int, samples: int) -> Iterator[dict[str, NDArray[Any]]]:
        """Yield batches of `size`, about `samples` samples in all, from evenly spaced places of the set.

        Raises:
            DataError: as for `batches`.
        """
        size = self.batch_size(size)
        cuts = [
            (start, min(start + size, end))
            for first, end in self.source.stretches(self.count)
            for start in range(first, end, size)
        ]
        cuts = [(start, stop) for start, stop in cuts if stop - start == size] or cuts
        number = max(1, min(-(-samples // size), len(cuts)))
        for index in range(number):
            yield self._batch(*cuts[index * len(cuts) // number])

    @property
    def even(self) -> bool:
        """True when samples have equal shapes and can be cut and joined."""
        return not self.source.whole and len(list(self.source.stretches(self.count))) == 1

    def check_even(self, purpose: str) -> None:
        """Refuse samples of different shapes.

        Args:
            purpose: what needs them to be equal, for the message.

        Raises:
            DataError: they are not.
        """
        if not self.even:
            raise DataError(
                f"{self.where}: {purpose} needs samples of one shape, and these differ; take others"
            )

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
        array = np.asarray(array, dtype=dtype, order="C")
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
        first = 0 if self.source.whole else 1
        found = array.shape[first:]
        fits = len(shape) == array.ndim and all(map(_takes, shape[first:], found))
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
    ranks = {spec.name: len(spec.shape) for spec in inputs if spec.shape is not None}
    if len(inputs) == 1 and names[0] in ranks:
        ranks["x"] = ranks[names[0]]
    source = open_source(location, preprocess, names, ranks)
    arrays = _match(names, source.names, location)
    _check_stretches(source, inputs, location)
    count, batch = min(source.count, samples or source.count), fixed_batch(inputs) or 1
    if source.whole:
        return Dataset(source, inputs, arrays, preprocess, count, location)
    if count < batch:
        raise DataError(f"{location}: the model takes batches of {batch}, found {count} samples")
    count -= count % batch
    return Dataset(source, inputs, arrays, preprocess, count, location)


def _check_stretches(source: Source, inputs: tuple[InputSpec, ...], where: str) -> None:
    """Refuse feeds where the model has samples in batches."""
    batch, sizes = fixed_batch(inputs) or 1, [end - start for start, end in source.stretches(source.count)]
    if source.whole and all(spec.shape and spec.shape[0] is None for spec in inputs):
        if len({spec.first for spec in inputs}) == 1:
            raise DataError(f"{where}: expected the same positive number of samples in every array")
    elif len(sizes) > 1 and any(size % batch for size in sizes):
        raise DataError(f"{where}: the model takes batches of {batch}, found files of {sorted(set(sizes))}")


def _match(inputs: list[str], arrays: tuple[str, ...], where: str) -> tuple[str, ...]:
    if all(name in arrays for name in inputs):
        return tuple(inputs)
    if len(inputs) == 1 and "x" in arrays:
        return ("x",)
    raise DataError(f"{where}: expected an array for each input {inputs}, found {sorted(arrays)}")


def _takes(wanted: int | None, found: int) -> bool:
    return wanted in (None, found)


def _first(tensor: gs.Variable) -> str:
    return tensor.shape[0] if tensor.shape and isinstance(tensor.shape[0], str) else ""


def _shape(tensor: gs.Variable) -> tuple[int | None, ...] | None:
    if tensor.shape is None:
        return None
    return tuple(dim if isinstance(dim, int) and dim > 0 else None for dim in tensor.shape)
