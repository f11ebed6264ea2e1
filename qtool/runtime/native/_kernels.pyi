"""Types of the extension module; native/python/*.cpp defines it. Arrays must be C-contiguous."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Pair = tuple[int, int]

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
    ) -> None: ...

class WindowShape:
    def __init__(self, kernel: Pair, strides: Pair, dilations: Pair, pads: Pair) -> None: ...

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
    def max_pool(self, window: WindowShape, lowest: int, x: NDArray[np.uint8], out: NDArray[Any]) -> None: ...
    def average_pool(
        self,
        window: WindowShape,
        by_count: list[Epilogue | None],
        padding_counts: bool,
        end_pads: Pair,
        zero_point: int,
        x: NDArray[np.uint8],
        out: NDArray[Any],
    ) -> None: ...
    def sum(self, layer: Sum, a: NDArray[np.uint8], b: NDArray[np.uint8], out: NDArray[Any]) -> None: ...
    def product(
        self,
        epilogue: Epilogue,
        zero_a: int,
        zero_b: int,
        a: NDArray[np.uint8],
        b: NDArray[np.uint8],
        out: NDArray[Any],
    ) -> None: ...
    def copy(
        self, x: NDArray[np.uint8], table: NDArray[np.uint8] | None, out: NDArray[np.uint8], column: int
    ) -> None: ...
