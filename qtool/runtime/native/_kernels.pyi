"""Types of the extension module; native/python/*.cpp defines it. Arrays must be C-contiguous."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Pair = tuple[int, int]
Triple = tuple[int, int, int]

def supported() -> list[str]: ...
def quantize(
    x: NDArray[np.float32], scale: float, zero_point: int, lo: int, hi: int, out: NDArray[np.uint8]
) -> None: ...

class Epilogue:
    def __init__(
        self,
        rule: str,
        rounding: str,
        factor: NDArray[np.float64],
        divisor: NDArray[np.float64],
        multiplier: NDArray[np.int32],
        shift: NDArray[np.int32],
        zero_point: int,
        lo: int,
        hi: int,
        largest: int,
        code_bytes: int,
    ) -> None: ...

class Gemm:
    def __init__(
        self,
        weights: NDArray[np.uint8],
        bits: int,
        n: int,
        k: int,
        groups: int,
        act_max: int,
        zero: NDArray[np.int32],
        sums: NDArray[np.int64],
        input_zero: int,
        bias: NDArray[np.int64],
        epilogue: Epilogue,
    ) -> None: ...
    def set_runs(self, size: int, inner: int, multiplier: NDArray[np.int32]) -> None: ...

class Depthwise:
    def __init__(
        self, weights: NDArray[np.int16], input_zero: int, bias: NDArray[np.int64], epilogue: Epilogue
    ) -> None: ...

class Sum:
    def __init__(
        self,
        rule: str,
        rounding: str,
        left: float,
        right: float,
        factor: float,
        divisor: float,
        zero_a: int,
        zero_b: int,
        zero_point: int,
        lo: int,
        hi: int,
        code_bytes: int,
    ) -> None: ...
    def set_gemmlowp(
        self,
        left: int,
        left_shift: int,
        right: int,
        right_shift: int,
        result: int,
        result_shift: int,
        sign: int,
        raised: int,
    ) -> None: ...

class Combination:
    def __init__(self, weights: NDArray[np.float64], bias: NDArray[np.int64], epilogue: Epilogue) -> None: ...

class LayerNorm:
    def __init__(
        self,
        gains: NDArray[np.float64],
        shifts: NDArray[np.float64],
        centred: bool,
        epsilon: int,
        zero_point: int,
        epilogue: Epilogue,
    ) -> None: ...

class Softmax:
    def __init__(
        self, powers: NDArray[np.int32], reciprocal: int, zero_point: int, lo: int, hi: int
    ) -> None: ...

class Rescale:
    def __init__(
        self, multiplier: NDArray[np.int32], shift: NDArray[np.int32], bias: NDArray[np.int64]
    ) -> None: ...

class Recurrent:
    def __init__(
        self,
        cell: str,
        input: Rescale,
        state: Rescale,
        table: NDArray[np.int32],
        levels: int,
        epilogue: Epilogue,
        product: Gemm,
        last: Gemm | None,
    ) -> None: ...

class WindowShape:
    def __init__(self, kernel: Triple, strides: Triple, dilations: Triple, pads: Triple) -> None: ...

class Executor:
    def __init__(self, isa: str, threads: int) -> None: ...
    @property
    def isa(self) -> str: ...
    @property
    def threads(self) -> int: ...
    def column_sums(
        self,
        weights: NDArray[np.uint8],
        bits: int,
        n: int,
        k: int,
        zero: NDArray[np.int32],
        sums: NDArray[np.int64],
        magnitudes: NDArray[np.int64],
    ) -> None: ...
    def gemm(self, layer: Gemm, x: NDArray[np.uint8], out: NDArray[Any]) -> None: ...
    def conv(
        self, layer: Gemm, window: WindowShape, pad_value: int, x: NDArray[np.uint8], out: NDArray[Any]
    ) -> None: ...
    def depthwise(
        self, layer: Depthwise, window: WindowShape, pad_value: int, x: NDArray[np.uint8], out: NDArray[Any]
    ) -> None: ...
    def max_pool(self, window: WindowShape, x: NDArray[Any], out: NDArray[Any]) -> None: ...
    def average_pool(
        self,
        window: WindowShape,
        by_count: list[Epilogue | None],
        padding_counts: bool,
        end_pads: Triple,
        zero_point: int,
        x: NDArray[Any],
        out: NDArray[Any],
    ) -> None: ...
    def sum(self, layer: Sum, a: NDArray[Any], b: NDArray[Any], out: NDArray[Any]) -> None: ...
    def combine(self, layer: Combination, parts: list[NDArray[np.int32]], out: NDArray[Any]) -> None: ...
    def product(
        self,
        epilogue: Epilogue,
        zero_a: int,
        zero_b: int,
        a: NDArray[Any],
        b: NDArray[Any],
        out: NDArray[Any],
    ) -> None: ...
    def matmul(
        self,
        epilogue: Epilogue,
        left_max: int,
        zeros: Pair,
        pairs: NDArray[np.int32],
        a: NDArray[np.uint8],
        b: NDArray[np.uint8],
        out: NDArray[Any],
    ) -> None: ...
    def softmax(self, layer: Softmax, x: NDArray[Any], out: NDArray[Any]) -> None: ...
    def masked_softmax(
        self,
        layer: Softmax,
        kept: NDArray[np.uint8],
        rows: NDArray[np.int32],
        x: NDArray[Any],
        out: NDArray[Any],
    ) -> None: ...
    def recurrent(
        self, layer: Recurrent, sums: NDArray[np.int32], reverse: bool, out: NDArray[Any]
    ) -> None: ...
    def layer_norm(self, layer: LayerNorm, x: NDArray[Any], out: NDArray[Any]) -> None: ...
    def copy(
        self, x: NDArray[np.uint8], table: NDArray[np.uint8] | None, out: NDArray[np.uint8], column: int
    ) -> None: ...
