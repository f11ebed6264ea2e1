"""Quantize and dequantize float tensors in ONNX Runtime: on all threads, with parameters as inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto, helper

from passes.execution.session import Level, Session
from passes.numerics import fake_quantize

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from passes.numerics import QuantParams, QuantSpec

OPSET, IR = 13, 8


class FakeQuantizer:
    """Rounds activations as the lowered model does, bit for bit."""

    def __init__(self, threads: int = 0) -> None:
        """Build the session: QuantizeLinear, Clip, DequantizeLinear (opset 13), codes in UINT8."""
        scalars = [
            ("scale", TensorProto.FLOAT),
            *((name, TensorProto.UINT8) for name in ("zero", "low", "high")),
        ]
        nodes = [
            helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
            helper.make_node("Clip", ["q", "low", "high"], ["clipped"]),
            helper.make_node("DequantizeLinear", ["clipped", "scale", "zero"], ["y"]),
        ]
        graph = helper.make_graph(
            nodes,
            "fake_quantize",
            [
                helper.make_tensor_value_info("x", TensorProto.FLOAT, None),
                *(helper.make_tensor_value_info(name, kind, []) for name, kind in scalars),
            ],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        )
        opsets = [helper.make_opsetid("", OPSET)]
        proto = helper.make_model(graph, opset_imports=opsets, ir_version=IR)
        self._session = Session(proto, Level.BASIC, threads, small=True)

    def __call__(self, values: NDArray[Any], spec: QuantSpec, params: QuantParams) -> NDArray[np.float32]:
        """Return rounded values; formats of more than 8 bits are rounded by numpy.

        Args:
            values: float32, any shape.
            spec: per tensor.
            params: its scale and zero point.
        """
        if spec.format.bits > 8:
            return fake_quantize(values, spec, params)
        lowest = spec.format.qmin
        codes = {"zero": int(params.zero_point) - lowest, "low": 0, "high": spec.format.qmax - lowest}
        feeds = {name: np.array(code, dtype=np.uint8) for name, code in codes.items()}
        return self._session.run({"x": values, "scale": np.asarray(params.scale), **feeds})[0]
