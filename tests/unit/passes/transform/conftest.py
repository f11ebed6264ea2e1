"""The model of the folder above with a plan and with data."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from hwmodels import Precision
from passes.api import PassContext
from passes.execution.dataset import Dataset, graph_inputs
from passes.execution.sources import ArraySource
from passes.ir.model import Model
from passes.ir.setup import quantizer_setup
from passes.ir.specs import plan_of_bits

X = np.array([[-1.0, 0.5], [2.0, 0.0], [0.25, 3.0], [1.0, -0.5]], np.float32)


@pytest.fixture
def calibrated(ctx: PassContext, model: Model) -> PassContext:
    """A context with four samples between -1 and 3."""
    source = ArraySource(("x",), len(X), None, {"x": X})
    ctx.calibration = Dataset(source, graph_inputs(model.graph), ("x",), None, len(X), "test")
    ctx.workers = 1
    return ctx


@pytest.fixture
def planned(model: Model) -> Callable[[int, int], Model]:
    """Give all layers of the model the same bits."""

    def plan(weight_bits: int, act_bits: int) -> Model:
        setup = quantizer_setup(model.graph)
        pair = Precision(weight_bits, act_bits)
        model.plan = plan_of_bits(setup, {layer.name: pair for layer in setup.layers})
        return model

    return plan
