"""Every trap in the smallest model that has it, seen in the installed ONNX Runtime, and a twin without it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from passes.execution.session import Level
from passes.lint.rules import RULES

Build = Callable[[Any], onnx.ModelProto]
IMAGE = ("N", 8, 4, 4)


def relu(net: Any, opset: int, ir: int = 0) -> onnx.ModelProto:
    made = net()
    return made.model(made.op("Relu", "x"), opset, ir)


def plain(net: Any, kind: str, scale_kind: str = "f32") -> onnx.ModelProto:
    made = net()
    x = "x" if scale_kind == "f32" else made.op("Cast", "x", to=TensorProto.BFLOAT16)
    scale, zero = made.const(0.5, scale_kind), made.const(0, kind)
    y = made.op("DequantizeLinear", made.op("QuantizeLinear", x, scale, zero), scale, zero)
    return made.model(made.op("Cast", y, to=TensorProto.FLOAT))


def custom(net: Any, op: str, domain: str) -> onnx.ModelProto:
    made = net()
    model = made.model(made.op(op, "x", domain=domain), 21)
    model.opset_import.extend([helper.make_opsetid(domain, 1)] if domain else [])
    return model


def swish(net: Any, opset: int) -> onnx.ModelProto:
    made = net()
    return made.model(made.op("Swish", "x"), opset)


def conv(net: Any, act: str, weight: str, result: str, block: int = 0, clamp: str = "") -> onnx.ModelProto:
    made = net(*IMAGE)
    y = made.op("Conv", made.act("x", act) if act else "x", made.weight((8, 8, 1, 1), weight, block, 1))
    y = made.op(clamp, y) if clamp else y
    return made.model(made.act(y, result, 0.1, 0 if clamp != "Relu" else 1) if result else y)


def detached(net: Any) -> onnx.ModelProto:
    made = net(*IMAGE)
    weight = made.op("Reshape", made.weight((8, 8, 1, 1, 1), "s2"), made.const([8, 8, 1, 1], "i64"))
    return made.model(made.act(made.op("Conv", made.act("x", "u8"), weight), "u8", 0.1))


def pooled(net: Any, kind: str) -> onnx.ModelProto:
    made = net(*IMAGE)
    return made.model(made.act(made.op("MaxPool", made.act("x", kind), kernel_shape=[2, 2]), kind))


def clipped(net: Any, kind: str) -> onnx.ModelProto:
    made = net()
    return made.model(
        made.act(made.op("Clip", made.op("Tanh", "x"), made.const(0), made.const(1)), kind, 0.1)
    )


def nbits(net: Any, bits: int = 4, block: int = 32, level: int = 1) -> onnx.ModelProto:
    made = net("N", 64)
    codes = made.const(made.rng.integers(0, 256, (8, 64 // block, block * bits // 8)), "u8")
    scales = made.const(made.rng.uniform(0.05, 0.2, (8, 64 // block)))
    sizes = {"K": 64, "N": 8, "bits": bits, "block_size": block, "accuracy_level": level}
    return made.model(made.op("MatMulNBits", "x", codes, scales, domain="com.microsoft", **sizes))


def clamped(net: Any, zero: int) -> onnx.ModelProto:
    made = net()
    return made.model(made.act(made.op("Relu", "x"), "s4", 0.5, zero))


def product(
    net: Any, op: str, weight: str, shape: tuple[int, ...] = (32, 8), **options: Any
) -> onnx.ModelProto:
    made = net(options.get("rows", "N"), 32)
    act, block, result = options.get("act"), options.get("block", 0), options.get("result")
    y = made.op(
        op,
        made.act("x", act) if act else "x",
        made.floats(*shape) if weight == "f32" else made.weight(shape, weight, block),
        **({"transB": options["turned"]} if "turned" in options else {}),
    )
    return made.model(made.act(y, result, 0.1, 8) if result else y)


def softmax(net: Any, kind: str) -> onnx.ModelProto:
    made = net(*IMAGE)
    return made.model(made.act(made.op("Softmax", made.act("x", kind, 0.1)), kind, 0.1))


def moved(net: Any, scale: float) -> onnx.ModelProto:
    made = net(*IMAGE)
    return made.model(made.act(made.op("MaxPool", made.act("x", "u8"), kernel_shape=[2, 2]), "u8", scale))


def between(net: Any, op: str) -> onnx.ModelProto:
    made = net()
    return made.model(made.act(made.op(op, made.act("x", "u8")), "u8"))


def gathered(net: Any, *, first: bool) -> onnx.ModelProto:
    made = net("N")
    rows = made.op("Cast", "x", to=TensorProto.INT64)
    table, scale = made.const(made.rng.integers(-8, 8, (9, 16)), "s8"), made.const(0.1)
    if first:
        return made.model(made.op("DequantizeLinear", made.op("Gather", table, rows), scale))
    return made.model(made.op("Gather", made.op("DequantizeLinear", table, scale), rows))


def stored(net: Any, *, raw: bool) -> onnx.ModelProto:
    model = product(net, "MatMul", "s8", (32, 64), act="u8", result="u8")
    codes = next(tensor for tensor in model.graph.initializer if len(tensor.dims) == 2)
    if not raw:
        values = [-1] * (32 * 64)
        codes.CopyFrom(helper.make_tensor(codes.name, TensorProto.INT8, codes.dims, values))
    return model


REFUSED: dict[str, tuple[Build, Build]] = {
    "QT101": (lambda net: relu(net, 27), lambda net: relu(net, 26)),
    "QT102": (lambda net: relu(net, 21, 14), lambda net: relu(net, 21, 13)),
    "QT103": (lambda net: plain(net, "f4"), lambda net: plain(net, "f8")),
    "QT103 scale": (lambda net: plain(net, "s8", "bf16"), lambda net: plain(net, "s8")),
    "QT104": (lambda net: swish(net, 25), lambda net: swish(net, 24)),
    "QT105": (lambda net: custom(net, "Shift", ""), lambda net: custom(net, "Softsign", "")),
    "QT105 domain": (
        lambda net: custom(net, "Gelu", "my.operators"),
        lambda net: custom(net, "Gelu", "com.microsoft"),
    ),
    "QT111": (lambda net: conv(net, "u8", "s2", "u8"), detached),
    "QT112": (lambda net: conv(net, "u4", "s8", "u4"), lambda net: conv(net, "u4", "s4", "u4")),
    "QT113": (lambda net: conv(net, "u8", "s8", "u8", 4), lambda net: conv(net, "u8", "s4", "u8", 4)),
    "QT114": (lambda net: pooled(net, "u4"), lambda net: pooled(net, "u8")),
    "QT115": (lambda net: clipped(net, "u4"), lambda net: clipped(net, "u8")),
    "QT116 bits": (lambda net: nbits(net, 3), nbits),
    "QT116 block": (lambda net: nbits(net, 4, 8), lambda net: nbits(net, 4, 16)),
}
WRONG: dict[str, tuple[Build, Build]] = {
    "QT201": (lambda net: clamped(net, 0), lambda net: clamped(net, -8)),
    "QT202": (lambda net: product(net, "MatMul", "s2", (32, 6)), lambda net: product(net, "MatMul", "s2")),
    "QT203": (
        lambda net: product(net, "MatMul", "s8", rows=2, act="u8", block=16),
        lambda net: product(net, "MatMul", "s8", rows=2, act="u8"),
    ),
}
FLOAT: dict[str, tuple[Build, Build, str]] = {
    "QT301": (
        lambda net: conv(net, "u8", "s8", "u8", clamp="Relu"),
        lambda net: conv(net, "u8", "s8", "u8"),
        "QLinearConv",
    ),
    "QT302": (lambda net: conv(net, "u8", "s8", ""), lambda net: conv(net, "u8", "s8", "u8"), "QLinearConv"),
    "QT305": (
        lambda net: product(net, "Gemm", "s4", (8, 32), turned=1),
        lambda net: product(net, "Gemm", "s4"),
        "MatMulNBits",
    ),
    "QT401": (
        lambda net: product(net, "MatMul", "s8", act="u16", result="u16"),
        lambda net: product(net, "MatMul", "u8", act="u8", result="u8"),
        "QLinearMatMul",
    ),
    "QT402": (
        lambda net: product(net, "MatMul", "s4", act="u8", result="u8"),
        lambda net: product(net, "MatMul", "u8", act="u8", result="u8"),
        "QLinearMatMul",
    ),
    "QT403": (
        lambda net: conv(net, "u4", "s4", "u4"),
        lambda net: conv(net, "u8", "u8", "u8"),
        "QLinearConv",
    ),
    "QT404": (
        lambda net: product(net, "MatMul", "f8"),
        lambda net: product(net, "MatMul", "s8"),
        "MatMulNBits",
    ),
    "QT405": (lambda net: conv(net, "", "s8", ""), lambda net: conv(net, "u8", "u8", "u8"), "QLinearConv"),
}
ONE_DEQUANTIZED: dict[str, tuple[Build, Build]] = {
    "QT303": (lambda net: moved(net, 0.1), lambda net: moved(net, 0.05)),
    "QT304": (lambda net: between(net, "Tanh"), lambda net: between(net, "Sigmoid")),
}
OTHERS = {"QT204", "QT205", "QT206", "QT207", "QT208", "QT306", "QT406"}
"""Have tests of their own below."""


def code(title: str) -> str:
    return title.split(maxsplit=1)[0]


def optimized(model: onnx.ModelProto, folder: Path) -> list[str]:
    """The operators that the default level leaves."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return [node.op_type for node in onnx.load(folder / "optimized.onnx").graph.node]


