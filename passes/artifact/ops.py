"""The operations of an integer program: inputs, attributes and what belongs to each.

Every attribute is written out in the artifact, so that no default can drift between versions. Meanings are
those of the ONNX operator of the same name (opset 21) unless a comment says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

ANY_NUMBER = 1 << 16
INT64_MAX = (1 << 63) - 1
MAX_NORMALIZED = 1 << 14
"""Longest axis of a normalization: with 16-bit codes its sums of squares stay below 2**61."""


class Family(StrEnum):
    """What an operation does to numbers.

    Attributes:
        ARITHMETIC: computes on codes and rounds once to new codes, or yields float32.
        MOVER: copies values; its tensors share one set of parameters.
        FLOAT: float32 in, float32 out: the tail of a network.
        INDEX: reads integers that stand for themselves.
        CONSTANT: has no input.
    """

    ARITHMETIC = "arithmetic"
    MOVER = "mover"
    FLOAT = "float"
    INDEX = "index"
    CONSTANT = "constant"


@dataclass(frozen=True, slots=True)
class AttrSpec:
    """Values that an attribute may take: integers of a range, lists of such, or one of some words."""

    low: int = 0
    high: int = 0
    many: bool = False
    words: tuple[str, ...] = ()

    def admits(self, value: object) -> bool:
        """Whether the value is one of them."""
        if self.words:
            return value in self.words
        if not self.many:
            return self._in_range(value)
        return isinstance(value, list) and len(value) <= 64 and all(self._in_range(item) for item in value)

    def __str__(self) -> str:
        """Describe the values, for messages."""
        if self.words:
            return " or ".join(self.words)
        return f"{'integers' if self.many else 'an integer'} in {self.low}..{self.high}"

    def _in_range(self, value: object) -> bool:
        return type(value) is int and self.low <= value <= self.high


@dataclass(frozen=True, slots=True)
class OpSpec:
    """Signature of one operation.

    Attributes:
        family: what it does to numbers.
        inputs: least and greatest number of tensors read.
        attrs: every attribute by name; all are required.
        weight: whether it has packed weights and may have a bias.
        hidden_weight: whether it has packed weights for its state, too.
        table: whether it has a table of integers.
    """

    family: Family
    inputs: tuple[int, int] = (1, 1)
    attrs: dict[str, AttrSpec] = field(default_factory=dict)
    weight: bool = False
    table: bool = False
    hidden_weight: bool = False


_AXIS = AttrSpec(-8, 7)
_AXES = AttrSpec(-8, 7, many=True)
_FLAG = AttrSpec(0, 1)
_PADS = AttrSpec(0, 1 << 16, many=True)
_SIZES = AttrSpec(1, 1 << 16, many=True)
_EXTENTS = AttrSpec(0, 1 << 31, many=True)
_INDICES = AttrSpec(-INT64_MAX - 1, INT64_MAX, many=True)

_WINDOW = {"strides": _SIZES, "pads": _PADS, "dilations": _SIZES}
_CONV = {**_WINDOW, "group": AttrSpec(1, 1 << 24)}
_POOL = {**_WINDOW, "kernel_shape": _SIZES, "ceil_mode": _FLAG}

# `passes.artifact.recurrent` says what these compute; the bits of the state are those of its codes.
_RECURRENT = {"reverse": _FLAG, "state_bits": AttrSpec(2, 16)}


def _recurrent(**attrs: AttrSpec) -> OpSpec:
    return OpSpec(
        Family.ARITHMETIC, attrs={**_RECURRENT, **attrs}, weight=True, table=True, hidden_weight=True
    )


OPS: dict[str, OpSpec] = {
    "conv": OpSpec(Family.ARITHMETIC, attrs=_CONV, weight=True),
    "conv_transpose": OpSpec(Family.ARITHMETIC, attrs={**_CONV, "output_padding": _PADS}, weight=True),
    # Gemm, and MatMul whose right side is constant: rows x weight, whatever the leading axes.
    "gemm": OpSpec(Family.ARITHMETIC, weight=True),
    "lstm": _recurrent(),
    "gru": _recurrent(linear_before_reset=_FLAG),
    "rnn": _recurrent(),
    "matmul": OpSpec(Family.ARITHMETIC, inputs=(2, 2)),
    "add": OpSpec(Family.ARITHMETIC, inputs=(2, 2)),
    "sub": OpSpec(Family.ARITHMETIC, inputs=(2, 2)),
    "mul": OpSpec(Family.ARITHMETIC, inputs=(2, 2)),
    "div": OpSpec(Family.ARITHMETIC, inputs=(2, 2)),
    "concat": OpSpec(Family.ARITHMETIC, inputs=(1, ANY_NUMBER), attrs={"axis": _AXIS}),
    "average_pool": OpSpec(Family.ARITHMETIC, attrs={**_POOL, "count_include_pad": _FLAG}),
    "global_average_pool": OpSpec(Family.ARITHMETIC),
    "reduce_mean": OpSpec(Family.ARITHMETIC, attrs={"axes": _AXES, "keepdims": _FLAG}),
    "reduce_sum": OpSpec(Family.ARITHMETIC, attrs={"axes": _AXES, "keepdims": _FLAG}),
    # New parameters or bounds for the same values: also an unfused Relu or Clip, and the way to float32.
    "requantize": OpSpec(Family.ARITHMETIC),
    # Any function of one value: table[code - qmin] is the output code.
    "lut": OpSpec(Family.ARITHMETIC, table=True),
    # Softmax along the last axis: table[d] is 2**24 * exp(-d * scale), d codes below the greatest; where the
    # table has ended it is 0. Of the entries where the second input, one bit each and repeated along the
    # first, is 0, none has a share.
    "integer_softmax": OpSpec(Family.ARITHMETIC, inputs=(1, 2), table=True),
    # Normalization along the last axis, of `length`; with `center`, its mean is taken off before. The table
    # holds the gains, in units of 2**-gain_bits, and then the shifts, in units of 2**-(16 + gain_bits);
    # `epsilon` counts in squares of the input's scale over length**2.
    "layer_norm": OpSpec(
        Family.ARITHMETIC,
        attrs={
            "length": AttrSpec(1, MAX_NORMALIZED),
            "center": _FLAG,
            "gain_bits": AttrSpec(0, 62),
            "epsilon": AttrSpec(0, 1 << 60),
        },
        table=True,
    ),
    # Rows of the weight, whose numbers are those of the output, by the integers of the input.
    "embedding": OpSpec(Family.INDEX, weight=True),
    # 1 where an integer is not 0.
    "nonzero": OpSpec(Family.INDEX),
    # The first elements along `axes`, as many as the second input has along `like_axes`.
    "trim": OpSpec(Family.MOVER, inputs=(2, 2), attrs={"axes": _AXES, "like_axes": _AXES}),
    # Extents from `shape`, as for reshape, or where `like_axes` is not -1 from that axis of the second input.
    "reshape_like": OpSpec(
        Family.MOVER,
        inputs=(2, 2),
        attrs={"shape": AttrSpec(-1, 1 << 31, many=True), "like_axes": AttrSpec(-1, 7, many=True)},
    ),
    "max_pool": OpSpec(Family.MOVER, attrs=_POOL),
    "identity": OpSpec(Family.MOVER),
    # 0 keeps an extent and -1 infers it, as with allowzero = 0.
    "reshape": OpSpec(Family.MOVER, attrs={"shape": AttrSpec(-1, 1 << 31, many=True)}),
    "flatten": OpSpec(Family.MOVER, attrs={"axis": AttrSpec(-8, 8)}),
    "transpose": OpSpec(Family.MOVER, attrs={"perm": AttrSpec(0, 7, many=True)}),
    "squeeze": OpSpec(Family.MOVER, attrs={"axes": _AXES}),
    "unsqueeze": OpSpec(Family.MOVER, attrs={"axes": _AXES}),
    "slice": OpSpec(
        Family.MOVER, attrs={"starts": _INDICES, "ends": _INDICES, "axes": _AXES, "steps": _INDICES}
    ),
    # With the input's zero point, first the begin of every axis and then the end.
    "pad": OpSpec(Family.MOVER, attrs={"pads": _PADS}),
    # The table holds the indices, row by row; `shape` is theirs and may be empty.
    "gather": OpSpec(Family.MOVER, attrs={"axis": _AXIS, "shape": _EXTENTS}, table=True),
    # Nearest neighbour: the table holds, axis after axis, the input position of every output position.
    "resize": OpSpec(Family.MOVER, attrs={"axes": _AXES, "sizes": _SIZES}, table=True),
    # Nearest neighbour by whole factors: every element is repeated, whatever the extents are.
    "upsample": OpSpec(Family.MOVER, attrs={"axes": _AXES, "factors": _SIZES}),
    "depth_to_space": OpSpec(
        Family.MOVER, attrs={"blocksize": AttrSpec(1, 1 << 16), "mode": AttrSpec(words=("DCR", "CRD"))}
    ),
    "expand": OpSpec(Family.MOVER, attrs={"shape": _EXTENTS}),
    "softmax": OpSpec(Family.FLOAT, attrs={"axis": _AXIS}),
    "log_softmax": OpSpec(Family.FLOAT, attrs={"axis": _AXIS}),
    "sigmoid": OpSpec(Family.FLOAT),
    # The table holds the codes, row by row.
    "constant": OpSpec(Family.CONSTANT, inputs=(0, 0), attrs={"shape": _EXTENTS}, table=True),
}
