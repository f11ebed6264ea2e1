"""Every mistake in a request that can be seen without the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hwmodels import Metric, Precision, SpecError, UnknownTargetError
from passes.allocation.quantities import BudgetRequest
from passes.errors import UsageError
from qtool.request import QuantizeRequest

LATENCY = BudgetRequest(Metric.LATENCY, 0.5, relative=True)


def request_for(folder: Path, **changes: Any) -> QuantizeRequest:
    asked: dict[str, Any] = {"model": folder / "m.onnx", "out": folder / "out", "target": "bitfusion"}
    return QuantizeRequest(**asked | changes)


def test_a_plain_request_needs_three_things_only(tmp_path: Path) -> None:
    request = request_for(tmp_path)
    assert request.forms == ("qdq", "packed")
    assert (request.solver, request.seed, request.ranges) == ("ilp", 0, "mse")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"solver": "ipl"}, "unknown solver 'ipl'; did you mean ilp"),
        ({"ranges": "minmx"}, "unknown range method 'minmx'; did you mean minmax"),
        ({"sensitivity": "attribuion"}, "unknown sensitivity .* did you mean attribution"),
        ({"forms": ("qdq", "qcqd")}, "unknown form 'qcqd'; did you mean qcdq"),
        ({"forms": ()}, "--to: expected one or more of qdq"),
        ({"metric": "top2"}, "unknown metric 'top2'; did you mean top5, top1"),
        ({"samples": 0}, "--samples: expected 1 or more, found 0"),
        ({"workers": -1}, "must not be negative"),
        ({"seed": -1}, "must not be negative"),
        ({"time_limit_s": 0.0}, "--time-limit: expected a positive"),
        ({"time_limit_s": float("nan")}, "--time-limit: expected a positive"),
        ({"bits": (4, 9)}, "9 bits cannot be represented; supported widths are 1, 2"),
        ({"pins": (("conv*", Precision(12, 8)),)}, "12 bits cannot be represented"),
        ({"pins": (("conv*", Precision(32, 8)),)}, "weights stay float beside float activations only"),
        ({"quality_plans": 1}, "--quality-plans: expected 0, or 2 and more, found 1"),
        ({"minimize": Metric.LATENCY}, "--minimize .* give --max-drop"),
        ({"max_drop": 1.5, "eval": "e"}, "--max-drop: expected a fraction"),
        ({"max_drop": 0.01}, "--max-drop is measured on held-out data; give --eval"),
        (
            {"max_drop": 0.01, "eval": "e", "budgets": (LATENCY,)},
            "leave out one of it and --max-lat",
        ),
        ({"max_drop": 0.01, "eval": "e", "metric": "sqnr"}, "sqnr is in dB"),
        ({"budgets": (LATENCY, LATENCY)}, "more than one budget on latency"),
        (
            {"target": "generic", "budgets": (LATENCY,)},
            "target generic: latency is not estimated; budgets may be on size, memory, bops",
        ),
        (
            {"max_drop": 0.01, "eval": "e", "minimize": Metric.PEAK_MEMORY},
            "target bitfusion: memory is no sum over layers, .* may be on latency, energy, size, bops$",
        ),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        request_for(tmp_path, **changes)


def test_an_unknown_target_is_named_with_its_neighbours(tmp_path: Path) -> None:
    with pytest.raises(UnknownTargetError, match="did you mean bitfusion"):
        request_for(tmp_path, target="bitfuson")


def test_a_missing_machine_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"mine\.toml"):
        request_for(tmp_path, target=str(tmp_path / "mine.toml"))


def test_a_metric_of_the_users_own_is_taken_on_trust(tmp_path: Path) -> None:
    assert request_for(tmp_path, metric="package.module:score").metric == "package.module:score"


def test_within_a_drop_the_first_metric_of_the_target_is_minimised(tmp_path: Path) -> None:
    asked = {"max_drop": 0.01, "eval": "e"}
    assert request_for(tmp_path).objective() is None
    assert request_for(tmp_path, **asked).objective() is Metric.LATENCY
    assert request_for(tmp_path, target="generic", **asked).objective() is Metric.WEIGHT_BYTES
    assert request_for(tmp_path, minimize=Metric.ENERGY, **asked).objective() is Metric.ENERGY


def test_a_folder_with_files_needs_force(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    request_for(tmp_path)
    (tmp_path / "out" / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match="holds files"):
        request_for(tmp_path)
    assert request_for(tmp_path, force=True).force
