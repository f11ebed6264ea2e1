"""The native engine: plans memory and calls in Python, and computes in C++."""

from qtool.runtime.native_engine.engine import NativeEngine

__all__ = ["NativeEngine"]
