"""The onnx package's own tests of operators and models: what they compute survives canonicalization.

Every model is read, canonicalized and written, and gives what it gave before: in ONNX Runtime without its own
optimizations, or in onnx.reference where ONNX Runtime refuses the original, too.
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx.backend.test.case.node import collect_testcases
from onnx.backend.test.loader import load_model_tests
from onnx.reference import ReferenceEvaluator

from hwmodels import load_target
from passes.api import PassContext
from passes.errors import ModelError
from passes.ir.onnx_io import MAX_OPSET, MIN_OPSET, model_from_proto, opset_of, to_proto
from passes.transform.canonicalize import Canonicalize

PARTS = 16
"""Tests that the suite is dealt out to, so that several workers share it."""
RANDOM = {
    "Bernoulli",
    "RandomUniformLike",
    "RandomNormalLike",
    "RandomUniform",
    "RandomNormal",
    "Multinomial",
}
"""Operators whose results differ from run to run."""
HALF_TOLERANCE = 4e-3
"""Relative: a scale that moves from scores to queries rounds elsewhere in float16."""


@cache
def cases() -> dict[str, tuple[onnx.ModelProto, list[Any]]]:
    """Return model and inputs of every test, by name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = {case.name: (case.model, list(case.data_sets[0][0])) for case in collect_testcases(None)}
    for case in load_model_tests(kind="simple"):
        found[case.name] = simple(case.model_dir)
    return found


def simple(folder: str) -> tuple[onnx.ModelProto, list[Any]]:
    """Read one of the models that lie in files; its inputs are made up by their types."""
    model = onnx.load(f"{folder}/model.onnx")
    rng, feeds = np.random.default_rng(0), []
    for value in model.graph.input:
        kind = value.type.tensor_type
        shape = [dim.dim_value or 2 for dim in kind.shape.dim]
        feeds.append(rng.random(shape).astype(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)))
    return model, feeds


@pytest.mark.parametrize("part", range(PARTS))
def test_models_compute_what_they_did(part: int) -> None:
    names = sorted(cases())[part::PARTS]
    assert len(names) > 100
    outcomes = {name: outcome(name, *cases()[name]) for name in names}
    fine = ("same", "refused", "skipped")
    assert {name: found for name, found in outcomes.items() if found not in fine} == {}
    compared = sum(found == "same" for found in outcomes.values())
    assert compared > 0.6 * len(names)


def outcome(name: str, proto: onnx.ModelProto, inputs: list[Any]) -> str:
    """Return ``same``, ``refused`` (for a reason), ``skipped`` (nobody can tell), or what is wrong."""
    # Models of other domains alone import no opset of ONNX.
    legal = opset_of(proto) == 0 or MIN_OPSET <= opset_of(proto) <= MAX_OPSET
    copy = onnx.ModelProto.FromString(proto.SerializeToString())
    try:
        model = model_from_proto(copy, name, "0" * 64)
        Canonicalize().run(model, PassContext(load_target("generic")))
        written = to_proto(model)
    except ModelError as error:
        return "refused" if not legal else f"refused: {error}"
    if not legal:
        return "accepted at an opset that is not supported"
    onnx.checker.check_model(written)
    if RANDOM & {node.op_type for node in proto.graph.node}:
        return "skipped"
    fixed = {tensor.name for tensor in proto.graph.initializer}
    given = zip((value.name for value in proto.graph.input), inputs, strict=False)
    feeds = {name: value for name, value in given if name not in fixed}
    engine, expected = run(proto, feeds)
    if engine == "none":
        return "skipped"
    other, found = run(written, feeds)
    if other != engine:
        return f"{engine} runs the original, and not the result: {found}"
    return "same" if equal(expected, found) else "other results"


def run(proto: onnx.ModelProto, feeds: dict[str, Any]) -> tuple[str, Any]:
    """Return who could run a model and the outputs, or ``none`` and the error."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(
            proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        return "onnxruntime", session.run(None, feeds)
    except Exception:
        pass
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return "reference", ReferenceEvaluator(proto).run(None, feeds)
    except Exception as error:
        return "none", str(error)[:200]


def equal(expected: Any, found: Any) -> bool:
    """Compare bit for bit, but for half precision; lists are sequences."""
    if isinstance(expected, list | tuple):
        return len(expected) == len(found) and all(map(equal, expected, found))
    if expected is None or found is None:
        return expected is found
    left, right = np.asarray(expected), np.asarray(found)
    if left.dtype != right.dtype or left.shape != right.shape:
        return False
    if left.dtype == np.float16:
        return bool(np.allclose(left, right, rtol=HALF_TOLERANCE, atol=HALF_TOLERANCE, equal_nan=True))
    return bool(np.array_equal(left, right, equal_nan=left.dtype.kind == "f"))
