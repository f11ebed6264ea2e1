"""Prices of what happens between layers, in the terms of the problem: per layer, per pair, or fixed."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hwmodels import Metric, PricesElementwise
from passes.allocation.boundaries import Boundary
from passes.analysis.between import FLOAT_BITS
from passes.ir.tensor_groups import UNREAD_BITS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hwmodels import HardwareModel
    from passes.analysis.between import Between
    from passes.ir.setup import QuantizerSetup

Prices = dict[str, float]


@dataclass(frozen=True, slots=True)
class BetweenPrices:
    """What elementwise work adds to the cost of a network.

    Attributes:
        layers: by layer and by its activation bits, what is added to its choices.
        boundaries: what depends on the activation bits of two layers.
        fixed: what no choice changes.
    """

    layers: Mapping[str, Mapping[int, Prices]] = field(default_factory=dict)
    boundaries: tuple[Boundary, ...] = ()
    fixed: Mapping[str, float] = field(default_factory=dict)


def price_between(
    target: HardwareModel,
    between: Sequence[Between],
    setup: QuantizerSetup,
    act_bits: Mapping[str, Sequence[int]],
) -> BetweenPrices:
    """Price elementwise work at every width that its ends may take.

    Args:
        target: a machine; one that does not price elementwise work has it for nothing.
        between: the work, with the tensor groups at its ends.
        setup: the quantizable part of the graph, for the readers of groups.
        act_bits: widths that each layer may take, by name.
    """
    metrics = sorted(target.additive & {Metric.LATENCY, Metric.ENERGY})
    if not metrics or not isinstance(target, PricesElementwise):
        return BetweenPrices()
    readers = {group.name: group.readers[0] for group in setup.groups if group.readers}
    widths: dict[str, tuple[int, ...]] = {group.name: (group.unread_bits,) for group in setup.groups}
    widths |= {name: tuple(act_bits[reader]) for name, reader in readers.items()}
    tables: dict[tuple[str | None, str | None], dict[tuple[int, int], Prices]] = defaultdict(dict)
    for entry in between:
        for ends in _ends(entry, widths):
            cost = target.elementwise_cost(entry.work, *ends)
            prices = {metric.value: float(cost.get(metric) or 0.0) for metric in metrics}
            key = (_decided(entry.source, readers), _decided(entry.sink, readers))
            _add(tables[key].setdefault(ends, {}), prices)
    return _sorted_out(tables)


def _ends(entry: Between, widths: Mapping[str, tuple[int, ...]]) -> list[tuple[int, int]]:
    """Return the widths that both ends of some work may have together."""
    sources, sinks = (_widths(name, widths) for name in (entry.source, entry.sink))
    if entry.source == entry.sink:
        return [(bits, bits) for bits in sources]
    return [(source, sink) for source in sources for sink in sinks]


def _widths(name: str | None, widths: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
    return (FLOAT_BITS,) if name is None else widths.get(name, (UNREAD_BITS,))


def _decided(name: str | None, readers: Mapping[str, str]) -> str | None:
    """Return the layer that decides the width of a group, or ``None`` where it is fixed."""
    return None if name is None else readers.get(name)


def _sorted_out(
    tables: Mapping[tuple[str | None, str | None], Mapping[tuple[int, int], Prices]],
) -> BetweenPrices:
    layers: dict[str, dict[int, Prices]] = defaultdict(dict)
    boundaries, fixed = [], dict[str, float]()
    for (source, sink), table in tables.items():
        costly = {ends: prices for ends, prices in table.items() if any(prices.values())}
        if source is not None and sink is not None and source != sink:
            boundaries += [Boundary(source, sink, costly)] if costly else []
            continue
        for ends, prices in costly.items():
            decides = source or sink
            if decides is None:
                _add(fixed, prices)
            else:
                _add(layers[decides].setdefault(ends[0 if source else 1], {}), prices)
    return BetweenPrices(dict(layers), tuple(boundaries), fixed)


def _add(total: Prices, prices: Prices) -> None:
    for metric, value in prices.items():
        total[metric] = total.get(metric, 0.0) + value
