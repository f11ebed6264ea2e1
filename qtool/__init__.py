"""qtool: mixed-precision quantization of ONNX models for a given machine.

The command line is `qtool.cli`; the same from Python::

    import qtool

    report = qtool.quantize("model.onnx", calib="calib.npz", target="bitfusion", max_size="0.5x", out="out")

The names of ``__all__`` are stable; docs/api.md shows them at work. Everything is loaded on first use:
importing this package costs nothing.
"""

from __future__ import annotations

from importlib import import_module

__version__ = "0.1.0"

__all__ = [
    "Analysis",
    "AnalyzeRequest",
    "Aspect",
    "BudgetRequest",
    "HardwareModel",
    "Metric",
    "Model",
    "Pass",
    "PassContext",
    "PassManager",
    "PassResult",
    "Precision",
    "QtoolError",
    "QuantizeRequest",
    "Report",
    "Solver",
    "__version__",
    "analyze",
    "load_target",
    "quantize",
    "read_model",
    "run_analyze",
    "run_quantize",
    "search",
]

_HOMES = {
    "hwmodels": ("HardwareModel", "Metric", "Precision", "load_target"),
    "passes.allocation": ("Solver",),
    "passes.allocation.quantities": ("BudgetRequest",),
    "passes.api": ("Analysis", "Aspect", "Pass", "PassContext", "PassResult"),
    "passes.errors": ("QtoolError",),
    "passes.ir.model": ("Model",),
    "passes.ir.onnx_io": ("read_model",),
    "passes.manager": ("PassManager",),
    "qtool.analysis": ("AnalyzeRequest", "run_analyze"),
    "qtool.api": ("analyze", "quantize", "search"),
    "qtool.quantization": ("run_quantize",),
    "qtool.report.report": ("Report",),
    "qtool.request": ("QuantizeRequest",),
}
"""Where the public names live; ``__init__.pyi`` tells type checkers. No module here may have such a name."""


def __getattr__(name: str) -> object:
    """Load a public name on first use.

    Raises:
        AttributeError: the package has no such name.
    """
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names, loaded or not, for completion."""
    return sorted({*globals(), *__all__})
