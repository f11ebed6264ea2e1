"""What each layer asks of a machine."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, ClassVar

from hwmodels import Workload
from passes.api import Analysis, Aspect, PassContext
from passes.errors import ModelError
from passes.ir.layers import Layer, elements, static_shape
from passes.ir.setup import quantizer_setup

if TYPE_CHECKING:
    from collections.abc import Mapping

    from passes.ir.model import Model


@dataclass(frozen=True)
class Workloads(Analysis["Mapping[str, Workload]"]):
    """Geometry of every layer, by name; symbolic dimensions count as one."""

    name: ClassVar[str] = "workloads"
    reads: ClassVar[Aspect] = Aspect.GRAPH

    def run(self, model: Model, ctx: PassContext) -> Mapping[str, Workload]:
        """Read shapes.

        Raises:
            ModelError: the shape of a layer's input or output is unknown.
        """
        setup = quantizer_setup(model.graph, ctx.target.shared_parameter_ops)
        return {layer.name: workload(layer) for layer in setup.layers}


def workload(layer: Layer) -> Workload:
    """Return the work of one layer for one sample.

    Raises:
        ModelError: a shape is unknown.
    """
    if static_shape(layer.act) is None or static_shape(layer.output) is None:
        raise ModelError(
            f"layer {layer.name}: the shape of its input or output is unknown; fix the input shapes"
        )
    return _matrix(layer) if layer.op in ("Gemm", "MatMul") else _convolution(layer)


def _convolution(layer: Layer) -> Workload:
    batch, in_channels, *_ = static_shape(layer.act) or ()
    _, out_channels, *spatial = static_shape(layer.output) or ()
    weight = layer.weight.shape  # type: ignore[union-attr]
    return Workload(
        name=layer.name,
        op="Conv" if layer.op == "Conv" else "ConvTranspose",
        batch=batch,
        groups=layer.groups,
        in_channels=in_channels,
        out_channels=out_channels,
        kernel=tuple(weight[2:]),
        out_spatial=tuple(spatial),
        in_elements=elements(layer.act),
        out_elements=elements(layer.output),
        weight_count=prod(weight),
        bias_count=out_channels if layer.bias is not None else 0,
    )


def _matrix(layer: Layer) -> Workload:
    shape, result = static_shape(layer.act) or (1,), static_shape(layer.output) or (1,)
    computed = layer.weight is None
    batch = prod(shape[:-2]) if computed else 1
    rows = shape[-2] if computed and len(shape) > 1 else prod(shape[:-1])
    return Workload(
        name=layer.name,
        op="Gemm" if layer.op == "Gemm" else "MatMul",
        batch=batch,
        in_channels=shape[-1],
        out_channels=result[-1],
        out_spatial=(rows,),
        in_elements=elements(layer.act),
        out_elements=elements(layer.output),
        weight_count=0 if computed else prod(layer.weight.shape),  # type: ignore[union-attr]
        rhs_elements=elements(layer.rhs) if layer.rhs is not None else 0,
        bias_count=result[-1] if layer.bias is not None else 0,
    )
