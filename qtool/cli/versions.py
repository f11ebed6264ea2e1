"""``qtool --version``: the versions that a report of a bug needs."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import TYPE_CHECKING

from qtool import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGES = ("onnx", "onnxruntime", "onnx-graphsurgeon", "numpy", "scipy", "torch")
"""Packages that decide results or speed; those that are not installed are left out."""
_KERNELS = "qtool.runtime.native._kernels"


def version_lines() -> Iterator[str]:
    """Yield the tool, Python, the libraries there are, and whether the native kernels were built."""
    yield f"qtool {__version__}"
    yield f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    for package in PACKAGES:
        try:
            yield f"{package} {version(package)}"
        except PackageNotFoundError:
            continue
    yield f"native kernels: {'built' if find_spec(_KERNELS) else 'not built'}"
