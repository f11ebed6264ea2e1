"""The integer runtime: executes a packed artifact exactly, with numpy alone, as the reference for kernels."""

from qtool.runtime.engine import Engine

__all__ = ["Engine"]
