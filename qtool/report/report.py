"""`Report`: everything that report.json says, as data; its fields are the keys of that file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from math import isfinite
from typing import Any, TypeAlias

from qtool.report.distributions import DistributionReport
from qtool.report.front import FrontReport
from qtool.report.outliers import OutlierReport
from qtool.report.sensitivity import SensitivityReport
from qtool.report.steps import StepReport

SCHEMA_VERSION = 1

# A field called "float" hides the type of that name from the fields after it.
_Value: TypeAlias = float | None


@dataclass(frozen=True, slots=True)
class ModelReport:
    """The model that was compiled: where it is and the digest of its bytes in hexadecimal."""

    path: str
    sha256: str


@dataclass(frozen=True, slots=True)
class MetricReport:
    """A task metric before and after; accuracies are fractions from 0 to 1, ``sqnr`` is in dB.

    Attributes:
        name: as `passes.execution.metrics` calls it.
        samples: how many samples it was measured on.
        float: of the model that came in; ``None`` where it compares with the float model.
        quantized: of the QDQ model in ONNX Runtime.
        packed: of the artifact in the integer runtime.
    """

    name: str
    samples: int
    float: _Value = None
    quantized: _Value = None
    packed: _Value = None


@dataclass(frozen=True, slots=True)
class CostReport:
    """What a network costs on the target; ``None`` where the target does not estimate it.

    Attributes:
        latency_s: seconds.
        energy_j: joules.
        weight_bytes: bytes of all weights at their own width.
        bops: bit operations.
        peak_memory_bytes: bytes of activations alive at once.
    """

    latency_s: float | None = None
    energy_j: float | None = None
    weight_bytes: float | None = None
    bops: float | None = None
    peak_memory_bytes: float | None = None


@dataclass(frozen=True, slots=True)
class BudgetReport:
    """A budget: its metric (a field of `CostReport`), limit and use in that unit, and whether it was met."""

    metric: str
    limit: float
    used: float | None
    met: bool


@dataclass(frozen=True, slots=True)
class LayerReport:
    """One layer; a layer that stays float has no bits, ``quantized`` is false and ``reason`` says why.

    One whose weights alone are stored as integers has bits of weights, and stays float otherwise.

    Attributes:
        name: unique node name.
        op: ONNX operator.
        weight_bits: bits per weight, as computed with.
        act_bits: bits per element of the activation it reads.
        loss: harm that the allocation expected of it, in the unit of the sensitivity in use.
        latency_s: seconds.
        energy_j: joules.
        weight_bytes: bytes of its weights.
        bops: bit operations.
        quantized: whether it is quantized.
        runs: ``integer``, ``simulated`` or ``float``, as `CoverageReport` has it.
        reason: why it does not run on integers.
        latency_8bit_s: seconds at 8 bits.
        energy_8bit_j: joules at 8 bits.
        macs: multiply-accumulate operations.
        compute_s: seconds that its arithmetic alone would take, where the target tells it from memory.
        memory_s: seconds that moving its operands alone would take, likewise.
        traffic_bytes: bytes that it moves across the memory interface, likewise.
        on_chip_j: joules of ``energy_j`` that go into buffers on the chip, where the target tells.
        off_chip_j: joules that go into the memory interface, likewise; the rest is arithmetic.
        index_bits: bits per weight as stored, where weights are decoded by a table.
    """

    name: str
    op: str
    weight_bits: int | None = None
    act_bits: int | None = None
    loss: float | None = None
    latency_s: float | None = None
    energy_j: float | None = None
    weight_bytes: float | None = None
    bops: float | None = None
    quantized: bool = True
    runs: str = "integer"
    reason: str | None = None
    latency_8bit_s: float | None = None
    energy_8bit_j: float | None = None
    macs: float | None = None
    compute_s: float | None = None
    memory_s: float | None = None
    traffic_bytes: float | None = None
    on_chip_j: float | None = None
    off_chip_j: float | None = None
    index_bits: int | None = None


@dataclass(frozen=True, slots=True)
class Shares:
    """Shares, 0 to 1, of the multiplications, of the weight bytes and of the elements of activations."""

    macs: float
    weight_bytes: float
    activations: float


@dataclass(frozen=True, slots=True)
class CoverageReport:
    """How much of a network is quantized.

    Attributes:
        macs: share, 0 to 1, of the multiplications of integers.
        weight_bytes: share of the weights that are stored as integers.
        kinds: what ``integer``, ``simulated`` and ``float`` have of the network; of each quantity the three
            shares sum up to 1. Integer is what the artifact runs; simulated what only the Q/DQ model rounds.
    """

    macs: float
    weight_bytes: float
    kinds: Mapping[str, Shares] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AgreementReport:
    """How far the two forms of the result agree.

    Attributes:
        qdq_vs_packed_max_lsb: largest difference between QDQ model and artifact, in steps of the output.
        top1_agreement: share of samples, 0 to 1, on which both name the same class.
        top1_vs_float: the same between the QDQ model and the float model.
    """

    qdq_vs_packed_max_lsb: float | None = None
    top1_agreement: float | None = None
    top1_vs_float: float | None = None


@dataclass(frozen=True, slots=True)
class AccumulatorReport:
    """The bits that the sums of one operator need at most, whatever the input, and what the target has.

    Attributes:
        name: unique node name.
        op: ONNX operator.
        channel: output channel with the widest sums.
        bits_needed: least width of a register that holds all of its sums, with a sign.
        bits_available: width of the target's accumulator.
    """

    name: str
    op: str
    channel: int
    bits_needed: int
    bits_available: int


@dataclass(frozen=True, slots=True)
class TimeReport:
    """Wall-clock seconds by stage; ``None`` for a stage that was not run."""

    total: float
    calibrate: float | None = None
    analyze: float | None = None
    allocate: float | None = None
    lower: float | None = None
    compare: float | None = None


@dataclass(frozen=True, slots=True)
class UnquantizedReport:
    """An operator that stays in floating point, and why."""

    name: str
    op: str
    reason: str


@dataclass(frozen=True, slots=True)
class JournalLine:
    """A remark of a pass: who, about what, what."""

    source: str
    subject: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The outcome of one ``qtool quantize``.

    Attributes:
        qtool: version of the tool.
        model: what was compiled.
        target: name of the machine.
        solver: name of the solver.
        seed: root of every random choice.
        metric: ``None`` when nothing was measured.
        cost: of the plan.
        cost_8bit: of uniform 8-bit weights and activations on the same machine.
        budgets: in the order of the request.
        layers: in graph order.
        coverage: how much runs on integers.
        agreement: ``None`` when the forms were not compared.
        time_s: by stage.
        peak_rss_bytes: the most memory that the process held.
        pipeline: the passes that ran, in text form.
        versions: of the packages that decide the result, by name.
        unquantized: operators that stay float and are no layers.
        journal: remarks of the passes, in order.
        accumulators: of every integer operator that adds, in graph order.
        outliers: tensors whose range a few values dominate, worst first.
        sensitivity_quality: how well the sensitivity in use ranks plans; ``None`` where none was used.
        front: expected loss against cost around the plan; ``None`` where no allocation was solved.
        steps: QDQ against packed, operator by operator, in graph order.
        distributions: values of the layers of which most loss is expected, and their ranges.
    """

    qtool: str
    model: ModelReport
    target: str
    solver: str
    seed: int
    metric: MetricReport | None
    cost: CostReport
    cost_8bit: CostReport
    budgets: tuple[BudgetReport, ...]
    layers: tuple[LayerReport, ...]
    coverage: CoverageReport
    agreement: AgreementReport | None
    time_s: TimeReport
    peak_rss_bytes: int
    pipeline: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    unquantized: tuple[UnquantizedReport, ...] = ()
    journal: tuple[JournalLine, ...] = ()
    accumulators: tuple[AccumulatorReport, ...] = ()
    outliers: tuple[OutlierReport, ...] = ()
    sensitivity_quality: SensitivityReport | None = None
    front: FrontReport | None = None
    steps: tuple[StepReport, ...] = ()
    distributions: tuple[DistributionReport, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the report.json document; numbers that are not finite become ``None``."""
        document: dict[str, Any] = _plain(asdict(self))
        return {"schema_version": SCHEMA_VERSION} | document

    def _repr_html_(self) -> str:
        from qtool.report.notebook import report_tables

        return report_tables(self)


def _plain(value: Any) -> Any:
    """JSON has no NaN and no infinity, and a file that has them anyway is refused by most readers."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not isfinite(value):
        return None
    return value
