"""Where a training run stands, as one .safetensors file: numbers only, no code, replaced as a whole."""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from passes.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

FORMAT = "qtool training checkpoint 1"


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands.

    Attributes:
        step: steps taken.
        before: loss on the samples held out with the plan to start with.
        best: the least met so far.
        best_step: after how many steps that was; 0 for the plan to start with.
    """

    step: int
    before: float
    best: float
    best_step: int


def save_checkpoint(path: Path, run: str, progress: Progress, tensors: Mapping[str, Tensor]) -> None:
    """Write a checkpoint to a temporary file, then put it in the place of the one before.

    Args:
        path: of the file; folders above it are made.
        run: fingerprint of the run that it belongs to.
        progress: see `Progress`.
        tensors: by name.

    Raises:
        DataError: it cannot be written.
    """
    described = {"format": FORMAT, "run": run, "progress": json.dumps(asdict(progress))}
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(
            {name: it.detach().cpu().contiguous() for name, it in tensors.items()}, temporary, described
        )
        temporary.replace(path)
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path}: the checkpoint cannot be written: {error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def load_checkpoint(
    path: Path, run: str, expected: Mapping[str, Tensor]
) -> tuple[Progress, dict[str, Tensor]] | None:
    """Read a checkpoint, or return ``None`` where there is none.

    Args:
        path: of the file.
        run: fingerprint of the run that goes on.
        expected: tensors of the names, shapes and types that it must have.

    Raises:
        DataError: it is damaged, or of another run.
    """
    if not path.exists():
        return None
    hint = "delete it to begin anew"
    try:
        with safe_open(path, framework="pt") as file:
            described = file.metadata() or {}
            if described.get("format") != FORMAT:
                raise DataError(f"{path}: expected a file of format {FORMAT!r}; {hint}")
            if described.get("run") != run:
                raise DataError(f"{path}: belongs to a run with another model, plan, data or options; {hint}")
            progress = _progress(json.loads(described["progress"]))
            if set(file.keys()) != set(expected):
                raise DataError(f"{path}: the checkpoint does not hold the tensors of this run; {hint}")
            found = {name: file.get_tensor(name) for name in expected}
    except (OSError, SafetensorError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"{path}: the checkpoint cannot be read: {error}; {hint}") from error
    for name, tensor in found.items():
        if (tensor.shape, tensor.dtype) != (expected[name].shape, expected[name].dtype):
            raise DataError(f"{path}: tensor {name!r} has another shape or type than in this run; {hint}")
    return progress, found


def _progress(found: dict[str, Any]) -> Progress:
    progress = Progress(**found)
    if min(progress.step, progress.best_step) < 0 or not all(
        math.isfinite(it) for it in (progress.before, progress.best)
    ):
        raise ValueError(f"progress makes no sense: {found}")
    return progress
