"""A target with narrow rules, and data for it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hwmodels import load_target
from passes.api import PassContext
from passes.execution.dataset import Dataset, InputSpec
from passes.execution.sources import ArraySource


@pytest.fixture
def planned_context() -> PassContext:
    """A machine of power-of-two scales and symmetric activations, with eight samples."""
    target = load_target("generic")
    arithmetic = replace(target.arithmetic, power_of_two_scales=True, symmetric_acts=True)
    ctx = PassContext(replace(target, arithmetic=arithmetic))
    values = np.random.default_rng(0).normal(size=(8, 1, 4, 4)).astype(np.float32)
    source = ArraySource(("x",), len(values), None, {"x": values})
    inputs = (InputSpec("x", (1, 1, 4, 4), np.dtype(np.float32)),)
    ctx.calibration = Dataset(source, inputs, ("x",), None, len(values), "test")
    ctx.workers = 1
    return ctx
