"""`open_engine`: the native engine where it can be had, else the reference."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from passes.errors import unknown_name
from qtool.runtime.engine import Engine
from qtool.runtime.native import instruction_sets, is_built
from qtool.runtime.native_engine import NativeEngine

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from passes.artifact import Artifact

KINDS = ("auto", "native", "reference")
FELL_BACK = (
    "the native kernels are not part of this installation, so the reference engine runs; "
    "reinstall with a C++17 compiler and without QTOOL_NATIVE=0"
)


class IntegerEngine(Protocol):
    """What both engines do, with the same bits."""

    artifact: Artifact
    kind: str

    @property
    def peak_bytes(self) -> int | None:
        """Most bytes of activations so far, or ``None`` where nobody counts them."""

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        """Return float32 values of every graph output for a batch."""

    def trace(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Return every tensor: codes, or float32 values in the tail."""

    def run_step(self, name: str, tensors: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """Return the output of one step for the codes of its inputs."""


def open_engine(artifact: Artifact, kind: str = "auto", threads: int = 1) -> tuple[IntegerEngine, str]:
    """Prepare an artifact for execution.

    Args:
        artifact: the program.
        kind: one of `KINDS`; ``"auto"`` takes the reference where there are no native kernels.
        threads: of the native engine; 0 for one per processor.

    Returns:
        The engine, and why it is not the native one, or an empty text.

    Raises:
        UsageError: an unknown kind, or native kernels that are not there.
        ArtifactError: a step cannot be executed exactly.
        InputError: scales do not belong together.
    """
    if kind not in KINDS:
        raise unknown_name("engine", kind, KINDS)
    if kind == "reference" or (kind == "auto" and not is_built()):
        return Engine(artifact), FELL_BACK if kind == "auto" else ""
    return NativeEngine(artifact, threads or os.cpu_count() or 1), ""


def instruction_set(engine: IntegerEngine) -> str:
    """Name the instructions that an engine computes with; those of numpy are not known here."""
    return instruction_sets()[0] if engine.kind == "native" else "numpy"
