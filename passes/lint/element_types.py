"""Element types, in the groups that ONNX Runtime treats alike."""

from __future__ import annotations

from onnx import TensorProto

INT2 = frozenset({TensorProto.INT2, TensorProto.UINT2})
INT4 = frozenset({TensorProto.INT4, TensorProto.UINT4})
INT8 = frozenset({TensorProto.INT8, TensorProto.UINT8})
INT16 = frozenset({TensorProto.INT16, TensorProto.UINT16})
FLOAT8 = frozenset({
    TensorProto.FLOAT8E4M3FN, TensorProto.FLOAT8E4M3FNUZ, TensorProto.FLOAT8E5M2, TensorProto.FLOAT8E5M2FNUZ,
})  # fmt: skip
NO_KERNEL = frozenset({TensorProto.FLOAT4E2M1, TensorProto.FLOAT8E8M0})
NARROW = INT2 | INT4 | FLOAT8
"""Types of codes that the optimizer takes for 8-bit integers here and there, though the kernels have none."""
FLOATS = frozenset({TensorProto.FLOAT, TensorProto.FLOAT16})
GROUPS = (INT2, INT4, INT8, INT16, FLOAT8)


def alike(first: int, second: int) -> bool:
    """Tell whether two types differ in their sign at most."""
    return any(first in group and second in group for group in GROUPS)


def type_name(kind: int) -> str:
    """Return the name of a type; its number where it is unknown."""
    names: dict[int, str] = {number: name for name, number in TensorProto.DataType.items()}
    return names.get(kind, f"type {kind}")
