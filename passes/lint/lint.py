"""`lint`: what a release of ONNX Runtime will make of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from passes.ir.local_functions import inline_functions
from passes.lint.finding import Finding
from passes.lint.rules import RULES
from passes.lint.view import View

if TYPE_CHECKING:
    import onnx

    from passes.lint.runtime import Runtime


def lint(model: onnx.ModelProto, runtime: Runtime) -> list[Finding]:
    """Apply every rule that holds for a runtime to a model and its nested graphs.

    ONNX Runtime inlines the functions that a model brings, and so do the rules see them.

    Args:
        model: a model of any opset; external data may stay where they are.
        runtime: release and level of optimization.

    Returns:
        Findings by code; those of one code in the order of the file.

    Raises:
        ModelError: the functions of the model have no end.
    """
    rules = [rule for rule in RULES if rule.since <= runtime.version and (rule.basic or not runtime.basic)]
    inlined = inline_functions(model, "the model")
    views = list(View(inlined, inlined.graph).views())
    return [Finding(rule, place) for rule in rules for view in views for place in rule.check(view, runtime)]
