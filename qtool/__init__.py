"""qtool: mixed-precision quantization of ONNX models for a given machine.

The command line is `qtool.cli`; the same from Python::

    import qtool

    request = qtool.QuantizeRequest(model=path, calib="calib.npz", target="bitfusion", out=folder)
    report = qtool.run_quantize(request)

Everything is loaded on first use: importing this package costs nothing.
"""

from __future__ import annotations

from importlib import import_module

__version__ = "0.1.0"

__all__ = ["QuantizeRequest", "Report", "__version__", "run_analyze", "run_quantize"]

_HOMES = {
    "QuantizeRequest": "qtool.request",
    "Report": "qtool.report.report",
    "run_analyze": "qtool.analysis",
    "run_quantize": "qtool.quantization",
}


def __getattr__(name: str) -> object:
    """Load a public name on first use.

    Raises:
        AttributeError: the package has no such name.
    """
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
