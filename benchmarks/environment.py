"""What the figures of a benchmark depend on."""

from __future__ import annotations

import datetime
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

PACKAGES = ("qtool", "onnx", "onnxruntime", "numpy", "scipy")
INSTRUCTIONS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni")


def environment() -> dict[str, Any]:
    """Return date, versions and machine."""
    info = Path("/proc/cpuinfo")
    flags = info.read_text() if info.exists() else ""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "instructions": [name for name in INSTRUCTIONS if f" {name}" in flags],
    }
