"""What a compilation reports: the data, and the files written from them."""

from qtool.report.distributions import DistributionReport
from qtool.report.front import FrontPoint, FrontReport
from qtool.report.json import report_json
from qtool.report.markdown import report_markdown
from qtool.report.outliers import OutlierReport
from qtool.report.report import (
    AccumulatorReport,
    AgreementReport,
    BudgetReport,
    CostReport,
    CoverageReport,
    JournalLine,
    LayerReport,
    MetricReport,
    ModelReport,
    Report,
    Shares,
    TimeReport,
    UnquantizedReport,
)
from qtool.report.sensitivity import SensitivityReport
from qtool.report.steps import StepReport

__all__ = [
    "AccumulatorReport",
    "AgreementReport",
    "BudgetReport",
    "CostReport",
    "CoverageReport",
    "DistributionReport",
    "FrontPoint",
    "FrontReport",
    "JournalLine",
    "LayerReport",
    "MetricReport",
    "ModelReport",
    "OutlierReport",
    "Report",
    "SensitivityReport",
    "Shares",
    "StepReport",
    "TimeReport",
    "UnquantizedReport",
    "report_json",
    "report_markdown",
]
