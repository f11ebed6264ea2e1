"""The conformance kit: what every machine promises, checked on a handful of layers.

Authors of machines call `check_hardware_model` in their own tests.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise, product
from typing import TYPE_CHECKING

from hwmodels.elementwise import Elementwise
from hwmodels.errors import HardwareError, UnsupportedError
from hwmodels.model import HardwareModel, IsMeasured, KnowsLayers, PricesElementwise
from hwmodels.network import network_cost, price_table
from hwmodels.types import Metric, Precision
from hwmodels.workload import Workload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Check = Callable[[HardwareModel, Workload], Iterator[str]]

SAMPLES = (
    Workload.conv("first convolution", (3, 64), (7, 7), (112, 112), stride=2),
    Workload.conv("dense convolution", (64, 64), (3, 3), (56, 56)),
    Workload.conv("grouped convolution", (32, 64), (3, 3), (14, 14), groups=4, batch=2),
    Workload.conv("depthwise convolution", (96, 96), (3, 3), (28, 28), groups=96),
    Workload.conv_transpose("transposed convolution", (32, 16), (4, 4), (14, 14), stride=2),
    Workload.gemm("fully connected", 1, 512, 1000),
    Workload.recurrent("recurrent layer", (64, 128), gates=3, steps=50),
    Workload.matmul("attention scores", 8, 49, 32, 49),
)
"""One layer of every kind; a machine refuses those that it does not run."""


def check_hardware_model(model: HardwareModel) -> None:
    """Check a machine against the promises of `HardwareModel`.

    Raises:
        HardwareError: some promise is broken; the message lists every violation on a line of its own.
    """
    found = violations(model)
    if found:
        raise HardwareError(
            "\n".join((f"{model.name}: {len(found)} violations", *(f"- {line}" for line in found)))
        )


def violations(model: HardwareModel) -> list[str]:
    """Return every promise that the machine breaks, in words; empty for a good one."""
    found = [*_declarations(model), *_between(model)]
    run = [work for work in samples(model) if _runs(model, work)]
    if not run:
        found.append("it runs no layer at all")
    for work in run:
        for check in (_precisions, _rounding_up, _filled, *_laws(model), _repeatable):
            found.extend(f"{work.name}: {line}" for line in _guarded(check, model, work))
    return found or list(_sums(model, run))


def _laws(model: HardwareModel) -> tuple[Check, ...]:
    return () if isinstance(model, IsMeasured) and model.measured else (rising,)


def samples(model: HardwareModel) -> tuple[Workload, ...]:
    """Return layers that the machine can be asked about: some of every kind, or some of those it knows."""
    names = model.layer_names if isinstance(model, KnowsLayers) else ()
    return tuple(replace(SAMPLES[0], name=name) for name in names[: len(SAMPLES)]) or SAMPLES


def _guarded(check: Check, model: HardwareModel, work: Workload) -> Iterator[str]:
    """Turn an error of the machine's own into a violation, so that the other checks still run."""
    try:
        yield from check(model, work)
    except HardwareError as error:
        yield f"a supported precision is refused: {error}"


def _runs(model: HardwareModel, work: Workload) -> bool:
    try:
        model.rules(work)
    except UnsupportedError:
        return False
    return True


def _declarations(model: HardwareModel) -> Iterator[str]:
    if not model.name:
        yield "name is empty"
    if not model.metrics:
        yield "metrics is empty: the machine estimates nothing"
    if extra := sorted(model.additive - model.metrics):
        yield f"additive lists {extra}, which metrics does not"
    if Metric.PEAK_MEMORY in model.additive:
        yield "peak memory is additive: tensors of different layers are not alive together"
    if model.accumulator_bits < 1:
        yield f"accumulator_bits is {model.accumulator_bits}, expected at least 1"


