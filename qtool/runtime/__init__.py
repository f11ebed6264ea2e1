"""The integer runtime: executes a packed artifact exactly, in numpy for reference, or on kernels in C++."""

from qtool.runtime.choice import IntegerEngine, open_engine
from qtool.runtime.engine import Engine

__all__ = ["Engine", "IntegerEngine", "open_engine"]