def test_every_rule_has_a_trap() -> None:
    tested = {code(title) for traps in (REFUSED, WRONG, FLOAT, ONE_DEQUANTIZED) for title in traps}
    assert tested | OTHERS == {rule.code for rule in RULES}
    assert not tested & OTHERS


@pytest.mark.parametrize("title", REFUSED)
def test_refused_models(title: str, net: Any, run: Any, found: Any) -> None:
    trap, clean = (build(net) for build in REFUSED[title])
    assert code(title) in found(trap)
    assert code(title) not in found(clean)
    assert "ONNX Runtime" in str(run(trap, Level.DEFAULT))
    assert isinstance(run(clean, Level.DEFAULT), np.ndarray)
    at_basic = isinstance(run(trap, Level.BASIC), str)
    assert (code(title) in found(trap, basic=True)) == at_basic


@pytest.mark.parametrize("title", WRONG)
def test_silently_wrong_models(title: str, net: Any, run: Any, found: Any) -> None:
    trap, clean = (build(net) for build in WRONG[title])
    assert title in found(trap)
    assert title not in found(clean) | found(trap, basic=True)
    right = run(trap, Level.BASIC)
    assert np.abs(run(trap, Level.DEFAULT) - right).max() > 0.05 * np.abs(right).max()
    np.testing.assert_allclose(run(clean, Level.DEFAULT), run(clean, Level.BASIC), atol=1e-5)