def _between(model: HardwareModel) -> Iterator[str]:
    """Conversions cost nothing where there is nothing to convert, and never less the more there is."""
    if not isinstance(model, PricesElementwise):
        return
    for metric in sorted(model.metrics & {Metric.LATENCY, Metric.ENERGY}):
        for in_bits, out_bits in ((8, 8), (4, 8), (8, 4), (16, 8)):
            works = [Elementwise.conversion("activation", elements) for elements in (1000, 100_000)]
            small, large = (model.elementwise_cost(work, in_bits, out_bits).get(metric) for work in works)
            if small is None or large is None:
                yield f"a conversion has no {metric.value}, which metrics lists"
            elif small > large:
                yield f"{metric.value} of a conversion falls with its elements, from {small} to {large}"
            elif in_bits == out_bits and large:
                yield f"a conversion from {in_bits} to {out_bits} bits costs {large} in {metric.value}"


def _precisions(model: HardwareModel, work: Workload) -> Iterator[str]:
    pairs = model.precisions(work)
    if model.rules(work).precisions != pairs:
        yield "rules and precisions disagree"
    if not pairs:
        yield "precisions is empty"
    if list(pairs) != sorted(set(pairs)):
        yield "precisions is not sorted or lists a pair twice"


def _rounding_up(model: HardwareModel, work: Workload) -> Iterator[str]:
    pairs = model.precisions(work)
    for weight_bits in range(1, 17):
        for act_bits in range(1, 17):
            asked = Precision(weight_bits, act_bits)
            coverable = any(pair.covers(asked) for pair in pairs)
            try:
                pair = model.round_up(work, asked)
            except UnsupportedError:
                if coverable:
                    yield f"round_up({asked}) refuses although a supported pair covers it"
                continue
            yield from _rounded(model, work, asked, pair)


def _rounded(model: HardwareModel, work: Workload, asked: Precision, pair: Precision) -> Iterator[str]:
    if pair not in model.precisions(work):
        yield f"round_up({asked}) is {pair}, which is not supported"
    elif not pair.covers(asked):
        yield f"round_up({asked}) is {pair}, which is narrower"
    elif model.round_up(work, pair) != pair:
        yield f"round_up({pair}) is not {pair} itself"
    elif model.cost(work, asked).priced_as != pair:
        yield f"cost at {asked} is not priced as round_up says, {pair}"


def _filled(model: HardwareModel, work: Workload) -> Iterator[str]:
    for pair in model.precisions(work):
        cost = model.cost(work, pair)
        for metric in Metric:
            value = cost.get(metric)
            if (value is not None) != (metric in model.metrics):
                yield f"{metric.value} at {pair} is {value}, which contradicts metrics"
            # A layer whose right side is computed stores no weights.
            free = metric is Metric.WEIGHT_BYTES and work.weight_count == 0
            if value == 0 and not free:
                yield f"{metric.value} at {pair} is 0; None means not estimated"


def rising(model: HardwareModel, work: Workload) -> Iterator[str]:
    """Yield where more bits on one side cost less."""
    costs = {pair: model.cost(work, pair) for pair in model.precisions(work)}
    for narrow, wide in product(costs, repeat=2):
        if narrow != wide and wide.covers(narrow):
            for metric in sorted(model.metrics):
                low, high = costs[narrow].get(metric), costs[wide].get(metric)
                if low is not None and high is not None and low > high:
                    yield f"{metric.value} falls from {low:.4g} at {narrow} to {high:.4g} at {wide}"


def _repeatable(model: HardwareModel, work: Workload) -> Iterator[str]:
    pairs = model.precisions(work)
    if any(model.cost(work, pair) != model.cost(work, pair) for pair in pairs):
        yield "cost differs between two calls with the same arguments"
    for metric, table in price_table(model, [work], pairs).items():
        if table[0].tolist() != [model.cost(work, pair).get(metric) for pair in pairs]:
            yield f"the price table differs from cost in {metric.value}"


def _sums(model: HardwareModel, run: Sequence[Workload]) -> Iterator[str]:
    """A network of copies of one layer costs as many times as much, in every additive metric."""
    for work in run:
        pair = model.precisions(work)[-1]
        totals = [network_cost(model, [work] * count, [pair] * count).total for count in (1, 2, 4)]
        for metric in sorted(model.additive):
            values = [total.get(metric) for total in totals]
            if any(b != 2 * a for a, b in pairwise(v for v in values if v is not None)):
                yield f"{work.name}: {metric.value} of 1, 2 and 4 copies is {values}, which does not sum up"
