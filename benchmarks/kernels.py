"""Measures the native kernels against ONNX Runtime's quantized operators, in turns in one process.

    python benchmarks/kernels.py [--rounds 15] [--isa auto] [--threads 1] [--only gemm]

Every round runs the baseline and the kernel one after the other; a ratio is the median over the rounds of
baseline by kernel, so above 1 the kernel is faster. The kernels requantize to 8 bits; MatMulInteger does not.
Without VNNI, ONNX Runtime saturates sums of two products of uint8 with int8 and is then not exact:
uint8 weights are the exact baseline there. Writes benchmarks/results/kernels.json and prints a table.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

sys.path.insert(0, str(Path(__file__).resolve().parent))

from environment import environment
from peers import peer_versions, torch_convs, torch_gemms

from passes.artifact import PackedWeight, Step, TensorInfo, WeightLayout
from passes.numerics import IntFormat, Rounding
from qtool.runtime.native import make_executor
from qtool.runtime.native.conv import conv, gemm
from qtool.runtime.node import Node

RESULTS = Path(__file__).resolve().parent / "results" / "kernels.json"
GEMMS = ((128, 768, 768), (49, 960, 320))
CONVS = (
    ("3x3 64 56x56", 64, 64, 3, 56, 1),
    ("1x1 64 56x56", 64, 64, 1, 56, 1),
    ("1x1 960-320 7x7", 960, 320, 1, 7, 1),
    ("depthwise 3x3 96 112x112", 96, 96, 3, 112, 96),
)
VECTOR = 4096
VECTOR_BYTES = 128 << 20
"""Weights that one round of the vector product reads, so that they come from memory and not from a cache."""
BLOCK = 128
ROUND_S = 0.02

Run = Callable[[], object]


@dataclass(frozen=True)
class Row:
    """One line of the table: median ratio, and seconds of the fastest round."""

    case: str
    weight_bits: int
    baseline: str
    ratio: float
    baseline_s: float
    kernel_s: float


def seconds(run: Run, repeats: int) -> float:
    """Wall-clock time of one run, averaged."""
    start = time.perf_counter()
    for _ in range(repeats):
        run()
    return (time.perf_counter() - start) / repeats


def versus(case: str, bits: int, name: str, baseline: Run, kernel: Run, rounds: int) -> Row:
    """Run both in turns."""
    repeats = [max(1, int(ROUND_S / seconds(run, 2))) for run in (baseline, kernel)]
    pairs = [(seconds(baseline, repeats[0]), seconds(kernel, repeats[1])) for _ in range(rounds)]
    fastest = [min(column) for column in zip(*pairs, strict=True)]
    return Row(case, bits, name, median(old / new for old, new in pairs), *fastest)


def session(op: str, domain: str, x: np.ndarray, constants: list[np.ndarray | None], **attrs: object) -> Run:
    """Return a run of one operator of ONNX Runtime, with bound input and output, on one thread."""
    names = ["" if array is None else f"c{index}" for index, array in enumerate(constants)]
    fixed = [numpy_helper.from_array(a, n) for a, n in zip(constants, names, strict=True) if a is not None]
    node = helper.make_node(op, ["x", *names], ["y"], domain=domain, **attrs)
    kind = TensorProto.FLOAT if x.dtype == np.float32 else TensorProto.UINT8
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", kind, x.shape)],
        [helper.make_tensor_value_info("y", TensorProto.INT32 if op == "MatMulInteger" else kind, None)],
        fixed,
    )
    opsets = [helper.make_opsetid("", 19), helper.make_opsetid("com.microsoft", 1)]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    made = onnxruntime.InferenceSession(
        helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString(),
        options,
        providers=["CPUExecutionProvider"],
    )
    binding = made.io_binding()
    binding.bind_cpu_input("x", x)
    binding.bind_output("y")
    return lambda: made.run_with_iobinding(binding)


def node_of(op: str, rank: int, codes: np.ndarray, bits: int, layout: WeightLayout, **attrs: object) -> Node:
    """A step with unsigned activations of 8 bits and signed weights of one scale for each channel."""
    scale = np.full(codes.shape[0], 0.0625)
    weight = PackedWeight.pack(
        codes,
        name="w",
        layout=layout,
        fmt=IntFormat(bits),
        scale=scale,
        zero_point=np.zeros(codes.shape[0], np.int64),
    )
    x = TensorInfo("x", (None,) * rank, 8, False, 0.03125, 128)
    y = TensorInfo("y", (None,) * rank, 8, False, 1.5, 128)
    return Node(Step(op, "step", ("x",), "y", dict(attrs), weight), (x,), y, Rounding.HALF_EVEN)


def weights(rng: np.random.Generator, shape: tuple[int, ...], bits: int) -> np.ndarray:
    """Signed weights that use all of their bits."""
    return rng.integers(-(1 << (bits - 1)), 1 << (bits - 1), shape)


def gemm_rows(rng: np.random.Generator, executor: object, rounds: int) -> Iterator[Row]:
    """Matrix products against MatMulInteger with weights of either sign."""
    for m, k, n in GEMMS:
        x = rng.integers(0, 256, (m, k)).astype(np.uint8)
        for kind in (np.int8, np.uint8):
            low, high = np.iinfo(kind).min, np.iinfo(kind).max
            right = rng.integers(low, high + 1, (k, n)).astype(kind)
            baseline = session("MatMulInteger", "", x, [right, np.array(128, np.uint8)])
            for bits in (2, 4, 8):
                node = node_of("gemm", 2, weights(rng, (n, k), bits), bits, WeightLayout.OUT_IN)
                kernel = gemm(node, executor)
                name = f"MatMulInteger {np.dtype(kind)} weights"
                yield versus(f"gemm {m}x{k}x{n}", bits, name, baseline, partial(kernel, x), rounds)
        codes = weights(rng, (n, k), 8)
        kernel = gemm(node_of("gemm", 2, codes, 8, WeightLayout.OUT_IN), executor)
        for engine, baseline in torch_gemms(x, codes.astype(np.int8)).items():
            name = f"torch quantized::linear ({engine})"
            yield versus(f"gemm {m}x{k}x{n}", 8, name, baseline, partial(kernel, x), rounds)


def vector_rows(rng: np.random.Generator, executor: object, rounds: int) -> Iterator[Row]:
    """One row times 128 MB of 8-bit weights, or as many weights of fewer bits."""
    layers = VECTOR_BYTES // VECTOR**2
    x, real = rng.integers(0, 256, (1, VECTOR)).astype(np.uint8), np.ones((1, VECTOR), np.float32)
    right = [rng.integers(-64, 64, (VECTOR, VECTOR)).astype(np.int8) for _ in range(layers)]
    baseline = in_turn([session("MatMulInteger", "", x, [w, np.array(128, np.uint8)]) for w in right])
    four = in_turn([four_bits(rng, real) for _ in range(layers)])
    for bits in (8, 4, 2):
        codes = weights(rng, (VECTOR, VECTOR), bits)
        nodes = [node_of("gemm", 2, codes, bits, WeightLayout.OUT_IN) for _ in range(layers)]
        kernel = in_turn([partial(gemm(node, executor), x) for node in nodes])
        case = f"gemv {VECTOR}x{VECTOR}, {layers} layers"
        yield versus(case, bits, "MatMulInteger int8 weights", baseline, kernel, rounds)
        if bits == 4:
            yield versus(case, bits, f"MatMulNBits 4 bits, block {BLOCK}", four, kernel, rounds)


def four_bits(rng: np.random.Generator, x: np.ndarray) -> Run:
    """ONNX Runtime's product of float activations and 4-bit weights, computed in 8 bits."""
    blocks = VECTOR // BLOCK
    data = rng.integers(0, 256, (VECTOR, blocks, BLOCK // 2)).astype(np.uint8)
    scales = np.full(VECTOR * blocks, 0.01, np.float32)
    sizes = {"K": VECTOR, "N": VECTOR, "bits": 4, "block_size": BLOCK, "accuracy_level": 4}
    return session("MatMulNBits", "com.microsoft", x, [data, scales], **sizes)


def in_turn(runs: list[Run]) -> Run:
    """Run several layers one after the other."""

    def run() -> None:
        for layer in runs:
            layer()

    return run


def conv_rows(rng: np.random.Generator, executor: object, rounds: int) -> Iterator[Row]:
    """Convolutions against QLinearConv on channels that come last, with weights of either sign."""
    for name, inner, outer, kernel, extent, group in CONVS:
        x = rng.integers(0, 256, (1, extent, extent, inner)).astype(np.uint8)
        shape, pads = (outer, inner // group, kernel, kernel), [kernel // 2] * 4
        layout = WeightLayout.DEPTHWISE if group > 1 else WeightLayout.OUT_IN
        for kind, zero in ((np.int8, 0), (np.uint8, 128)):
            right = (rng.integers(-128, 128, shape) + zero).astype(kind)
            constants = [
                *(np.float32(0.03125), np.uint8(128), right, np.float32(0.0625), kind(zero)),
                *(np.float32(1.5), np.uint8(128)),
            ]
            arrays = [np.asarray(value) for value in constants]
            attrs = {"group": group, "pads": pads, "channels_last": 1}
            baseline = session("QLinearConv", "com.microsoft", x, arrays, **attrs)
            for bits in (2, 4, 8):
                spatial = {"strides": [1, 1], "dilations": [1, 1], "pads": pads, "group": group}
                node = node_of("conv", 4, weights(rng, shape, bits), bits, layout, **spatial)
                ours = conv(node, executor)
                peer = f"QLinearConv NHWC {np.dtype(kind)} weights"
                yield versus(f"conv {name}", bits, peer, baseline, partial(ours, x), rounds)
        spatial = {"strides": [1, 1], "dilations": [1, 1], "pads": pads, "group": group}
        codes = weights(rng, shape, 8)
        ours = conv(node_of("conv", 4, codes, 8, layout, **spatial), executor)
        for engine, baseline in torch_convs(x, codes.astype(np.int8), group=group, pad=kernel // 2).items():
            peer = f"torch quantized::conv2d ({engine})"
            yield versus(f"conv {name}", 8, peer, baseline, partial(ours, x), rounds)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--isa", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", choices=("gemm", "gemv", "conv"), help="one family, written nowhere")
    arguments = parser.parse_args()
    executor, rng = make_executor(arguments.isa, arguments.threads), np.random.default_rng(0)
    rows = []
    for family, measure in (("gemm", gemm_rows), ("conv", conv_rows), ("gemv", vector_rows)):
        if arguments.only in {None, family}:
            for row in measure(rng, executor, arguments.rounds):
                shown = f"{row.ratio:.2f}", f"{row.baseline_s * 1e6:.0f} us", f"{row.kernel_s * 1e6:.0f} us"
                print(row.case, f"w{row.weight_bits}", row.baseline, *shown, sep="  ", flush=True)
                rows.append(asdict(row))
    if arguments.only is None:
        settings = {"isa": executor.isa, "threads": executor.threads, "rounds": arguments.rounds}
        settings |= {"peers": peer_versions()}
        result = {"environment": environment(), **settings, "rows": rows}
        RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
