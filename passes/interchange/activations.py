"""Takes QuantizeLinear -> [Clip] -> DequantizeLinear off activations, and keeps what they say."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from onnx import helper

from passes.errors import ModelError
from passes.interchange.quantizer import (
    Quantizer,
    format_between,
    is_dequantize,
    is_quantize,
    read_quantizer,
)
from passes.ir.plan import Role, TensorQuant
from passes.numerics import SUPPORTED_BITS, IntFormat, PerTensor, QuantParams, QuantSpec

if TYPE_CHECKING:
    import onnx

    from passes.interchange.network import Network


@dataclass
class Found:
    """What was read out of a model so far.

    Attributes:
        acts: quantization of activations, by name.
        weights: quantization of constant weights, with codes, by name.
        kept: nodes that stay as they are, with the reason, by name.
        unread: constants that may not be needed any more.
    """

    acts: dict[str, TensorQuant] = field(default_factory=dict)
    weights: dict[str, TensorQuant] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)
    unread: set[str] = field(default_factory=set)


@dataclass
class _Chain:
    """One QuantizeLinear and what stands behind it, up to its DequantizeLinear nodes.

    Attributes:
        limits: codes between which it saturates beyond what its format does, or ``None``.
    """

    quantizer: Quantizer
    clips: list[onnx.NodeProto]
    ends: list[onnx.NodeProto]
    format: IntFormat
    limits: tuple[int, int] | None


def take_activations(network: Network, found: Found) -> None:
    """Remove the pairs of a graph; readers then read the float tensors in front of them.

    A Clip between the two that leaves the codes of a narrower format means that format; any other becomes a
    Clip of the float tensor. Values that are quantized again, with other numbers, go through a Clip without
    bounds in between, which stands for the second rounding.

    Args:
        network: with a QuantizeLinear behind tensors only, not behind constants; it is changed.
        found: where to put what was read.

    Raises:
        ModelError: one tensor is quantized in two ways at once.
    """
    renamed: dict[str, str] = {}
    replaced: dict[str, list[onnx.NodeProto]] = {}
    for node in network.nodes:
        if not is_quantize(node):
            continue
        chain = _chain(node, network) if not network.is_constant(node.input[0]) else "it reads a constant"
        if isinstance(chain, str):
            found.kept[node.name] = chain
            continue
        source = renamed.get(node.input[0], node.input[0])
        added = _place(node, chain, source, network, found)
        target = added[-1].output[0] if added else source
        replaced |= {node.name: added} | {it.name: [] for it in (*chain.clips, *chain.ends)}
        renamed.update({it.output[0]: target for it in chain.ends})
        found.unread.update(name for it in (node, *chain.clips, *chain.ends) for name in it.input[1:])
    nodes = [made for node in network.nodes for made in replaced.get(node.name, [node])]
    network.replace(nodes)
    _keep_output_names(network, renamed, found)
    network.redirect(renamed)


def activation_quant(fmt: IntFormat, quantizer: Quantizer) -> TensorQuant:
    """Return the decision for an activation, per tensor."""
    params = QuantParams(quantizer.scale.reshape(()), quantizer.zero.reshape(()).astype(np.int32))
    symmetric = fmt.signed and not quantizer.zero.any()
    return TensorQuant(Role.ACT, QuantSpec(fmt, PerTensor(), symmetric), params)


def whole_format(quantizer: Quantizer) -> IntFormat | None:
    """Return the format that fills the element type of the codes, or ``None`` when there is none."""
    return IntFormat(quantizer.bits, quantizer.signed) if quantizer.bits in SUPPORTED_BITS else None


def _chain(node: onnx.NodeProto, network: Network) -> _Chain | str:
    quantizer = read_quantizer(node, network)
    if isinstance(quantizer, str):
        return quantizer
    fmt = whole_format(quantizer)
    if not quantizer.per_tensor or fmt is None:
        return "activations of several scales, or of 32 bits, have no place in a plan"
    codes, clips, ends_of_type, bounds = node.output[0], [], (fmt.qmin, fmt.qmax), None
    while (clip := network.sole_reader(codes)) is not None and clip.op_type == "Clip":
        limits = [network.constant(name) if name else None for name in [*clip.input[1:], "", ""][:2]]
        pairs = zip(clip.input[1:], limits, strict=False)
        if any(name and (limit is None or limit.size != 1) for name, limit in pairs):
            return "the bounds of its codes are computed at run time"
        low, high = (
            end if it is None else int(it.item()) for it, end in zip(limits, ends_of_type, strict=True)
        )
        narrower = format_between(low, high, fmt.signed)
        if narrower is not None and low <= int(quantizer.zero.reshape(-1)[0]) <= high:
            fmt = min(fmt, narrower)
        else:
            bounds = (low, high) if bounds is None else (max(bounds[0], low), min(bounds[1], high))
        clips.append(clip)
        codes = clip.output[0]
    ends = network.readers(codes)
    if codes in network.outputs or not ends or not all(map(is_dequantize, ends)):
        return "something other than a DequantizeLinear reads its codes"
    others = [read_quantizer(it, network) for it in ends]
    if not all(isinstance(it, Quantizer) and it.same(quantizer) for it in others):
        return "its DequantizeLinear has other numbers"
    return _Chain(quantizer, clips, ends, fmt, bounds)


def _place(
    node: onnx.NodeProto, chain: _Chain, source: str, network: Network, found: Found
) -> list[onnx.NodeProto]:
    """Note the quantization of a tensor; return the nodes in front of it that stand for saturation."""
    quant = activation_quant(chain.format, chain.quantizer)
    name = network.base_name(node.output[0])
    # Where a Clip went into the saturation of its codes, they have the name of what it wrote.
    absorbed = name is not None and (node.name, node.output[0]) == (f"{name}.quantize", f"{name}.q")
    plain = chain.limits is None and not absorbed
    if plain and found.acts.setdefault(source, quant) == quant:
        return []
    if plain and source == node.input[0]:
        raise ModelError(
            f"tensor {source!r} is quantized in two ways at once (by {node.name!r} and another node); "
            "expected one scale for a tensor: give both readers the same"
        )
    name = network.fresh(name or f"{source}.limited")
    found.acts[name] = quant
    clip = network.fresh(f"{name}.requantize") if chain.limits is None else chain.clips[0].name
    bounds = [] if chain.limits is None and not absorbed else _float_bounds(name, chain, network)
    return [helper.make_node("Clip", [source, *bounds], [name], clip)]


def _float_bounds(name: str, chain: _Chain, network: Network) -> list[str]:
    whole = whole_format(chain.quantizer) or chain.format
    scale, zero = chain.quantizer.scale.reshape(()), int(chain.quantizer.zero.reshape(-1)[0])
    return [
        network.add_constant(f"{name}.{label}", np.float32(bound - zero) * scale)
        for label, bound in zip(("least", "most"), chain.limits or (whole.qmin, whole.qmax), strict=True)
    ]


def _keep_output_names(network: Network, renamed: dict[str, str], found: Found) -> None:
    """Let results of the model that were dequantized keep their names."""
    inputs = {value.name for value in network.proto.graph.input}
    for name in sorted(network.outputs & renamed.keys()):
        source = renamed[name]
        if source in inputs or source in network.outputs:
            identity = helper.make_node("Identity", [source], [name], network.fresh(f"{name}.identity"))
            network.replace([*network.nodes, identity])
            del renamed[name]
            continue
        for it in network.nodes:
            it.output[:] = [name if out == source else out for out in it.output]
        renamed.update({key: name for key, value in renamed.items() if value == source} | {source: name})
        del renamed[name]
        found.acts[name] = found.acts.pop(source)