@pytest.mark.parametrize("title", FLOAT)
def test_models_that_stay_in_floating_point(title: str, net: Any, found: Any, tmp_path: Path) -> None:
    trap, clean = (build(net) for build in FLOAT[title][:2])
    assert title in found(trap)
    assert title not in found(clean)
    assert FLOAT[title][2] not in optimized(trap, tmp_path)
    assert FLOAT[title][2] in optimized(clean, tmp_path)


@pytest.mark.parametrize("title", ONE_DEQUANTIZED)
def test_quantizers_that_stay(title: str, net: Any, found: Any, tmp_path: Path) -> None:
    trap, clean = (build(net) for build in ONE_DEQUANTIZED[title])
    assert title in found(trap)
    assert title not in found(clean)
    counts = [optimized(model, tmp_path).count("DequantizeLinear") for model in (trap, clean)]
    assert counts == [2, 1]


@pytest.mark.parametrize("op", ["Gemm", "Conv", "ConvTranspose"])
def test_float_weights_are_rounded(op: str, net: Any, run: Any, found: Any) -> None:
    made = net("N", 32) if op == "Gemm" else net("N", 32, 4, 4)
    weight = (
        made.floats(32, 8) if op == "Gemm" else made.floats(*((8, 32) if op == "Conv" else (32, 8)), 1, 1)
    )
    trap = made.model(made.act(made.op(op, made.act("x", "s8"), weight), "s8", 0.05))
    assert "QT204" in found(trap)
    assert "QT204" in found(trap, basic=True)
    assert not np.array_equal(run(trap, Level.BASIC), run(trap, Level.BASIC, keep_floats=True))


