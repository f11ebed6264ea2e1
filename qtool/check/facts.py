"""`Facts`: the figures of a result that are compared, and that a baseline keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

FORMS = ("quantized", "packed")
"""The forms in which a result is measured: the Q/DQ model and the artifact."""
FLOAT = "float"


@dataclass(frozen=True, slots=True)
class Facts:
    """The figures of one compiled model.

    Attributes:
        metric: name of the task metric; empty when nothing was measured.
        values: the metric of ``float``, ``quantized`` and ``packed``, where known.
        cost: of the plan, by field of `qtool.report.CostReport`, where the target estimates it.
        cost_8bit: the same of uniform 8 bits.
        coverage: share, 0 to 1, of the multiplications that run on integers.
        agreement: share of samples on which both forms name the same class, where they were compared.
        lsb: steps that the two are apart at most, layer by layer, where they were compared.
        layers: name and precision, such as ``w4a8`` or ``float``, in graph order.
    """

    metric: str
    values: Mapping[str, float]
    cost: Mapping[str, float]
    cost_8bit: Mapping[str, float]
    coverage: float
    agreement: float | None
    lsb: float | None
    layers: Mapping[str, str]

    @classmethod
    def of_report(cls, report: Mapping[str, Any]) -> Facts:
        """Take the facts out of what report.json says."""
        metric, agreement = report["metric"] or {}, report["agreement"] or {}
        return cls(
            metric=metric.get("name", ""),
            values=_numbers({form: metric.get(form) for form in (FLOAT, *FORMS)}),
            cost=_numbers(report["cost"]),
            cost_8bit=_numbers(report["cost_8bit"]),
            coverage=report["coverage"]["macs"],
            agreement=agreement.get("top1_agreement"),
            lsb=agreement.get("qdq_vs_packed_max_lsb"),
            layers={layer["name"]: _precision(layer) for layer in report["layers"]},
        )

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Facts:
        """Read what `to_json` wrote.

        Raises:
            ValueError: a value is not of its kind; so do KeyError, TypeError and AttributeError say.
        """
        names = ("metric", "values", "cost", "cost_8bit", "coverage", "agreement", "lsb", "layers")
        facts = cls(**{name: document[name] for name in names})
        single = [facts.coverage, facts.agreement or 0.0, facts.lsb or 0.0]
        values = [*facts.values.values(), *facts.cost.values(), *facts.cost_8bit.values(), *single]
        texts = [facts.metric, *facts.layers.values()]
        if not all(_is_number(value) for value in values) or not all(isinstance(text, str) for text in texts):
            raise ValueError("expected finite numbers, and texts for metric and layers")
        return facts

    def to_json(self) -> dict[str, Any]:
        """Return a document with the fields as keys."""
        return asdict(self)


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    return {name: value for name, value in values.items() if value is not None}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _precision(layer: Mapping[str, Any]) -> str:
    if layer["weight_bits"] is None:
        return FLOAT
    return f"w{layer['weight_bits']}a{layer['act_bits'] or 32}"
