"""What lies in a folder: a decision belongs to a report when it led to its plan."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from passes.allocation import AllocationProblem, Choice, LayerChoices
from passes.allocation.decision import Decision
from qtool.report import LayerReport, Report, report_json
from qtool.report.folder import open_compiled

FLOAT = (32, 32)


def decision(**pairs: tuple[int, int]) -> Decision:
    """Layers that have one choice each."""
    layers = (LayerChoices(name, (Choice(*pair, 0.0, {}),)) for name, pair in pairs.items())
    return Decision(AllocationProblem("net", tuple(layers)), (), "loss", (0,) * len(pairs))


@pytest.mark.parametrize(
    ("made", "belongs"),
    [
        (decision(conv=(4, 8), kept=FLOAT), True),
        # Layers that cannot be quantized are in the report alone.
        (decision(conv=(4, 8)), True),
        (decision(conv=(4, 4), kept=FLOAT), False),
        (decision(kept=FLOAT), False),
        (decision(conv=(4, 8), gone=(8, 8)), False),
    ],
)
def test_a_decision_of_another_plan_is_passed_over(
    made: Decision, belongs: bool, report: Report, tmp_path: Path
) -> None:
    layers = (
        LayerReport("conv", "Conv", 4, 8),
        LayerReport("kept", "Gemm", quantized=False, reason="pinned"),
    )
    (tmp_path / "report.json").write_text(report_json(replace(report, layers=layers)), encoding="utf-8")
    (tmp_path / "problem.json").write_text(json.dumps(made.to_json()), encoding="utf-8")
    assert (open_compiled(tmp_path).decision == made) is belongs
