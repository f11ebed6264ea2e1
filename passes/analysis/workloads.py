"""What each layer asks of a machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from passes.analysis.sizes import Sizes
from passes.api import Analysis, Aspect, PassContext
from passes.ir.setup import quantizer_setup
from passes.ir.workload import workload

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hwmodels import Workload
    from passes.ir.model import Model


@dataclass(frozen=True)
class Workloads(Analysis["Mapping[str, Workload]"]):
    """Geometry of every layer, by name, at the shapes that `Sizes` finds; other open dimensions count as one.

    Attributes:
        group_size: input channels that share a scale of the weights; 0 for none.
    """

    name: ClassVar[str] = "workloads"
    reads: ClassVar[Aspect] = Aspect.GRAPH
    group_size: int = 0

    def run(self, model: Model, ctx: PassContext) -> Mapping[str, Workload]:
        """Read shapes.

        Raises:
            ModelError: the shape of a layer's input or output is unknown.
        """
        setup = quantizer_setup(model.graph, ctx.target)
        sizes = ctx.get(Sizes(), model)
        return {layer.name: workload(layer, self.group_size, sizes) for layer in setup.layers}
