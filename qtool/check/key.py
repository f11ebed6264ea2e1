"""What a result depends on, as digests, and the key under which it is kept."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict
from importlib.metadata import entry_points, version
from typing import TYPE_CHECKING

from qtool.check.digest import (
    code_digest,
    data_digest,
    file_digest,
    model_digest,
    target_digest,
    text_digest,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from qtool.check.config import ModelConfig

LIBRARIES = ("numpy", "onnx", "onnx-graphsurgeon", "onnxruntime", "scipy")
"""Packages whose versions decide the result."""
PLUGINS = ("qtool.hwmodels", "qtool.passes", "qtool.solvers")
_PATHS = ("target", "calib", "eval")


def surroundings() -> dict[str, str]:
    """Return what every result depends on: the tool, its libraries and plug-ins, Python and the platform."""
    offered = {
        f"{point.dist.name} {point.dist.version}"
        for group in PLUGINS
        for point in entry_points(group=group)
        if point.dist is not None
    }
    return {
        "qtool": code_digest(),
        "plugins": ", ".join(sorted(offered)),
        "python": ".".join(platform.python_version_tuple()[:2]),
        "machine": f"{platform.system()} {platform.machine()}",
        **{name: version(name) for name in LIBRARIES},
    }


def inputs_of(
    model: ModelConfig, around: Mapping[str, str], beside: Callable[[Path, str], tuple[str, ...]]
) -> dict[str, str]:
    """Return what the result of one model depends on, by name.

    Args:
        model: which model, data and options.
        around: `surroundings`.
        beside: names the files of external data of a model, given its path and digest.

    Raises:
        ModelError: there is no model.
        DataError: there are no data where they should be.
        OSError: a file cannot be read.
    """
    options = asdict(model.options)
    paths = {name: options.pop(name) for name in _PATHS}
    digest = model_digest(model.path)
    external = [file_digest(model.path.parent / name) for name in beside(model.path, digest)]
    return {
        "model": digest if not external else text_digest(digest + "".join(external)),
        "calib": data_digest(paths["calib"]) if paths["calib"] else "",
        "eval": data_digest(paths["eval"]) if paths["eval"] else "",
        "target": target_digest(paths["target"]),
        "options": json.dumps({name: value for name, value in options.items() if value}, sort_keys=True),
        **around,
    }


def key_of(inputs: Mapping[str, str]) -> str:
    """Return the key of a result: the digest of everything that it depends on."""
    return text_digest(json.dumps(dict(inputs), sort_keys=True))
