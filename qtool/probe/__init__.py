"""``qtool targets probe``: measures the machine at hand through ONNX Runtime and fits a cost model to it."""

from qtool.probe.run import FULL_SHAPES, QUICK_SHAPES, ProbeRequest, run_probe

__all__ = ["FULL_SHAPES", "QUICK_SHAPES", "ProbeRequest", "run_probe"]
