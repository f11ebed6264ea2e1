"""Options as keywords make the requests that the command line makes."""

from __future__ import annotations

from inspect import signature
from pathlib import Path
from typing import Any

import pytest

from hwmodels import FLOAT, Metric, Precision
from passes.allocation.quantities import BudgetRequest
from passes.errors import UsageError
from qtool.cli import quantize, search
from qtool.keywords import QuantizeOptions, SearchOptions, quantize_request, search_request


def test_values_are_read_as_on_the_command_line(tmp_path: Path) -> None:
    options = {"max_latency": "2ms", "max_size": "0.5x", "pin": "op:Conv=w4a8", "bits": "4,8", "to": "qdq"}
    request = quantize_request(
        "m.onnx", "bitfusion", tmp_path / "out", options | {"time_limit": 3, "eval": None}
    )
    assert request.budgets == (
        BudgetRequest(Metric.LATENCY, 0.002),
        BudgetRequest(Metric.WEIGHT_BYTES, 0.5, relative=True),
    )
    assert request.pins == (("op:Conv", Precision(4, 8)),)
    assert (request.bits, request.forms, request.time_limit_s) == ((4, 8), ("qdq",), 3)


def test_lists_may_be_lists(tmp_path: Path) -> None:
    options = {"bits": [8, 4], "to": ["packed", "qdq"], "pin": ["a=w8a8", "b=float"], "calib": Path("c.npz")}
    request = quantize_request("m.onnx", "bitfusion", tmp_path / "out", options)
    assert (request.bits, request.forms, request.calib) == ((4, 8), ("packed", "qdq"), "c.npz")
    assert request.pins == (("a", Precision(8, 8)), ("b", FLOAT))


def test_a_search_keeps_its_own_options(tmp_path: Path) -> None:
    options: dict[str, Any] = {"calib": "c", "eval": "e", "max_drop": "2%", "solver": "random", "workers": 2}
    options |= {"time_limit": 9.0, "objectives": ["loss", "size"], "bits": [8], "max_energy": "0.5x"}
    request = search_request("m.onnx", "bitfusion", tmp_path / "out", options)
    assert (request.solver, request.max_drop, request.time_limit_s) == ("random", 0.02, 9.0)
    assert (request.processes, request.objectives, request.force) == (2, ("loss", "size"), False)
    assert (request.base.solver, request.base.max_drop, request.base.bits) == ("ilp", None, (8,))
    assert [budget.metric for budget in request.base.budgets] == [Metric.ENERGY]


@pytest.mark.parametrize(("target", "cost"), [("bitfusion", "latency"), ("generic", "size")])
def test_a_search_is_for_the_first_cost_of_its_target(target: str, cost: str, tmp_path: Path) -> None:
    request = search_request("m.onnx", target, tmp_path / "out", {"calib": "c", "eval": "e"})
    assert request.objectives == ("loss", cost)


@pytest.mark.parametrize("make", [quantize_request, search_request])
def test_an_unknown_option_gets_a_hint(make: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown option 'max_latncy'; did you mean max_latency"):
        make("m.onnx", "bitfusion", tmp_path / "out", {"max_latncy": "1ms"})


@pytest.mark.parametrize(
    ("command", "kind"), [(quantize.quantize, QuantizeOptions), (search.search, SearchOptions)]
)
def test_keywords_are_the_options_of_the_command(command: Any, kind: Any) -> None:
    given = {"model", "target", "out"}
    terminal = {"json", "quiet", "debug", "print_pipeline"}
    words = {name.rstrip("_") for name in signature(command).parameters}
    assert words - given - terminal == set(kind.__annotations__)
