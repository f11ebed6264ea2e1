"""What a request becomes: passes as text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hwmodels import Metric, Precision
from passes.allocation.quantities import parse_budget
from passes.pipeline import parse, to_text
from passes.transform.smooth import Smooth
from qtool.presets import allocation, preset, preset_text
from qtool.request import QuantizeRequest


def request(folder: Path, **options: Any) -> QuantizeRequest:
    fixed = {"model": folder / "net.onnx", "out": folder / "out", "target": "bitfusion"}
    return QuantizeRequest(**fixed | options)


def test_the_preset_names_every_step(tmp_path: Path) -> None:
    steps = [step.name for step in preset(request(tmp_path))]
    assert steps == [
        "canonicalize",
        "fold-batchnorm",
        "equalize",
        "split-norms",
        "smooth",
        "allocate",
        "assign-scales",
        "gptq",
        "bias-correction",
    ]


@pytest.mark.parametrize("ranges", ["minmax", "percentile", "mse", "kl"])
def test_the_text_of_a_preset_is_read_back_as_it_was(tmp_path: Path, ranges: str) -> None:
    budgets = (parse_budget(Metric.LATENCY, "0.5x"), parse_budget(Metric.ENERGY, "3mJ"))
    pins = (("op:Conv", Precision(8, 8)), ("*last", Precision(4, 8)))
    asked = request(tmp_path, budgets=budgets, pins=pins, bits=(4, 8), ranges=ranges, solver="greedy")
    steps = preset(asked)
    assert parse(to_text(steps)) == steps
    assert preset_text(asked) == to_text(steps)


def test_budgets_keep_their_value_and_their_unit(tmp_path: Path) -> None:
    budgets = (parse_budget(Metric.LATENCY, "12ms"), parse_budget(Metric.WEIGHT_BYTES, "0.25x"))
    step = allocation(request(tmp_path, budgets=budgets))
    assert parse_budget(Metric.LATENCY, step.max_latency) == budgets[0]
    assert parse_budget(Metric.WEIGHT_BYTES, step.max_size) == budgets[1]
    assert step.searches


@pytest.mark.parametrize(
    ("options", "precision"),
    [
        ({}, "w8a8"),
        ({"bits": (4,)}, "w4a4"),
        ({"bits": (2, 8, 16)}, "w2a8"),
        ({"budgets": (parse_budget(Metric.LATENCY, "0.5x"),)}, "w4a8"),
    ],
)
def test_channels_are_smoothed_for_the_bits_to_come(
    tmp_path: Path, options: dict[str, Any], precision: str
) -> None:
    (step,) = [step for step in preset(request(tmp_path, **options)) if isinstance(step, Smooth)]
    assert step.precision == precision


def test_without_a_budget_there_is_nothing_to_solve(tmp_path: Path) -> None:
    assert not allocation(request(tmp_path)).searches


def test_a_pipeline_of_one_s_own_replaces_the_preset(tmp_path: Path) -> None:
    assert preset_text(request(tmp_path, pipeline="canonicalize")) == "canonicalize"
