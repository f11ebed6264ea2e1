"""What a machine can do and what it costs: the bottom layer, which knows nothing of ONNX or of the compiler.

Three things are kept apart: what work (`Workload`), what machine (a TOML file, read by `read_spec`), and how
it is priced (one class per architecture, behind the protocol `HardwareModel`)::

    model = load_target("bitfusion")
    work = Workload.conv("conv1", (64, 64), (3, 3), (56, 56))
    model.cost(work, Precision(8, 8)).cycles  # 225792
"""

from __future__ import annotations

from hwmodels.elementwise import Elementwise, ElementwiseStep
from hwmodels.errors import HardwareError, SpecError, UnknownTargetError, UnsupportedError
from hwmodels.model import (
    HardwareModel,
    PricesArrays,
    PricesElementwise,
    PricesNetworks,
    narrowest_cover,
)
from hwmodels.network import network_cost, price_table
from hwmodels.registry import load_target, target_names
from hwmodels.rules import Rules
from hwmodels.schedule import LiveTensor, Schedule, Step
from hwmodels.spec import HardwareSpec, read_spec
from hwmodels.types import FLOAT, Cost, Metric, NetworkCost, Precision
from hwmodels.workload import Workload

__all__ = [
    "FLOAT",
    "Cost",
    "Elementwise",
    "ElementwiseStep",
    "HardwareError",
    "HardwareModel",
    "HardwareSpec",
    "LiveTensor",
    "Metric",
    "NetworkCost",
    "Precision",
    "PricesArrays",
    "PricesElementwise",
    "PricesNetworks",
    "Rules",
    "Schedule",
    "SpecError",
    "Step",
    "UnknownTargetError",
    "UnsupportedError",
    "Workload",
    "load_target",
    "narrowest_cover",
    "network_cost",
    "price_table",
    "read_spec",
    "target_names",
]
