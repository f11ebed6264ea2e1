"""``qtool analyze``: the allocation problem that sensitivities and costs of a model make."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any

from hwmodels import load_target
from passes.allocation.allocate import Allocate
from passes.analysis.cost import Costs
from passes.analysis.float_safety import FloatSafetyTable
from passes.analysis.names import find_sensitivity, installed_sensitivities
from passes.api import PassContext
from passes.errors import ModelError, UsageError
from passes.execution.dataset import graph_inputs, open_dataset
from passes.ir.onnx_io import read_model
from passes.ir.setup import quantizer_setup
from passes.ir.verify import verify_model
from passes.manager import PassManager
from passes.transform.canonicalize import Canonicalize
from passes.transform.equalize import Equalize
from passes.transform.fold_batchnorm import FoldBatchNorm
from passes.transform.split_norms import SplitNorms
from qtool.files import write_json
from qtool.sensitivity_quality import sensitivity_quality

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from passes.execution.preprocess import Preprocess
    from passes.ir.model import Model

EVERY_WIDTH = (2, 3, 4, 5, 6, 7, 8)
QUALITY_SAMPLES = 128
"""Calibration samples on which random plans are measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalyzeRequest:
    """One analysis; valid by construction, as far as that can be told without opening the model.

    Attributes:
        model: the .onnx file.
        calib: where the calibration samples are.
        target: name of a machine, or path of its .toml file.
        preprocess: how images become inputs.
        samples: use the first so many.
        sensitivity: a name in `passes.analysis.names.SENSITIVITIES`.
        out: file for the result, if any.
        quality_plans: random plans to measure; 0 for none.
        compare: judge every sensitivity whose package is installed by them, and not this one alone.
        shapes: of inputs, by name, at which work is priced.
        float_safety: judge every layer in floating-point formats of few bits as well.

    Raises:
        UsageError: an unknown sensitivity, or plans that judge nothing.
    """

    model: Path
    calib: str
    target: str
    preprocess: Preprocess | None = None
    samples: int | None = None
    sensitivity: str = "scaled"
    out: Path | None = None
    quality_plans: int = 0
    compare: bool = False
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    float_safety: bool = False

    def __post_init__(self) -> None:
        """Check the name and the number."""
        find_sensitivity(self.sensitivity)
        plans = self.quality_plans
        if plans < 0 or plans == 1 or (self.compare and not plans):
            raise UsageError(
                f"--quality-plans: expected 0, or 2 and more, to compare 2 and more, found {plans}"
            )


def run_analyze(request: AnalyzeRequest, tell: Callable[[str, int, int], None]) -> dict[str, Any]:
    """Analyze a model.

    With random plans to measure, the document says under ``quality`` how well the sensitivity ranks them, or,
    to compare, every sensitivity whose package is installed. Under ``float_safety`` it says, if that is asked
    for, what of each layer underflows in fp16, bf16 and fp8, and how far its largest number is from overflow.

    Args:
        request: what to do.
        tell: called with (stage, done, total) as work proceeds.

    Returns:
        The document that is written: layers with choices as in PROBLEM.json, so that ``qtool allocate``
        reads it as it is, ranked from the most to the least sensitive under ``ranking``.

    Raises:
        InputError: model or data cannot be used.
        UsageError: an unknown target.
    """
    opened = read_model(request.model)
    verify_model(opened)
    ctx = PassContext(load_target(request.target), shapes=request.shapes, progress=tell)
    inputs = graph_inputs(opened.graph)
    ctx.calibration = open_dataset(request.calib, inputs, request.preprocess, request.samples)
    allocate = Allocate(sensitivity=request.sensitivity, minimize="size", bits=EVERY_WIDTH)
    PassManager((Canonicalize(), FoldBatchNorm())).run(opened, ctx)
    # Asked before weights are changed for integers.
    safety = _float_safety(opened, ctx) if request.float_safety else {}
    PassManager((Equalize(), SplitNorms())).run(opened, ctx)
    ctx.observes = allocate.observes
    setup = quantizer_setup(opened.graph, ctx.target)
    if not setup.layers:
        raise ModelError(f"{request.model}: nothing can be quantized")
    problem = allocate.problem(opened, ctx, {})
    table = allocate.sensitivities(opened, ctx, ctx.get(Costs(EVERY_WIDTH), opened))
    document = problem.to_json() | {
        "model_sha256": opened.sha256,
        "target": ctx.target.name,
        "sensitivity": table.to_json(),
        "ranking": _ranking(problem.to_json()["layers"]),
        "unquantized": [{"name": it.name, "op": it.op, "reason": it.reason} for it in setup.unquantized],
    }
    document |= safety
    if request.quality_plans:
        names = installed_sensitivities() if request.compare else (request.sensitivity,)
        found = sensitivity_quality(names, request.quality_plans, opened, ctx, samples=QUALITY_SAMPLES)
        document["quality"] = [asdict(entry) for entry in found]
    if request.out is not None:
        write_json(document, request.out)
    return document


def _float_safety(model: Model, ctx: PassContext) -> dict[str, Any]:
    """Return the entry of the document; a headroom is ``None`` where all numbers are 0."""
    rows = [it.to_json() for it in ctx.get(FloatSafetyTable(), model)]
    return {"float_safety": [row | {"headroom": _finite(row["headroom"])} for row in rows]}


def _finite(value: float | str | bool) -> float | str | bool | None:
    return None if value == inf else value


def _ranking(layers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rank layers by the loss of their narrowest choice."""
    entries = [
        {
            "name": layer["name"],
            "narrowest": f"w{layer['choices'][0]['weight_bits']}a{layer['choices'][0]['act_bits']}",
            "loss": layer["choices"][0]["loss"],
        }
        for layer in layers
    ]
    return sorted(entries, key=lambda entry: (-entry["loss"], entry["name"]))
