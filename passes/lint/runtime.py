"""`Runtime`: the release of ONNX Runtime that a model is meant for, and how it will be loaded."""

from __future__ import annotations

import re
from dataclasses import dataclass

from passes.errors import UsageError

_LIMITS = {(1, 20): (21, 10), (1, 22): (22, 10), (1, 23): (23, 11), (1, 24): (25, 13), (1, 26): (26, 13)}
"""Highest opset and IR version that releases accept, measured; others are taken for the one before."""
FIRST = min(_LIMITS)
LEVELS = ("default", "basic")
_TEXT = re.compile(r"(?:onnxruntime(?:==|\s))?(\d{1,4})\.(\d{1,4})(?:\.[0-9a-zA-Z.+]+)?")


@dataclass(frozen=True, slots=True)
class Runtime:
    """A release on processors, and the level of optimization.

    Attributes:
        version: major and minor number.
        basic: whether models are loaded at ``ORT_ENABLE_BASIC``, without integer kernels.
    """

    version: tuple[int, int]
    basic: bool = False

    @property
    def max_opset(self) -> int:
        """Highest opset of the default domain that loads."""
        return self._limits()[0]

    @property
    def max_ir(self) -> int:
        """Highest IR version that loads."""
        return self._limits()[1]

    def _limits(self) -> tuple[int, int]:
        return _LIMITS[max(known for known in _LIMITS if known <= self.version)]

    def __str__(self) -> str:
        """Return the usual name of the release."""
        return f"onnxruntime {self.version[0]}.{self.version[1]}"


def parse_runtime(text: str, level: str = "default") -> Runtime:
    """Read a release, such as ``onnxruntime==1.31.1`` or ``1.31``, and a level, ``default`` or ``basic``.

    Raises:
        UsageError: something else, or a release before 1.20, the first whose traps are known.
    """
    if level not in LEVELS:
        raise UsageError(f"--level: expected {' or '.join(LEVELS)}, found {level!r}")
    match = _TEXT.fullmatch(text.strip())
    if match is None:
        raise UsageError(
            f"--runtime: expected onnxruntime==X.Y.Z, such as onnxruntime==1.31.1, found {text!r}"
        )
    version = int(match[1]), int(match[2])
    if version < FIRST:
        raise UsageError(f"--runtime: expected 1.20 or later, whose traps are known, found {text!r}")
    return Runtime(version, level == "basic")
