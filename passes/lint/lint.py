"""`lint`: what a release of ONNX Runtime will make of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from passes.lint.finding import Finding
from passes.lint.rules import RULES
from passes.lint.view import View

if TYPE_CHECKING:
    import onnx

    from passes.lint.runtime import Runtime


def lint(model: onnx.ModelProto, runtime: Runtime) -> list[Finding]:
    """Apply every rule that holds for a runtime to a model and its nested graphs.

    Args:
        model: a model of any opset; external data may stay where they are.
        runtime: release and level of optimization.

    Returns:
        Findings by code; those of one code in the order of the file.
    """
    rules = [rule for rule in RULES if rule.since <= runtime.version and (rule.basic or not runtime.basic)]
    views = list(View(model, model.graph).views())
    return [Finding(rule, place) for rule in rules for view in views for place in rule.check(view, runtime)]
