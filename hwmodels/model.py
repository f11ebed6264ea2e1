"""`HardwareModel`: what every machine can be asked; and what some machines answer beyond that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from hwmodels.errors import UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from hwmodels.elementwise import Elementwise, ElementwiseStep
    from hwmodels.rules import Rules
    from hwmodels.schedule import Schedule
    from hwmodels.types import Cost, Metric, NetworkCost, Precision
    from hwmodels.workload import Workload


@runtime_checkable
class HardwareModel(Protocol):
    """A machine: what it can run and what that costs."""

    @property
    def name(self) -> str:
        """The name that requests and reports use."""

    @property
    def metrics(self) -> frozenset[Metric]:
        """What the machine estimates: exactly the quantities that `cost` fills."""

    @property
    def additive(self) -> frozenset[Metric]:
        """The metrics of a network that are the sum over its layers."""

    @property
    def rounding(self) -> str:
        """How the machine rounds when it rescales an accumulator, such as ``"half_even"``."""

    @property
    def requantization(self) -> str:
        """How the machine multiplies an accumulator by a real number: one of `rules.REQUANTIZATIONS`."""

    @property
    def accumulator_bits(self) -> int:
        """Bits of the register that sums products."""

    @property
    def shared_parameter_ops(self) -> frozenset[str]:
        """Operators whose operands must have equal scales and zero points here, such as ``"Add"``."""

    def rules(self, work: Workload) -> Rules:
        """Return what the machine accepts for a layer beyond its precisions, which are among the rules.

        Raises:
            UnsupportedError: the machine does not run this kind of layer.
        """

    def precisions(self, work: Workload) -> tuple[Precision, ...]:
        """Return the pairs that the machine runs this layer at, sorted, at least one."""

    def round_up(self, work: Workload, precision: Precision) -> Precision:
        """Return the cheapest supported pair that covers ``precision``.

        Raises:
            UnsupportedError: no supported pair covers it.
        """

    def cost(self, work: Workload, precision: Precision) -> Cost:
        """Price one layer; a pair that is not supported is priced as `round_up` says.

        Raises:
            UnsupportedError: no supported pair covers ``precision``.
        """


@runtime_checkable
class PricesArrays(Protocol):
    """A machine that prices many layers at once."""

    def prices(
        self, works: Sequence[Workload], precisions: Sequence[Precision]
    ) -> dict[Metric, NDArray[np.float64]]:
        """Price every layer at every precision; see `network.price_table`."""

    def costs(self, works: Sequence[Workload], precisions: Sequence[Precision]) -> tuple[Cost, ...]:
        """Price each layer at its own precision."""


@runtime_checkable
class PricesElementwise(Protocol):
    """A machine on which conversions, and operators without products, cost something."""

    def elementwise_cost(self, work: Elementwise, in_bits: int, out_bits: int) -> Cost:
        """Price one operator that reads at ``in_bits`` and writes at ``out_bits``."""


@runtime_checkable
class IsMeasured(Protocol):
    """A machine that repeats what was measured, which follows no law."""

    @property
    def measured(self) -> bool:
        """Whether fewer bits may cost more."""


@runtime_checkable
class KnowsLayers(Protocol):
    """A machine that runs the layers it was measured on and no others."""

    @property
    def layer_names(self) -> tuple[str, ...]:
        """The names of those layers; none where any layer will do."""


@runtime_checkable
class PricesNetworks(Protocol):
    """A machine whose network cost is more than a sum."""

    def network_cost(
        self,
        works: Sequence[Workload],
        precisions: Sequence[Precision],
        schedule: Schedule | None,
        elementwise: Sequence[ElementwiseStep],
    ) -> NetworkCost:
        """Price a whole network; see `network.network_cost`."""


def narrowest_cover(supported: Collection[Precision], precision: Precision, where: str) -> Precision:
    """Return the supported pair with the fewest bit products per MAC that covers ``precision``.

    Args:
        supported: what the machine runs.
        precision: what was asked for.
        where: machine and layer, for the message.

    Raises:
        UnsupportedError: no supported pair covers ``precision``.
    """
    if precision in supported:
        return precision
    covering = [pair for pair in supported if pair.covers(precision)]
    if not covering:
        known = ", ".join(str(pair) for pair in sorted(supported))
        raise UnsupportedError(f"{where}: no supported precision covers {precision}; supported are {known}")
    return min(covering, key=lambda pair: (pair.weight_bits * pair.act_bits, pair))
