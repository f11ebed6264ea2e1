"""The pipelines that requests expand to, as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwmodels import FLOAT, Metric
from passes.allocation.allocate import Allocate
from passes.allocation.quantities import BudgetRequest, word_of
from passes.numerics import RangeMethod
from passes.pipeline import to_text
from passes.transform.assign_scales import AssignScales
from passes.transform.bias_correction import BiasCorrection
from passes.transform.canonicalize import Canonicalize
from passes.transform.equalize import Equalize
from passes.transform.fold_batchnorm import FoldBatchNorm
from passes.transform.gptq import Gptq
from passes.transform.smooth import Smooth
from passes.transform.split_norms import SplitNorms

if TYPE_CHECKING:
    from passes.api import Pass
    from qtool.request import QuantizeRequest

FEWEST, BYTE = 4, 8
"""Bits of weights to smooth for where a budget decides, and where nothing does."""
_BASE_UNIT = {
    Metric.LATENCY: "s",
    Metric.ENERGY: "J",
    Metric.WEIGHT_BYTES: "B",
    Metric.BOPS: "",
    Metric.PEAK_MEMORY: "B",
}


def preset(request: QuantizeRequest) -> tuple[Pass, ...]:
    """Return the passes of a request, up to a plan with scales; lowering follows by form."""
    allocate = allocation(request)
    prepare = (Canonicalize(), FoldBatchNorm(), Equalize(), SplitNorms(), _smoothing(request, allocate))
    scales = AssignScales(method=RangeMethod(request.ranges), weights=_weight_ranges(request))
    return (*prepare, allocate, scales, Gptq(), BiasCorrection())


def preset_text(request: QuantizeRequest) -> str:
    """Return the pipeline of a request in text form, its own when it brings one."""
    return request.pipeline or to_text(preset(request))


def allocation(request: QuantizeRequest) -> Allocate:
    """Return the allocate pass of a request."""
    budgets = {f"max_{word_of(budget.metric)}": _text(budget) for budget in request.budgets}
    options: dict[str, object] = dict(budgets)
    if request.bits:
        options |= {"bits": request.bits, "uniform": _widest(request.bits)}
    if request.group_size:
        options["group_size"] = request.group_size
    return Allocate(
        solver=request.solver,
        pin=tuple(f"{pattern}={precision}" for pattern, precision in request.pins),
        sensitivity=request.sensitivity,
        time_limit=request.time_limit_s,
        **options,  # type: ignore[arg-type]
    )


def _widest(bits: tuple[int, ...]) -> str:
    """Return the precision of all layers where nothing is to be solved: the widest byte, or what there is."""
    integers = [width for width in bits if width != FLOAT.act_bits]
    widest = max([width for width in integers if width <= BYTE], default=min(integers))
    return f"w{widest}a{widest}"


def _smoothing(request: QuantizeRequest, allocate: Allocate) -> Smooth:
    """Return smoothing for the narrowest weights that there may be, beside the widest bytes."""
    least = min(request.bits, default=FEWEST if allocate.searches else BYTE)
    return Smooth(precision=f"w{least}a{min(max(request.bits, default=BYTE), BYTE)}")


def _weight_ranges(request: QuantizeRequest) -> RangeMethod:
    return RangeMethod.MINMAX if request.ranges == RangeMethod.MINMAX else RangeMethod.MSE


def _text(budget: BudgetRequest) -> str:
    return f"{budget.value!r}{'x' if budget.relative else _BASE_UNIT[budget.metric]}"
