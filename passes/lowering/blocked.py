"""Weights with a scale for each group as blocked DequantizeLinear (opset 21)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import helper, numpy_helper

from passes.errors import LoweringError
from passes.lowering.encoding import codes_tensor
from passes.lowering.made_names import made
from passes.numerics import PerGroup

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from passes.ir.plan import TensorQuant
    from passes.lowering.encoding import Encoding


def must_detach(encoding: Encoding) -> bool:
    """Return whether a Reshape must stand between a blocked weight of this encoding and its layer.

    ONNX Runtime 1.31 fuses blocked weights of 8 or 2 bits into kernels that know no blocks, and then fails to
    load or to run them. It leaves those of 4 bits alone as long as the activations are quantized too.
    """
    return encoding.bits != 4


def blocked_dequantize(
    name: str, quant: TensorQuant, codes: NDArray[np.integer], encoding: Encoding
) -> tuple[onnx.NodeProto, list[onnx.TensorProto]]:
    """Return the node ``NAME.dequantize``, which writes ``NAME.dq``, and its initializers.

    The last block of an axis may be shorter than the others, as in ONNX. A weight that must be detached gets
    another axis, of one element, at its end, so that the Reshape behind it is no identity.

    Args:
        name: of the weight.
        quant: per group, with parameters.
        codes: in ONNX layout.
        encoding: element type.

    Raises:
        LoweringError: the weight has no groups or no scales.
    """
    granularity = quant.spec.granularity
    if not isinstance(granularity, PerGroup) or quant.params is None:
        raise LoweringError(f"weight {name!r}: expected a scale for each group, found {granularity}")
    scale = np.asarray(quant.params.scale)
    if must_detach(encoding):
        codes, scale = codes[..., None], scale[..., None]
    tensors = [
        codes_tensor(made(name, "q"), codes, encoding),
        numpy_helper.from_array(np.ascontiguousarray(scale), made(name, "scale")),
        codes_tensor(made(name, "zero_point"), np.zeros(scale.shape, np.int32), encoding),
    ]
    node = helper.make_node(
        "DequantizeLinear",
        [tensor.name for tensor in tensors],
        [made(name, "dq")],
        name=made(name, "dequantize"),
        axis=granularity.axis,
        block_size=granularity.size,
    )
    return node, tensors
