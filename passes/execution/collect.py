"""One sweep over the calibration data that serves every analysis of a pipeline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from passes.api import Analysis, Aspect, PassContext
from passes.errors import DataError, ModelError
from passes.execution.instrument import Wanted, instrument
from passes.execution.observers import MeanObserver, PatchObserver, RangeObserver
from passes.execution.padding import CalibrationSamples
from passes.execution.sweep import sweep
from passes.ir.kinds import node_kind
from passes.ir.layers import elements
from passes.ir.ops import OpClass
from passes.ir.setup import quantizer_setup
from passes.lowering.attributes import clamp_bounds
from passes.numerics import Histogram

if TYPE_CHECKING:
    from collections.abc import Mapping

    import onnx_graphsurgeon as gs
    from numpy.typing import NDArray

    from passes.execution.dataset import Dataset
    from passes.execution.padding import Unpadded
    from passes.ir.layers import Layer
    from passes.ir.model import Model
    from passes.ir.setup import QuantizerSetup

HISTOGRAMS, MEANS, PATCHES = "histograms", "means", "patches"
BATCH = 4


@dataclass(frozen=True, slots=True)
class ActivationStats:
    """What one sweep saw.

    Attributes:
        ranges: (minimum, maximum) of each computed activation, by tensor name.
        histograms: distribution of each computed activation; empty unless asked for.
        means: mean of each channel of the input of layers that may have a bias, by layer name; empty unless
            asked for.
        patches: (samples, positions, groups, depth) inputs of each layer; empty unless asked for.
        samples: number of samples in the sweep.
    """

    ranges: Mapping[str, tuple[float, float]]
    histograms: Mapping[str, Histogram]
    means: Mapping[str, NDArray[np.float64]]
    patches: Mapping[str, NDArray[np.float32]]
    samples: int


@dataclass(frozen=True)
class CollectActivations(Analysis[ActivationStats]):
    """Run the float model over the calibration data and observe what the pipeline will need.

    What is observed is the union of the `observes` of all passes in the pipeline, so that the data are read
    once, whichever pass asks first.
    """

    name: ClassVar[str] = "activations"
    reads: ClassVar[Aspect] = Aspect.GRAPH | Aspect.WEIGHTS

    def run(self, model: Model, ctx: PassContext) -> ActivationStats:
        """Sweep once.

        Raises:
            UsageError: there are no calibration data.
            ModelError: an activation is NaN or infinite; the message names it.
        """
        samples = ctx.get(CalibrationSamples(), model)
        setup = quantizer_setup(model.graph, ctx.target)
        sweep = _Sweep(model, setup, ctx)
        sweep.run(samples)
        return sweep.stats()


class _Sweep:
    """State of one sweep."""

    def __init__(self, model: Model, setup: QuantizerSetup, ctx: PassContext) -> None:
        self._ctx = ctx
        tensors = model.graph.tensors()
        sources = tuple(name for group in setup.groups for name in group.sources)
        # What a recurrent layer multiplies is mostly its own state, which the graph does not show.
        weighted = [layer for layer in setup.layers if layer.weight is not None and not layer.recurrent]
        self._ranges = {name: RangeObserver() for name in sources}
        self._histograms = {name: Histogram() for name in sources if HISTOGRAMS in ctx.observes}
        self._patches = {layer.name: PatchObserver(layer) for layer in weighted if PATCHES in ctx.observes}
        biased = [layer for layer in weighted if layer.takes_bias and MEANS in ctx.observes]
        axes = {layer.name: _other_axes(layer) for layer in biased}
        self._layer_axes = {name: reduced for name, reduced in axes.items() if reduced is not None}
        self._means = {name: MeanObserver() for name in self._layer_axes}
        self._acts = {layer.name: layer.act.name for layer in weighted}
        wanted = Wanted(
            ranged=sources,
            sampled={name: elements(tensors[name]) for name in self._histograms},
            means={self._acts[name]: reduced for name, reduced in self._layer_axes.items()},
            full=tuple(dict.fromkeys(self._acts[name] for name in self._patches)),
            images={name: size for name, tensor in tensors.items() if (size := _image_size(tensor))},
            non_negative=frozenset(name for name in sources if _non_negative(tensors[name])),
        )
        self._proto, self._probes = instrument(model, wanted)
        self._rng = ctx.rng("activations")
        self._samples = 0

    def run(self, data: Dataset | Unpadded) -> None:
        """Read all batches."""
        for count, results in sweep(self._proto, self._probes.names(), data.batches(BATCH), self._ctx):
            self._update(results, count)
            self._samples += count
            self._ctx.progress("calibrate", self._samples, data.count)
        if self._samples == 0:
            raise DataError("the calibration data hold no samples")

    def _update(self, results: Mapping[str, NDArray[np.float32]], count: int) -> None:
        probes = self._probes
        for name, observer in self._ranges.items():
            low = float(results[probes.low[name]].min()) if name in probes.low else 0.0
            high = float(results[probes.high[name]].max())
            if not (np.isfinite(low) and np.isfinite(high)):
                raise ModelError(f"activation {name!r} is NaN or infinite on the calibration data")
            observer.update(low, high)
        for name, histogram in self._histograms.items():
            histogram.update(results[probes.sample[name]])
        for name, mean in self._means.items():
            observed = results[probes.mean[self._acts[name]]]
            mean.update(
                observed.reshape(len(observed), -1).mean(axis=0) if observed.ndim > 1 else observed, count
            )
        for patches in self._patches.values():
            patches.update(results[probes.full[patches.layer.act.name]], self._rng)

    def stats(self) -> ActivationStats:
        """Return what was seen."""
        return ActivationStats(
            ranges={name: (observer.low, observer.high) for name, observer in self._ranges.items()},
            histograms=self._histograms,
            means={name: observer.value() for name, observer in self._means.items()},
            patches={name: observer.matrix() for name, observer in self._patches.items()},
            samples=self._samples,
        )


def _image_size(tensor: gs.Tensor) -> tuple[int, int] | None:
    """Return height and width of a tensor of rank 4 (1 where unknown), or ``None`` for any other."""
    if tensor.shape is None or len(tensor.shape) != 4 or tensor.dtype != np.float32:
        return None
    height, width = (size if isinstance(size, int) and size > 0 else 1 for size in tensor.shape[2:])
    return height, width


def _non_negative(tensor: gs.Tensor) -> bool:
    """True for the output of a Relu, or of a Clip that starts at or above zero."""
    producer = tensor.inputs[0] if tensor.inputs else None
    if producer is None or node_kind(producer) is not OpClass.CLAMP:
        return False
    low, _ = clamp_bounds(producer)
    return low is not None and low >= 0


def _other_axes(layer: Layer) -> tuple[int, ...] | None:
    """Return all axes of a layer's input but that of its channels, or ``None`` when the rank is unknown."""
    shape = layer.act.shape
    if shape is None:
        return None
    channel = len(shape) - 1 if layer.op in ("Gemm", "MatMul") else 1
    return tuple(axis for axis in range(len(shape)) if axis != channel)
