"""How well sensitivities rank plans of this very model: predicted against measured loss of random plans."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from passes.analysis.changes import OutputReference
from passes.analysis.names import find_sensitivity
from passes.analysis.quality import LOWEST, WIDEST, predicted_loss, random_bits, rank_correlation
from passes.errors import LoweringError
from passes.execution.simulator import Simulator
from passes.ir.setup import quantizer_setup
from passes.ir.specs import plan_of_bits
from passes.rounding.local import LocalRoundings
from passes.transform.assign_scales import AssignScales
from qtool.report.sensitivity import SensitivityReport

if TYPE_CHECKING:
    from collections.abc import Sequence

    from passes.api import PassContext
    from passes.ir.model import Model

LEAST_PLANS = 2
SAMPLES = 32
"""Calibration samples on which plans are measured."""
DEVIATIONS = 1.96
_WIDTHS = tuple(range(min(LOWEST), WIDEST + 1))


def sensitivity_quality(
    names: Sequence[str], plans: int, model: Model, ctx: PassContext, samples: int = SAMPLES
) -> tuple[SensitivityReport, ...]:
    """Compare the ranking of random plans by sensitivities with that by the noise measured at the output.

    Weights of the plans are rounded by data, layer by layer, as those are that sensitivities go by.

    Args:
        names: of sensitivities; all are judged on the same plans.
        plans: how many; at least 2.
        model: prepared, as for an allocation; its own plan is not used.
        ctx: with calibration data.
        samples: calibration samples to measure on.

    Returns:
        One judgement per sensitivity; none where too few of the plans can be lowered.

    Raises:
        UsageError: no such sensitivity, or its package is not installed.
    """
    setup = quantizer_setup(model.graph, ctx.target)
    tables = {name: ctx.get(find_sensitivity(name)(bits=_WIDTHS), model) for name in names}
    simulator = Simulator(model, setup, ctx.calibration, ctx.workers, samples)
    reference, rng = OutputReference(simulator.reference()), ctx.rng("sensitivity-quality")
    scales, copy, local = AssignScales(), replace(model), ctx.get(LocalRoundings(), model)
    drawn, noise = [], []
    for done in range(plans):
        bits = random_bits(setup, rng)
        copy.plan = plan_of_bits(setup, bits)
        ctx.progress("rank", done + 1, plans)
        # Sums of wide plans may not fit a narrow accumulator.
        with suppress(LoweringError):
            scales.run(copy, ctx)
            copy.plan = local.plan(copy.plan, setup)
            noise.append(reference.change(simulator.run(copy.plan)).noise)
            drawn.append(bits)
    if len(noise) < LEAST_PLANS:
        return ()
    count = min(samples, ctx.calibration.count)
    return tuple(
        _report(name, [predicted_loss(table, bits) for bits in drawn], noise, count)
        for name, table in tables.items()
    )


def _report(name: str, predicted: list[float], noise: list[float], samples: int) -> SensitivityReport:
    found = rank_correlation(predicted, noise)
    low, high = interval(found.spearman, len(noise))
    judged = (found.spearman, low, high, found.kendall)
    return SensitivityReport(name, len(noise), samples, *judged, tuple(predicted), tuple(noise))


def interval(correlation: float, count: int) -> tuple[float, float]:
    """Return the ends of the 95 % interval of a correlation of ranks, by Fisher's transformation.

    The variance is (1 + r**2 / 2) / (n - 3) [Bonett and Wright 2000]; three pairs or fewer tell nothing.
    """
    if count <= 3:
        return -1.0, 1.0
    middle = math.atanh(float(np.clip(correlation, -1 + 1e-9, 1 - 1e-9)))
    spread = DEVIATIONS * math.sqrt((1 + correlation**2 / 2) / (count - 3))
    return math.tanh(middle - spread), math.tanh(middle + spread)
