"""How the values of the layers of which most loss is expected lie in the ranges of their integers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from passes.execution.ranges import merged_histogram
from qtool.report.distributions import DistributionReport

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from passes.execution.collect import ActivationStats
    from passes.ir.layers import Layer
    from passes.ir.plan import QuantPlan, TensorQuant
    from passes.ir.setup import QuantizerSetup
    from passes.numerics import Histogram

LAYERS, BINS = 6, 64


def distributions(
    setup: QuantizerSetup, plan: QuantPlan, stats: ActivationStats | None
) -> tuple[DistributionReport, ...]:
    """Return weights and activations of the `LAYERS` layers of which most loss is expected.

    Where no loss was estimated, the layers of the fewest bits are taken.

    Args:
        setup: the quantizable part of the graph.
        plan: with parameters.
        stats: what calibration saw; without histograms, activations are left out.
    """
    layers = {layer.name: layer for layer in setup.layers}
    ranked = sorted(plan.layers, key=lambda name: _badness(plan, name))
    worst = [layers[name] for name in ranked if name in layers][:LAYERS]
    return tuple(entry for layer in worst for entry in _of_layer(layer, setup, plan, stats))


def _badness(plan: QuantPlan, name: str) -> tuple[float, int]:
    entry = plan.layers[name]
    return -(entry.loss or 0.0), entry.precision.weight_bits * entry.precision.act_bits


def _of_layer(
    layer: Layer, setup: QuantizerSetup, plan: QuantPlan, stats: ActivationStats | None
) -> Iterator[DistributionReport]:
    for part in layer.parts:
        quant = None if part.weight is None else plan.tensors.get(part.weight.name)
        if part.weight is not None and quant is not None and quant.params is not None:
            values = part.weight_values()
            counts, edges = np.histogram(values, bins=BINS)
            width = float(edges[1] - edges[0])
            where = (layer.name, part.weight.name, "weight")
            yield _entry(where, quant, (float(edges[0]), width), counts)
    group = next((group for group in setup.groups if layer.name in group.readers), None)
    quant = None if group is None else plan.tensors.get(group.name)
    if group is None or quant is None or quant.params is None or stats is None:
        return
    known = [stats.histograms[name] for name in group.sources if name in stats.histograms]
    if known and (merged := merged_histogram(known)).total:
        yield _entry((layer.name, group.name, "act"), quant, *_coarse(merged))


def _coarse(histogram: Histogram) -> tuple[tuple[float, float], NDArray[np.int64]]:
    """Return start and width of at most `BINS` bins, and their counts."""
    first, counts = histogram.occupied()
    merge = -(-len(counts) // BINS)
    padded = np.pad(counts, (0, -len(counts) % merge))
    return (first * histogram.width, merge * histogram.width), padded.reshape(-1, merge).sum(axis=1)


def _entry(
    where: tuple[str, str, str], quant: TensorQuant, bins: tuple[float, float], counts: NDArray[np.int64]
) -> DistributionReport:
    layer, tensor, role = where
    scale = np.asarray(quant.params.scale, dtype=np.float64).reshape(-1)  # type: ignore[union-attr]
    zero = np.asarray(quant.params.zero_point, dtype=np.float64).reshape(-1)  # type: ignore[union-attr]
    form = quant.spec.format
    low, high = (form.qmin - zero) * scale, (form.qmax - zero) * scale
    wide, narrow = int(scale.argmax()), int(scale.argmin())
    ends = (low[wide], high[wide], low[narrow], high[narrow])
    cells = tuple(int(count) for count in counts)
    return DistributionReport(layer, tensor, role, form.bits, *bins, cells, *(float(end) for end in ends))
