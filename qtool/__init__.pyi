"""What type checkers see of the names that ``__init__.py`` loads on first use."""

from hwmodels import HardwareModel as HardwareModel
from hwmodels import Metric as Metric
from hwmodels import Precision as Precision
from hwmodels import load_target as load_target
from passes.allocation import Solver as Solver
from passes.allocation.quantities import BudgetRequest as BudgetRequest
from passes.api import Analysis as Analysis
from passes.api import Aspect as Aspect
from passes.api import Pass as Pass
from passes.api import PassContext as PassContext
from passes.api import PassResult as PassResult
from passes.errors import QtoolError as QtoolError
from passes.ir.model import Model as Model
from passes.ir.onnx_io import read_model as read_model
from passes.manager import PassManager as PassManager
from qtool.analysis import AnalyzeRequest as AnalyzeRequest
from qtool.analysis import run_analyze as run_analyze
from qtool.api import analyze as analyze
from qtool.api import quantize as quantize
from qtool.api import search as search
from qtool.quantization import run_quantize as run_quantize
from qtool.report.report import Report as Report
from qtool.request import QuantizeRequest as QuantizeRequest

__version__: str
