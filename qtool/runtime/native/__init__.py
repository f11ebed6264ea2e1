"""The native kernels: what the runtime does in numpy, in C++ and bit for bit the same.

The extension module is optional. Without a compiler, or with ``QTOOL_NATIVE=0`` in the environment of the
build, qtool installs without it and runs on the reference kernels alone.
"""

from __future__ import annotations

from importlib import import_module, util
from typing import TYPE_CHECKING

from passes.errors import UsageError

if TYPE_CHECKING:
    from qtool.runtime.native._kernels import Executor

_MODULE = "qtool.runtime.native._kernels"


def is_built() -> bool:
    """Whether this installation holds the extension module."""
    return util.find_spec(_MODULE) is not None


def instruction_sets() -> tuple[str, ...]:
    """Return the instruction sets of the build that this machine has, best first; none without the module."""
    return tuple(import_module(_MODULE).supported()) if is_built() else ()


def make_executor(isa: str = "auto", threads: int = 1) -> Executor:
    """Return what runs the kernels.

    Args:
        isa: one of `instruction_sets`, or ``"auto"`` for the best.
        threads: threads of one call, 1..256; results do not depend on it.

    Raises:
        UsageError: there is no such instruction set, or no extension module.
    """
    known = instruction_sets()
    if not known:
        raise UsageError(
            "native engine: this installation has no extension module; reinstall with a C++17 compiler and "
            "without QTOOL_NATIVE=0, or use the reference engine"
        )
    if isa not in {"auto", *known}:
        raise UsageError(
            f"native engine: instruction set {isa!r} is not on this machine; known: {', '.join(known)}"
        )
    made: Executor = import_module(_MODULE).Executor(isa, threads)
    return made
