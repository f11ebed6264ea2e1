"""Codes of weights in a plan: what is accepted, and plan.safetensors beside plan.json."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from passes.errors import PlanError, UsageError
from passes.ir.codes import codes_bytes
from passes.ir.layers import find_layers
from passes.ir.onnx_io import model_from_text
from passes.ir.plan import QuantPlan, Role, TensorQuant
from passes.ir.plan_file import read_plan, write_plan
from passes.ir.weights import quantized_weight, rounded_weight
from passes.numerics import IntFormat, PerChannel, QuantParams, QuantSpec

SPEC = QuantSpec(IntFormat(4), PerChannel(0))
PARAMS = QuantParams(np.array([0.5, 0.25], np.float32), np.zeros(2, np.int32))
CODES = np.array([[1, -8, 7], [0, 3, -2]], np.int8)
WIDE = np.array([[300, -32768], [0, 32767]], np.int16)


def a_plan() -> QuantPlan:
    """Two weights with codes, one without."""
    wide = QuantSpec(IntFormat(16), PerChannel(0))
    plain = TensorQuant(Role.WEIGHT, SPEC, PARAMS)
    tensors = {"w": plain.with_codes(PARAMS, CODES), "v": plain}
    return QuantPlan(tensors=tensors | {"wide": TensorQuant(Role.WEIGHT, wide, PARAMS, WIDE)})


def test_a_plan_with_codes_is_read_back(tmp_path: Path) -> None:
    write_plan(a_plan(), tmp_path / "plan.json", "abc", "generic")
    found = read_plan(tmp_path / "plan.json", "abc")
    assert found == a_plan()
    assert found.tensors["v"].codes is None
    np.testing.assert_array_equal(found.tensors["wide"].codes, WIDE)


def test_the_file_is_safetensors_and_the_same_every_time(tmp_path: Path) -> None:
    data = codes_bytes(a_plan().codes())
    assert data == codes_bytes(dict(reversed(a_plan().codes().items())))
    tensors = safetensors.numpy.load(data)
    assert tensors["w"].tobytes() == CODES.tobytes()
    write_plan(a_plan(), tmp_path / "plan.json", "abc", "generic")
    document = json.loads((tmp_path / "plan.json").read_text(encoding="utf-8"))
    assert document["codes_sha256"] == hashlib.sha256(data).hexdigest()
    assert (tmp_path / "plan.safetensors").read_bytes() == data


def test_without_codes_there_is_no_file_and_no_word_of_it(tmp_path: Path) -> None:
    (tmp_path / "plan.safetensors").write_bytes(b"of another plan")
    write_plan(QuantPlan(), tmp_path / "plan.json", "abc", "generic")
    assert not (tmp_path / "plan.safetensors").exists()
    assert "codes" not in (tmp_path / "plan.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: data + b"x", lambda data: b""])
def test_another_file_beside_the_plan_is_refused(tmp_path: Path, damage) -> None:
    write_plan(a_plan(), tmp_path / "plan.json", "abc", "generic")
    file = tmp_path / "plan.safetensors"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(PlanError, match="names codes with sha256"):
        read_plan(tmp_path / "plan.json", "abc")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    write_plan(a_plan(), tmp_path / "plan.json", "abc", "generic")
    (tmp_path / "plan.safetensors").unlink()
    with pytest.raises(PlanError, match=r"plan\.safetensors: the plan needs this file"):
        read_plan(tmp_path / "plan.json", "abc")


def forged(tmp_path: Path, data: bytes) -> Path:
    """A plan that names a file of these bytes as its own."""
    path = tmp_path / "plan.json"
    write_plan(a_plan(), path, "abc", "generic")
    document = json.loads(path.read_text(encoding="utf-8"))
    document["codes_sha256"] = hashlib.sha256(data).hexdigest()
    path.write_text(json.dumps(document), encoding="utf-8")
    (tmp_path / "plan.safetensors").write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("codes", "words"),
    [
        ({"w": np.array([[1, -9, 7], [0, 3, -2]], np.int8)}, r"lie in -8\.\.7"),
        ({"w": np.array([[1, 2, 3]], np.int8)}, "need 1 scales, found 2"),
        ({"stranger": CODES}, "codes of 'stranger'"),
    ],
)
def test_codes_that_do_not_fit_the_plan_are_refused(tmp_path: Path, codes, words: str) -> None:
    with pytest.raises(PlanError, match=words):
        read_plan(forged(tmp_path, codes_bytes(codes)), "abc")


@pytest.mark.parametrize(
    "shapes", ['{"w": ["i1", 2, 4]}', '{"w": ["f4", 2]}', '{"w": ["i1", -6]}', "{}", "[", "7"]
)
def test_shapes_that_lie_are_refused(tmp_path: Path, shapes: str) -> None:
    data = safetensors.numpy.save({"w": CODES.reshape(-1).view(np.uint8)}, {"shapes": shapes})
    with pytest.raises(PlanError, match="is not the codes of a plan"):
        read_plan(forged(tmp_path, data), "abc")


def test_bytes_that_are_no_container_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="is not the codes of a plan"):
        read_plan(forged(tmp_path, b"\xff" * 100), "abc")


@pytest.mark.parametrize(
    ("params", "codes", "words"),
    [
        (None, CODES, "without a scale"),
        (PARAMS, CODES.astype(np.float32), "must be integers"),
        (PARAMS, CODES[:1], "need 1 scales, found 2"),
        (PARAMS, CODES + np.int8(1), r"lie in -8\.\.7"),
    ],
)
def test_codes_must_fit_their_format(params, codes, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        TensorQuant(Role.WEIGHT, SPEC, params, codes)


def test_codes_are_compared_by_value_cannot_be_written_and_fall_with_their_scale() -> None:
    source = CODES.copy()
    one, two = (TensorQuant(Role.WEIGHT, SPEC, PARAMS, values) for values in (source, CODES))
    source[0, 0] = 5
    assert one == two
    assert hash(one) == hash(two)
    assert one != TensorQuant(Role.WEIGHT, SPEC, PARAMS)
    assert one != two.with_codes(PARAMS, source)
    assert two.with_params(PARAMS).codes is None
    with pytest.raises(ValueError, match="read-only"):
        one.codes[0, 0] = 1


def test_a_weight_takes_the_codes_of_its_plan() -> None:
    model = model_from_text(
        """<ir_version: 8, opset_import: ["" : 13]> net (float[N,3] x) => (float[N,2] y)
        <float[2,3] w = {0.4, 0.1, 0.2, -1.0, 0.3, 0.2}> { [layer] y = Gemm<transB = 1>(x, w) }"""
    )
    (layer,) = find_layers(model.graph)[0]
    plain = TensorQuant(Role.WEIGHT, SPEC, PARAMS)
    assert quantized_weight(layer, plain).tolist() == [[1, 0, 0], [-4, 1, 1]]
    assert quantized_weight(layer, plain.with_codes(PARAMS, CODES)).tolist() == CODES.tolist()
    values = rounded_weight(layer, plain.with_codes(PARAMS, CODES))
    assert values.tolist() == [[0.5, -4.0, 3.5], [0.0, 0.75, -0.5]]
    with pytest.raises(PlanError, match="another form of the model"):
        quantized_weight(layer, plain.with_codes(PARAMS, CODES[:, :2]))
