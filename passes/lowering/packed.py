"""Emitter of the packed artifact: the same plan as integer steps with bit-packed weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from passes.artifact import Artifact, Step, TensorInfo
from passes.errors import LoweringError
from passes.ir.float_layers import fitted
from passes.ir.integer_graph import INDEX_TYPES
from passes.ir.kinds import act_inputs, constant_operand, hiding, node_kind, scaling
from passes.ir.ops import OpClass, op_info
from passes.lowering.accumulators import check_accumulators
from passes.lowering.attributes import (
    clamp_bounds,
    layer_attrs,
    mover_step,
    pool_attrs,
    reduce_attrs,
    softmax_attrs,
)
from passes.lowering.bias import bias_codes, quantization_of
from passes.lowering.border_casts import cast_behind, casts_output
from passes.lowering.integers import IntegerSteps
from passes.lowering.made_names import free_name
from passes.lowering.methods import CONSTANT_BITS, constant_codes, method_step
from passes.lowering.packed_weight import packed_weight
from passes.lowering.recurrent import Wiring, recurrent_step
from passes.lowering.tables import unary_table
from passes.numerics import quantize

if TYPE_CHECKING:
    import onnx_graphsurgeon as gs

    from passes.artifact import Attr
    from passes.ir.layers import Layer
    from passes.ir.model import Model
    from passes.ir.plan import TensorQuant
    from passes.ir.setup import QuantizerSetup

_FLOAT_TAIL = {"Softmax": "softmax", "LogSoftmax": "log_softmax", "Sigmoid": "sigmoid"}
_FLOAT_MOVES = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Identity", "Gather"})
_ARITHMETIC = {
    "Add": "add", "Mul": "mul", "AveragePool": "average_pool", "GlobalAveragePool": "global_average_pool",
    "ReduceMean": "reduce_mean", "ReduceSum": "reduce_sum", "Sub": "sub", "Div": "div",
}  # fmt: skip


@dataclass(frozen=True)
class Origin:
    """Where an artifact comes from, as it says of itself."""

    producer: str
    target: str
    rounding: str
    requantization: str = "exact"


def emit_packed(model: Model, setup: QuantizerSetup, origin: Origin) -> Artifact:
    """Lower a model and its plan to an integer program.

    Args:
        model: graph and plan; neither is changed.
        setup: the quantizable part of the graph.
        origin: what the artifact says of itself.

    Raises:
        LoweringError: floating-point operators stand between integer ones, or a sum could overflow; the
            message names the first.
    """
    setup = fitted(setup, model.plan)
    if setup.floats:
        names = ", ".join(layer.name for layer in setup.floats[:4])
        more = f" and {len(setup.floats) - 4} more" if len(setup.floats) > 4 else ""
        raise LoweringError(f"the plan keeps {names}{more} in floating point, so there is no packed artifact")
    check_accumulators(model, setup)
    return _Emitter(model, setup).emit(origin)


class _Emitter:
    """State of one emission: the steps so far, and the tensors they define."""

    def __init__(self, model: Model, setup: QuantizerSetup) -> None:
        self._model, self._setup, self._plan = model, setup, model.plan
        self._layers = {layer.name: layer for layer in setup.layers}
        self._nodes = {node.name: node for node in model.graph.nodes}
        self._clamps = set(setup.fused.values())
        self._own_names = model.graph.tensors().keys()
        self._entered: set[str] = set()
        self._steps: list[Step] = []
        self._tensors: dict[str, TensorInfo] = {}
        self._integers = IntegerSteps(model.graph, self._steps, self._tensors)

    def emit(self, origin: Origin) -> Artifact:
        graph = self._model.graph
        inputs = [tensor for tensor in graph.inputs if tensor.outputs]
        for tensor in inputs:
            self._enter(tensor)
        for node in graph.nodes:
            if node.name in self._clamps or node.name in self._entered or _stands_beside(node):
                continue
            (self._integer if node.name in self._setup.nodes else self._float)(node)
        for tensor in graph.outputs:
            self._info(tensor)
        return Artifact(
            producer=origin.producer,
            model_sha256=self._model.sha256,
            target=origin.target,
            rounding=origin.rounding,
            requantization=origin.requantization,
            inputs=tuple(tensor.name for tensor in inputs),
            outputs=tuple(tensor.name for tensor in graph.outputs),
            tensors=self._tensors,
            steps=tuple(self._steps),
        )

    def _enter(self, tensor: gs.Variable) -> None:
        """Define an input; one of another precision has the codes of what it is cast to."""
        if tensor.dtype in INDEX_TYPES:
            self._integers.define(tensor)
            return
        cast = cast_behind(tensor)
        inside = tensor if cast is None else cast.outputs[0]
        if inside.name not in self._plan.tensors:
            raise LoweringError(
                f"input {tensor.name!r} feeds floating-point operators; there is no packed artifact"
            )
        self._define(inside, quantized=True)
        if cast is not None:
            self._tensors[tensor.name] = replace(self._tensors[inside.name], name=tensor.name)
            self._steps.append(Step("identity", cast.name, (tensor.name,), inside.name))
            self._entered.add(cast.name)

    def _integer(self, node: gs.Node) -> None:
        clamp = self._nodes.get(self._setup.fused.get(node.name, ""))
        result = (clamp or node).outputs[0]
        self._define(result, result.name in self._plan.tensors)
        bounds = self._bounds(clamp if clamp is not None else node, result.name)
        inputs = tuple(tensor.name for tensor in act_inputs(node, op_info(node.op)))
        kind = node_kind(node)
        if kind is OpClass.SOURCE:
            self._integers.source(node, quantization_of(self._plan, result.name, node.name))
            return
        if kind is OpClass.MOVE and len(inputs) == 1:
            self._integers.move(node, inputs[0], result.name)
            return
        if kind is OpClass.LAYER:
            step = self._layer(self._layers[node.name], inputs, result.name, bounds)
        elif kind is OpClass.MOVE:
            op, attrs, moves = mover_step(node)
            step = Step(op, node.name, inputs, result.name, attrs, table=moves)
        elif kind is OpClass.UNARY:
            source, target = self._plan.tensors[inputs[0]], self._plan.tensors[result.name]
            table = unary_table(node.op, {**node.attrs, "factor": scaling(node)}, source, target)
            step = Step("lut", node.name, inputs, result.name, table=table)
        elif kind is OpClass.METHOD:
            step = self._method(node, inputs, result.name)
        elif kind is OpClass.CLAMP:
            step = Step("requantize", node.name, inputs, result.name, lo=bounds[0], hi=bounds[1])
        else:
            op, attrs = _ARITHMETIC[node.op], _arithmetic_attrs(node)
            step = Step(op, node.name, inputs, result.name, attrs, lo=bounds[0], hi=bounds[1])
        self._steps.append(step)

    def _layer(
        self, layer: Layer, inputs: tuple[str, ...], result: str, bounds: tuple[int | None, int | None]
    ) -> Step:
        if layer.recurrent:
            weights = tuple(packed_weight(part, self._plan) for part in layer.parts)
            return recurrent_step(layer, self._plan, weights, Wiring(inputs, result, bounds))
        op = {"Conv": "conv", "ConvTranspose": "conv_transpose"}.get(layer.op, "gemm")
        op = "matmul" if layer.weight is None else op
        weight = None if layer.weight is None else packed_weight(layer, self._plan)
        bias = bias_codes(layer, self._plan)
        attrs = layer_attrs(layer)
        return Step(op, layer.name, inputs, result, attrs, weight, bias, lo=bounds[0], hi=bounds[1])

    def _method(self, node: gs.Node, inputs: tuple[str, ...], result: str) -> Step:
        constant = constant_operand(node)
        if constant is not None:
            operands = [*inputs, self._constant(constant)]
            if node.op == "Sub" and node.inputs[0] is constant:
                operands.reverse()
            return Step(node.op.lower(), node.name, tuple(operands), result)
        op, attrs, table = method_step(node, self._plan.tensors[inputs[0]])
        mask = hiding(node)
        if mask is not None:
            inputs = (*inputs, self._integers.tensor(mask.inputs[0]))
        return Step(op, node.name, inputs, result, attrs, table=table)

    def _constant(self, constant: gs.Constant) -> str:
        """Define a constant operand, once."""
        name, shape = str(constant.name), tuple(constant.shape)
        if name not in self._tensors:
            codes, scale = constant_codes(constant.values)
            self._tensors[name] = TensorInfo(name, shape, CONSTANT_BITS, signed=True, scale=scale)
            attrs: dict[str, Attr] = {"shape": list(shape)}
            self._steps.append(Step("constant", name, (), name, attrs, table=codes.reshape(-1)))
        return name

    def _float(self, node: gs.Node) -> None:
        """Carry on in floating point after the last integer step."""
        op = "identity" if casts_output(node, self._model.graph.outputs) else _FLOAT_TAIL.get(node.op)
        if op is None and node.op not in _FLOAT_MOVES:
            raise LoweringError(
                f"node {node.name} ({node.op}) has no integer form, so there is no packed artifact"
            )
        if any(tensor.name in self._plan.tensors for tensor in node.outputs):
            raise LoweringError(f"node {node.name} ({node.op}) is floating point between integer operators")
        name = self._as_float(node.inputs[0])
        self._define(node.outputs[0], quantized=False)
        attrs = softmax_attrs(node, self._model.graph.opset) if op else {}
        step, attrs, table = (op, attrs, None) if op else mover_step(node)
        self._steps.append(Step(step, node.name, (name,), node.outputs[0].name, attrs, table=table))

    def _as_float(self, tensor: gs.Variable) -> str:
        info = self._info(tensor)
        if info.is_float:
            return str(tensor.name)
        name = free_name(f"{tensor.name}.float", self._own_names)
        if name not in self._tensors:
            self._tensors[name] = TensorInfo(name, info.shape)
            self._steps.append(Step("requantize", name, (tensor.name,), name))
        return name

    def _info(self, tensor: gs.Tensor) -> TensorInfo:
        if tensor.name not in self._tensors:
            raise LoweringError(f"tensor {tensor.name!r} is not computed by the integer program")
        return self._tensors[tensor.name]

    def _define(self, tensor: gs.Variable, quantized: bool) -> None:
        shape = tensor.shape if tensor.shape is not None else ()
        extents = tuple(dim if isinstance(dim, int) and dim > 0 else None for dim in shape)
        if tensor.shape is None:
            raise LoweringError(f"tensor {tensor.name!r} has an unknown rank; the packed form needs it")
        if not quantized:
            self._tensors[tensor.name] = TensorInfo(tensor.name, extents)
            return
        quant = quantization_of(self._plan, tensor.name, tensor.name)
        fmt = quant.spec.format
        scale, zero = float(quant.params.scale), int(quant.params.zero_point)  # type: ignore[union-attr]
        self._tensors[tensor.name] = TensorInfo(tensor.name, extents, fmt.bits, fmt.signed, scale, zero)

    def _bounds(self, node: gs.Node, result: str) -> tuple[int | None, int | None]:
        """Return the codes of a Relu's or Clip's bounds; exact, because quantization is monotone."""
        if op_info(node.op).kind is not OpClass.CLAMP or result not in self._plan.tensors:
            return None, None
        quant = quantization_of(self._plan, result, result)
        low, high = clamp_bounds(node)
        return _code(low, quant), _code(high, quant)


def _stands_beside(node: gs.Node) -> bool:
    """Whether a node has no step of its own: a mask, or integers, which are computed where they are read."""
    return node_kind(node) is OpClass.MASK or all(tensor.dtype in INDEX_TYPES for tensor in node.outputs)


def _code(value: float | None, quant: TensorQuant) -> int | None:
    if value is None:
        return None
    return int(quantize(np.array(value, dtype=np.float32), quant.spec, quant.params))  # type: ignore[arg-type]


def _arithmetic_attrs(node: gs.Node) -> dict[str, Attr]:
    if node.op == "AveragePool":
        return pool_attrs(node)
    return reduce_attrs(node) if node.op in ("ReduceMean", "ReduceSum") else {}
