"""Matrix products of a model file that can read weights in blocks, and the nodes that do so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import onnx
from onnx import TensorProto, helper

from passes.lowering.nbits import DOMAIN, FLOATS

if TYPE_CHECKING:
    from passes.lowering.streamed_blocks import BlockFormat

KINDS = (TensorProto.FLOAT, TensorProto.FLOAT16)


@dataclass(frozen=True, slots=True)
class Product:
    """A MatMul or Gemm with a constant matrix.

    Attributes:
        node: its name, or where that is empty its first output.
        weight: name of the matrix.
        transposed: the matrix has shape (outputs, inputs).
        depth: inputs.
        channels: outputs.
    """

    node: str
    weight: str
    transposed: bool
    depth: int
    channels: int


def find_products(graph: onnx.GraphProto) -> tuple[tuple[Product, ...], dict[str, str]]:
    """Return the products of the main graph that can be quantized, and why others cannot, by node."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    shared = _other_readers(graph)
    found: list[Product] = []
    kept: dict[str, str] = {}
    for node in graph.node:
        if (
            node.op_type not in ("MatMul", "Gemm")
            or node.domain not in ("", "ai.onnx")
            or len(node.input) < 2
        ):
            continue
        weight = constants.get(node.input[1])
        reason = _obstacle(node, weight, shared)
        if reason or weight is None:
            kept[_name(node)] = reason
            continue
        transposed = bool(_attribute(node, "transB", 0))
        depth, channels = weight.dims[::-1] if transposed else weight.dims
        found.append(Product(_name(node), weight.name, transposed, depth, channels))
    return tuple(found), kept


def use_blocks(proto: onnx.ModelProto, products: tuple[Product, ...], fmt: BlockFormat) -> None:
    """Let the products of a model read ``NAME.blocks`` and ``NAME.scales`` in place of their weights."""
    by_name = {product.node: product for product in products}
    nodes = list(proto.graph.node)
    del proto.graph.node[:]
    for node in nodes:
        product = by_name.get(_name(node))
        proto.graph.node.extend([node] if product is None else _replaced(node, product, fmt))
    if DOMAIN not in {entry.domain for entry in proto.opset_import}:
        proto.opset_import.append(helper.make_opsetid(DOMAIN, 1))


def _replaced(node: onnx.NodeProto, product: Product, fmt: BlockFormat) -> list[onnx.NodeProto]:
    bias = [name for name in node.input[2:] if name]
    result = f"{node.output[0]}.product" if bias else node.output[0]
    inputs = [node.input[0], f"{product.weight}.blocks", f"{product.weight}.scales"]
    sizes = {"K": product.depth, "N": product.channels, "bits": fmt.bits, "block_size": fmt.size}
    new = helper.make_node(
        "MatMulNBits", inputs, [result], product.node, domain=DOMAIN, accuracy_level=FLOATS
    )
    new.attribute.extend(helper.make_attribute(key, value) for key, value in sizes.items())
    added = [helper.make_node("Add", [result, *bias], list(node.output), f"{product.node}.bias")]
    return [new, *(added if bias else [])]


def _is_product(node: onnx.NodeProto) -> bool:
    return node.op_type in ("MatMul", "Gemm") and node.domain in ("", "ai.onnx") and len(node.input) > 1


def _obstacle(  # noqa: PLR0911 - one return per reason
    node: onnx.NodeProto, weight: onnx.TensorProto | None, shared: set[str]
) -> str:
    if weight is None:
        return "its weights are computed at run time"
    if len(weight.dims) != 2 or min(weight.dims) < 1:
        return f"its constant has rank {len(weight.dims)}; rank 2 is supported"
    raw = weight.HasField("raw_data") or weight.data_location == TensorProto.EXTERNAL
    if weight.data_type not in KINDS or not raw:
        return "its weights are not stored as float32 or float16"
    if weight.name in shared:
        return "its weights are read by another operator as well, or in another layout"
    if _attribute(node, "transA", 0) or _attribute(node, "alpha", 1) != 1:
        return "Gemm with a transposed activation, or with a factor"
    if len(node.input) > 2 and node.input[2] and _attribute(node, "beta", 1) != 1:
        return "Gemm with a factor of its bias"
    return ""


def _other_readers(graph: onnx.GraphProto) -> set[str]:
    """Return what is read otherwise than as a weight, or in two layouts, or is a result or input as well."""
    layouts: dict[str, set[object]] = {}
    for node in graph.node:
        product = _is_product(node)
        for place, name in enumerate(node.input):
            layout = _attribute(node, "transB", 0) if product and place == 1 else "other"
            layouts.setdefault(name, set()).add(layout)
        for name in _read_inside(node):
            layouts.setdefault(name, set()).add("other")
    for value in (*graph.output, *graph.input):
        layouts.setdefault(value.name, set()).add("other")
    return {name for name, found in layouts.items() if len(found) > 1 or "other" in found}


def _read_inside(node: onnx.NodeProto) -> set[str]:
    """Return what the bodies of a node read."""
    bodies = [body for it in node.attribute for body in (it.g, *it.graphs)]
    inner = [child for body in bodies for child in body.node]
    names = {name for child in inner for name in child.input}
    names |= {value.name for body in bodies for value in body.output}
    return names.union(*map(_read_inside, inner))


def _attribute(node: onnx.NodeProto, name: str, default: float) -> float:
    found = [it for it in node.attribute if it.name == name]
    return helper.get_attribute_value(found[0]) if found else default


def _name(node: onnx.NodeProto) -> str:
    return node.name or (node.output[0] if node.output else "")
