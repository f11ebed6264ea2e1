"""What can go wrong with a hardware model, as a tree; each error knows its exit code.

::

    HardwareError              3   a size, a bit count or a model that cannot be used
    +-- SpecError              3   a machine file that cannot be used
    +-- UnsupportedError       3   a precision that a machine cannot run
    +-- UnknownTargetError     2   a name that no machine has
"""

from __future__ import annotations

from typing import ClassVar


class HardwareError(Exception):
    """Root of every error raised on purpose by this package."""

    exit_code: ClassVar[int] = 3


class SpecError(HardwareError):
    """A machine file is damaged; the message names file, table and key, what was expected and found."""


class UnsupportedError(HardwareError):
    """No precision that the machine supports is at least as wide as the one asked for."""


class UnknownTargetError(HardwareError):
    """No built-in machine, plug-in or file has the name asked for."""

    exit_code = 2
