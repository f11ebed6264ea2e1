"""What qtool promises about passes, solvers and machines, checked by its own kits."""

from __future__ import annotations

from pathlib import Path

from qtool_acme.clamp_weights import ClampWeights
from qtool_acme.machine import machine
from qtool_acme.random_restarts import RandomRestarts

from hwmodels.testing import check_hardware_model
from passes.allocation.testing import check_solver
from passes.testing import check_pass
from qtool import PassContext, load_target, read_model

MODEL = Path(__file__).parents[2] / "quickstart" / "digits.onnx"


def test_the_pass() -> None:
    check_pass(
        ClampWeights(deviations=2.0), lambda: read_model(MODEL), lambda: PassContext(load_target("acme"))
    )


def test_the_solver() -> None:
    check_solver(RandomRestarts())


def test_the_machine() -> None:
    check_hardware_model(machine())
