"""Calibration without padding: samples of equal length together, cut to that length.

Texts of different lengths share one array, filled up at the end, and an input of ones and zeros says where
they end. What the model computes at the filled places reaches no result, but it would reach every statistic:
of short texts most is filling. Whether such an input is what it looks like is not taken from its name: the
model must compute the same from samples that are cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from passes.api import Analysis, Aspect, PassContext
from passes.errors import ModelError, UsageError
from passes.execution.sweep import sweep
from passes.ir.onnx_io import to_proto

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from passes.execution.dataset import Dataset, InputSpec
    from passes.ir.model import Model

    Feeds = dict[str, NDArray[Any]]

WINDOW = 256
"""Samples among which those of equal length are looked for."""
TRIED = 8
"""Samples on which the model must compute the same."""
TOLERANCE = 1e-3
"""Share of the largest result by which results may differ: sums over fewer terms round differently."""


@dataclass(frozen=True)
class Unpadded:
    """A data set whose batches hold samples of one length each.

    Attributes:
        data: the samples as they are.
        mask: name of the input that tells text from padding.
        cut: names of the inputs that are cut along their second axis, the mask included.
    """

    data: Dataset
    mask: str
    cut: tuple[str, ...]

    @property
    def count(self) -> int:
        """Number of samples."""
        return self.data.count

    def batches(self, size: int, limit: int | None = None) -> Iterator[Feeds]:
        """Yield every sample once, cut, in batches of at most `size`; see `Dataset.batches`."""
        for window in self.data.batches(max(size, WINDOW), limit):
            found = lengths(window[self.mask])
            for length in np.unique(found):
                at = np.flatnonzero(found == length)
                for start in range(0, len(at), size):
                    yield self.shortened(window, at[start : start + size], int(length))

    def shortened(self, window: Feeds, at: NDArray[np.intp], length: int) -> Feeds:
        """Return some samples of a batch, cut to a length."""
        picked = {name: array[at] for name, array in window.items()}
        return picked | {name: np.ascontiguousarray(picked[name][:, :length]) for name in self.cut}


@dataclass(frozen=True)
class CalibrationSamples(Analysis["Dataset | Unpadded"]):
    """The calibration data, without padding where the model has a mask for it."""

    name: ClassVar[str] = "padding"
    reads: ClassVar[Aspect] = Aspect.NONE

    def run(self, model: Model, ctx: PassContext) -> Dataset | Unpadded:
        """Look for a mask, and try whether the model heeds it.

        Raises:
            UsageError: there are no calibration data.
        """
        if ctx.calibration is None:
            raise UsageError("this needs calibration data; give --calib")
        data: Dataset = ctx.calibration
        if not any(_may_mask(spec) for spec in data.inputs):
            return data
        feeds = next(iter(data.batches(TRIED)), {})
        for mask in _masks(feeds, data.inputs):
            length = feeds[mask].shape[1]
            specs = [spec for spec in data.inputs if spec.shape is None or len(spec.shape) == 2]
            cut = tuple(spec.name for spec in specs if feeds[spec.name].shape[1:] == (length,))
            found = Unpadded(data, mask, cut)
            if _same(model, ctx, feeds, found):
                ctx.note(self.name, mask, "calibration leaves out the padding that this input marks")
                return found
        return data


def lengths(mask: NDArray[Any]) -> NDArray[np.intp]:
    """Return how many leading places each sample uses, shape (samples,): all, where it uses others or none.

    Args:
        mask: shape (samples, length); 1 marks places in use.
    """
    used = (mask != 0).sum(axis=1)
    leading = np.arange(mask.shape[1]) < used[:, None]
    regular = ((mask != 0) == leading).all(axis=1) & (used > 0)
    return np.asarray(np.where(regular, used, mask.shape[1]))


def _may_mask(spec: InputSpec) -> bool:
    return spec.shape is not None and len(spec.shape) == 2 and spec.shape[1] is None


def _masks(feeds: Feeds, inputs: Sequence[InputSpec]) -> Iterator[str]:
    """Yield the inputs that hold ones and then zeros in every sample, and zeros in some."""
    for spec in inputs:
        array = feeds.get(spec.name)
        if array is None or not _may_mask(spec) or not np.isin(array, (0, 1)).all():
            continue
        used = (array != 0).sum(axis=1)
        if used.min() > 0 and used.min() < array.shape[1] and (np.diff(array.astype(np.int8)) <= 0).all():
            yield spec.name


def _same(model: Model, ctx: PassContext, feeds: Feeds, cut: Unpadded) -> bool:
    """Tell whether the float model computes the same from each sample when its padding is cut off."""
    found = lengths(feeds[cut.mask])
    ones = (cut.shortened(feeds, np.array([index]), int(length)) for index, length in enumerate(found))
    try:
        (_, whole), *singles = sweep(to_proto(model), None, chain([feeds], ones), ctx)
    except ModelError:
        return False
    return all(
        _close(single[name], result[index : index + 1], int(found[index]))
        for index, (_, single) in enumerate(singles)
        for name, result in whole.items()
    )


def _close(found: NDArray[Any], expected: NDArray[Any], length: int) -> bool:
    if found.ndim != expected.ndim:
        return False
    if found.shape != expected.shape:
        expected = expected[:, :length]
    if found.shape != expected.shape:
        return False
    bound = TOLERANCE * float(np.abs(expected).max(initial=0.0))
    return bool(np.isfinite(found).all()) and bool((np.abs(found - expected) <= bound).all())