def test_float_weights_of_matmul_are_left_alone(net: Any, run: Any, found: Any) -> None:
    clean = product(net, "MatMul", "f32", act="u8", result="u8")
    assert "QT204" not in found(clean)
    np.testing.assert_array_equal(run(clean, Level.BASIC), run(clean, Level.BASIC, keep_floats=True))


def test_the_default_accuracy_level_rounds_activations(net: Any, run: Any, found: Any) -> None:
    trap = product(net, "MatMul", "s4", block=16)
    assert "QT205" in found(trap)
    assert "QT205" not in found(trap, basic=True)
    assert "QT205" not in found(product(net, "MatMul", "s4", act="u16"))
    options = ort.SessionOptions()
    session = ort.InferenceSession(trap.SerializeToString(), options, providers=["CPUExecutionProvider"])
    x = np.random.default_rng(1).standard_normal((3, 32)).astype(np.float32)
    error = np.abs(session.run(None, {"x": x})[0] - run(trap, Level.BASIC)).max()
    assert error > 1e-4
    # The sessions of the tests ask for level 0.
    assert np.abs(run(trap, Level.DEFAULT) - run(trap, Level.BASIC)).max() < 1e-5 < error


def test_accuracy_level_4_rounds_activations(net: Any, run: Any, found: Any) -> None:
    fast, exact = nbits(net, level=4), nbits(net, level=1)
    assert "QT206" in found(fast)
    assert "QT206" not in found(exact)
    assert np.abs(run(fast, Level.DEFAULT) - run(exact, Level.DEFAULT)).max() > 1e-4


def saturating(net: Any, kind: str, zero: int, code: int = 127) -> onnx.ModelProto:
    made = net("N", 64)
    codes = made.const(np.full((64, 8), code + zero), kind)
    weight = made.op("DequantizeLinear", codes, made.const(0.01), made.const(zero, kind))
    x = made.act(made.op("Clip", made.op("Abs", "x"), made.const(2.55)), "u8", 0.01)
    return made.model(made.act(made.op("MatMul", x, weight), "u8", 1.0))


def test_unsigned_weights_do_not_saturate(net: Any, run: Any, found: Any) -> None:
    trap, clean = saturating(net, "s8", 0), saturating(net, "u8", 128)
    assert "QT207" in found(trap)
    assert "QT207" not in found(clean)
    np.testing.assert_array_equal(run(clean, Level.DEFAULT), run(clean, Level.BASIC))


def test_small_signed_weights_do_not_saturate(net: Any, run: Any, found: Any) -> None:
    clean, trap = saturating(net, "s8", 0, 64), saturating(net, "s8", 0, 65)
    assert "QT207" in found(trap)
    assert "QT207" not in found(clean)
    np.testing.assert_array_equal(run(clean, Level.DEFAULT), run(clean, Level.BASIC))


def test_signed_weights_saturate_without_vnni(net: Any, run: Any) -> None:
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
    if "avx2" not in flags or "vnni" in flags:
        pytest.skip("needs an x86 processor with AVX2 and without VNNI")
    trap = saturating(net, "s8", 0)
    assert run(trap, Level.DEFAULT).max() < 0.9 * run(trap, Level.BASIC).max()


def test_integer_softmax_is_a_step_away(net: Any, run: Any, found: Any) -> None:
    trap, clean = softmax(net, "u8"), softmax(net, "u16")
    assert "QT208" in found(trap)
    assert "QT208" not in found(clean)
    error = np.abs(run(trap, Level.DEFAULT) - run(trap, Level.BASIC)).max()
    assert error == pytest.approx(0.1)
    np.testing.assert_array_equal(run(clean, Level.DEFAULT), run(clean, Level.BASIC))


def test_tables_are_dequantized_whole(net: Any, found: Any, tmp_path: Path) -> None:
    trap, clean = gathered(net, first=False), gathered(net, first=True)
    assert "QT306" in found(trap)
    assert "QT306" not in found(clean)
    operators = optimized(trap, tmp_path)
    assert operators.index("DequantizeLinear") < operators.index("Gather")


def test_negative_codes_as_numbers_are_large(net: Any, found: Any) -> None:
    trap, clean = stored(net, raw=False), stored(net, raw=True)
    assert "QT406" in found(trap)
    assert "QT406" not in found(clean)
    assert trap.ByteSize() > 7 * clean.ByteSize()
