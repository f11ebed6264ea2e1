"""Passes as text: a pipeline, the model before it, the model after it.

A file starts with ``RUN: <pipeline>`` and, where a plan is needed, ``BITS: <layer>=w<N>a<N> ...``; then comes
the model as ONNX text, a line ``---``, and the model that is expected. With ``BITS``, every activation ranges
from -1 to 3 and every weight over its values.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper, printer

from hwmodels import Precision
from hwmodels.registry import load_target
from passes.api import PassContext
from passes.ir.model import Model
from passes.ir.onnx_io import model_from_text, to_proto
from passes.ir.plan import QuantPlan, Role, TensorQuant
from passes.ir.setup import quantizer_setup
from passes.ir.specs import plan_of_bits
from passes.manager import PassManager
from passes.numerics import params_from_range
from passes.pipeline import parse

FOLDER = Path(__file__).parent / "passes"
FILES = sorted(FOLDER.glob("*/*.txt"))
NARROW = (TensorProto.INT4, TensorProto.UINT4, TensorProto.INT2, TensorProto.UINT2)
BITS = re.compile(r"(\S+)=w(\d+)a(\d+)")
CASE = re.compile(
    r"RUN: (?P<run>[^\n]*)\n(BITS: (?P<bits>[^\n]*)\n)?(?P<before>.*?)\n---\n(?P<after>.*)", re.DOTALL
)


def planned(model: Model, text: str) -> QuantPlan:
    """The plan that a BITS line asks for, with parameters."""
    bits = {name: Precision(int(weight), int(act)) for name, weight, act in BITS.findall(text)}
    plan = plan_of_bits(quantizer_setup(model.graph), bits)
    return QuantPlan(plan.layers, {name: scaled(model, name, quant) for name, quant in plan.tensors.items()})


def scaled(model: Model, name: str, quant: TensorQuant) -> TensorQuant:
    if quant.role is Role.ACT:
        return quant.with_params(params_from_range(-1.0, 3.0, quant.spec))
    values = model.graph.tensors()[name].values
    others = tuple(axis for axis in range(values.ndim) if axis != quant.spec.granularity.axis)
    low, high = np.min(values, axis=others), np.max(values, axis=others)
    return quant.with_params(params_from_range(low, high, quant.spec))


def printed(proto: onnx.ModelProto) -> str:
    """Print a valid model, and on lines of their own the codes that ONNX text leaves out."""
    onnx.checker.check_model(proto, full_check=True)
    narrow = [tensor for tensor in proto.graph.initializer if tensor.data_type in NARROW]
    codes = [f"# {tensor.name}: {numpy_helper.to_array(tensor).astype(int).tolist()}" for tensor in narrow]
    return "\n".join([*(line.rstrip() for line in printer.to_text(proto).splitlines()), *codes])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(FOLDER).with_suffix("").as_posix())
def test_a_pass_turns_one_text_into_the_other(path: Path, update_golden: bool) -> None:
    case = CASE.fullmatch(path.read_text(encoding="utf-8"))
    assert case, f"{path}: expected RUN:, a model, --- and a model"
    model = model_from_text(case["before"])
    if case["bits"]:
        model.plan = planned(model, case["bits"])
    passes = parse(case["run"])
    assert passes[-1].name == path.parent.name
    PassManager(passes, verify_each=True).run(model, PassContext(load_target("generic")))
    found = printed(to_proto(model))
    if update_golden:
        path.write_text(
            path.read_text(encoding="utf-8").split("\n---\n")[0] + f"\n---\n{found}\n", encoding="utf-8"
        )
    assert found.strip() == case["after"].strip() or update_golden


def test_there_are_files_for_these_passes() -> None:
    assert {path.parent.name for path in FILES} == {"canonicalize", "equalize", "fold-batchnorm", "lower"}
