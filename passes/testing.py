"""The conformance kit: what every pass promises, checked on a model of the author's choice.

Authors of passes call `check_pass` in their own tests.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from passes.api import Aspect
from passes.errors import PassContractError, QtoolError
from passes.execution.session import Level, Session
from passes.fingerprint import Fingerprint
from passes.ir.layers import static_shape
from passes.ir.onnx_io import to_proto
from passes.manager import PassManager
from passes.pipeline import parse, to_text
from passes.registry import find_pass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from passes.api import Pass, PassContext
    from passes.ir.model import Model

TOLERANCE = 1e-4
"""Largest relative change of an output that counts as rounding of float32."""


def check_pass(
    step: Pass,
    model_factory: Callable[[], Model],
    ctx_factory: Callable[[], PassContext],
    *,
    same_outputs: bool = False,
) -> None:
    """Check a pass against the promises of `passes.api.Pass`.

    Args:
        step: the pass, registered under its name.
        model_factory: returns a fresh model that meets the precondition of the pass, the same every time.
        ctx_factory: returns a fresh context, with data if the pass needs some.
        same_outputs: the pass promises that the float model computes what it did before.

    Raises:
        PassContractError: some promise is broken; the message lists every violation on a line of its own.
    """
    found = [*_declarations(step), *_behaviour(step, model_factory, ctx_factory, same_outputs)]
    if found:
        lines = (f"{step.name}: {len(found)} violations", *(f"- {line}" for line in found))
        raise PassContractError("\n".join(lines))


def _declarations(step: Pass) -> Iterator[str]:
    # An undecorated subclass inherits the fields of its base and silently loses its own.
    if "__dataclass_fields__" not in vars(type(step)):
        yield "it is not decorated with @dataclass(frozen=True)"
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", step.name):
        yield "its name is not kebab-case"
    try:
        if find_pass(step.name) is not type(step):
            yield "another class is registered under its name"
        elif parse(to_text([step])) != (step,):
            yield f"its text form {to_text([step])!r} is read as another pass"
    except QtoolError as error:
        yield f"its text form cannot be read: {error}"


def _behaviour(
    step: Pass, model_factory: Callable[[], Model], ctx_factory: Callable[[], PassContext], same_outputs: bool
) -> Iterator[str]:
    model, twin = model_factory(), model_factory()
    before, inputs = Fingerprint.of(model), _random_inputs(model)
    expected = _outputs(model, inputs)
    wrote = PassManager((step,)).run(model, ctx_factory())[0].wrote
    PassManager((step,)).run(twin, ctx_factory())
    changed = before.changed(Fingerprint.of(model))
    if changed != wrote:
        yield f"it reported {_name(wrote)} but wrote {_name(changed)}"
    if _bytes(model) != _bytes(twin):
        yield "the same input gave two different results"
    yield from _invalid(model)
    if same_outputs or wrote is Aspect.GRAPH:
        yield from _differences(expected, _outputs(model, inputs))
    yield from _again(step, model, ctx_factory())


def _again(step: Pass, model: Model, ctx: PassContext) -> Iterator[str]:
    """Running a pass on its own result must be refused in words or leave a valid model."""
    try:
        PassManager((step,)).run(model, ctx)
    except QtoolError:
        return
    yield from (f"run twice: {line}" for line in _invalid(model))


def _invalid(model: Model) -> Iterator[str]:
    try:
        onnx.checker.check_model(to_proto(model), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        yield f"the graph is not valid ONNX afterwards: {error}"


def _bytes(model: Model) -> tuple[bytes, str]:
    plan = json.dumps(model.plan.to_json(model.sha256, ""))
    return to_proto(model).SerializeToString(deterministic=True), plan


def _random_inputs(model: Model) -> dict[str, NDArray[Any]]:
    rng = np.random.default_rng(0)
    shapes = {tensor.name: (static_shape(tensor) or (), tensor.dtype) for tensor in model.graph.inputs}
    return {name: rng.standard_normal(shape).astype(dtype) for name, (shape, dtype) in shapes.items()}


def _outputs(model: Model, inputs: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
    return Session(to_proto(model), Level.BASIC, threads=1).run(inputs)


def _differences(expected: list[NDArray[Any]], found: list[NDArray[Any]]) -> Iterator[str]:
    for index, (old, new) in enumerate(zip(expected, found, strict=True)):
        error = float(np.abs(old - new).max(initial=0)) / max(float(np.abs(old).max(initial=0)), 1e-30)
        if old.shape != new.shape or error > TOLERANCE:
            yield f"output {index} changed by {error:.1e} of its largest value"


def _name(aspect: Aspect) -> str:
    return str(aspect.name) if aspect else "nothing"
