"""What a result depends on besides the request: the versions of the interpreter and of some packages."""

from __future__ import annotations

import platform
from importlib.metadata import version

PACKAGES = ("onnx", "onnxruntime", "onnx-graphsurgeon", "numpy", "scipy")
"""Packages whose versions decide the result."""


def versions() -> dict[str, str]:
    """Return the versions by name, that of Python first."""
    return {"python": platform.python_version()} | {name: version(name) for name in PACKAGES}
