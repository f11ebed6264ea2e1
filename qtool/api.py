"""The commands as functions of Python: ``qtool.quantize``, ``qtool.analyze`` and ``qtool.search``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from passes.execution.preprocess import Preprocess
from qtool.keywords import QuantizeOptions, SearchOptions, quantize_request, search_request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from qtool.report import Report

    Tell = Callable[[str, int, int], None]


def _silent(stage: str, done: int, total: int) -> None:
    """Tell nobody."""


def quantize(
    model: str | Path,
    *,
    target: str,
    out: str | Path,
    tell: Tell = _silent,
    **options: Unpack[QuantizeOptions],
) -> Report:
    """Compile a model to mixed precision within budgets, as ``qtool quantize`` does.

    Example::

        report = qtool.quantize("model.onnx", target="bitfusion", out="out", calib="calib.npz",
                                eval="eval.npz", max_latency="0.5x")
        print(report.metric.quantized, report.cost.latency_s)

    Args:
        model: the .onnx file.
        target: a machine of ``qtool targets list``, or a .toml file.
        out: folder for the models, the plan and the reports.
        tell: called with (stage, steps done, steps in all) as work proceeds.
        options: those of the command, by the same names and with the same values.

    Returns:
        What report.json says: costs in seconds, joules, bytes and bit operations, accuracies from 0 to 1.

    Raises:
        UsageError: an option is unknown, cannot be read, or contradicts another.
        InputError: model or data cannot be used.
        InfeasibleError: no plan meets the budgets.
        AccuracyError: ``max_drop`` cannot be met; files are written all the same.
    """
    from qtool.quantization import run_quantize

    return run_quantize(quantize_request(model, target, out, options), tell)


def analyze(  # noqa: PLR0913 - one parameter per option of the command
    model: str | Path,
    *,
    calib: str | Path,
    target: str,
    out: str | Path | None = None,
    preprocess: str | None = None,
    samples: int | None = None,
    shape: Iterable[str] = (),
    sensitivity: str = "scaled",
    quality_plans: int = 0,
    compare: bool = False,
    float_safety: bool = False,
    tell: Tell = _silent,
) -> dict[str, Any]:
    """Measure sensitivity and cost of every layer at every precision, as ``qtool analyze`` does.

    Args:
        model: the .onnx file.
        calib: samples: .npz, folder, or ``module:function``.
        target: a machine of ``qtool targets list``, or a .toml file.
        out: file for the result, if any.
        preprocess: how images become inputs, as on the command line.
        samples: use the first so many.
        shape: ``NAME=1,3,480,640`` entries: work is priced for inputs of these shapes.
        sensitivity: estimate of the harm.
        quality_plans: random plans that judge the estimate; 0 for none.
        compare: judge every estimate by these plans.
        float_safety: tell which layers are unsafe in fp16, bf16 and fp8.
        tell: called with (stage, steps done, steps in all) as work proceeds.

    Returns:
        The document that the command writes: an allocation problem with a ``ranking``, most sensitive first.

    Raises:
        UsageError: an option cannot be read.
        InputError: model or data cannot be used.
    """
    from passes.allocation.quantities import parse_shapes
    from qtool.analysis import AnalyzeRequest, run_analyze

    request = AnalyzeRequest(
        model=Path(model),
        calib=str(calib),
        target=target,
        preprocess=None if preprocess is None else Preprocess.parse(preprocess),
        samples=samples,
        sensitivity=sensitivity,
        out=None if out is None else Path(out),
        quality_plans=quality_plans,
        compare=compare,
        float_safety=float_safety,
        shapes=parse_shapes(shape),
    )
    return run_analyze(request, tell)


def search(
    model: str | Path,
    *,
    target: str,
    out: str | Path,
    tell: Tell = _silent,
    **options: Unpack[SearchOptions],
) -> dict[str, Any]:
    """Search for the plans of least measured loss at every cost, as ``qtool search`` does.

    What was measured stays in the folder: the same call goes on where an earlier one was stopped.

    Args:
        model: the .onnx file.
        target: a machine of ``qtool targets list``, or a .toml file.
        out: folder for the front and the measurements.
        tell: called with (stage, steps done, steps in all) as work proceeds.
        options: those of the command, by the same names and with the same values.

    Returns:
        What front.json says: under ``front`` a measured plan per entry, losses as differences of the metric.

    Raises:
        UsageError: an option is unknown, cannot be read, or contradicts another.
        InputError: model or data cannot be used, or no plan could be measured.
        InfeasibleError: no plan meets the budgets on costs, or none that was measured does.
        AccuracyError: no plan that was measured is within ``max_drop``; files are written all the same.
    """
    from qtool.exploration.outcome import check_found
    from qtool.exploration.run import run_search
    from qtool.exploration.write import lower_point, write_search

    request = search_request(model, target, out, options)
    found = run_search(request, tell, lambda at: tell("search", at.evaluations, at.limit))
    document, _ = write_search(request, found)
    check_found(request, found)
    lower_point(request, document, tell)
    return document
