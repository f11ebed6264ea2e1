"""Runs an artifact over the samples of a file, a batch at a time."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from passes.artifact import Artifact
from passes.execution.npz_stream import NpzStream
from qtool.runtime.batching import samples_per_slice
from qtool.runtime.choice import IntegerEngine, instruction_set, open_engine

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


@dataclass(frozen=True)
class Execution:
    """What a run gave and took.

    Attributes:
        outputs: float32 arrays by name, samples along the first axis.
        samples: how many; ``None`` where inputs have no common first axis.
        seconds: in the engine.
        engine: what ran, for its kind and its memory.
        note: why it is not the native engine, or empty.
    """

    outputs: dict[str, NDArray[np.float32]]
    samples: int | None
    seconds: float
    engine: IntegerEngine
    note: str

    def to_json(self) -> dict[str, Any]:
        """Return the figures for a person or a program."""
        artifact = self.engine.artifact
        weights = sum(weight.nbytes for step in artifact.steps for weight in step.weights)
        document: dict[str, Any] = {"engine": self.engine.kind, "instructions": instruction_set(self.engine)}
        if self.note:
            document["note"] = self.note
        if self.samples:
            document["samples"] = self.samples
            document["samples_per_second"] = round(self.samples / self.seconds, 1)
        document["weight_bytes"] = weights
        if self.engine.peak_bytes is not None:
            document["activation_peak_bytes"] = self.engine.peak_bytes
        document["outputs"] = {name: [*array.shape] for name, array in self.outputs.items()}
        return document


def execute(artifact: Path, data: Path, kind: str, threads: int, batch: int) -> Execution:
    """Run an artifact over an .npz file, of which only one batch is in memory at a time.

    Args:
        artifact: a .qpk file.
        data: an .npz file with one array per input.
        kind: of the engine, as `qtool.runtime.open_engine` takes it.
        threads: of the native engine; 0 for one per processor.
        batch: samples at a time, where samples do not depend on each other.

    Raises:
        ArtifactError: the artifact is damaged or cannot be executed.
        DataError: the data cannot be read or do not fit.
        UsageError: the engine is not there.
    """
    program = Artifact.load(artifact)
    engine, note = open_engine(program, kind, threads)
    size = None if samples_per_slice(program) is None else batch
    parts, seconds = [], 0.0
    with NpzStream(data, program.inputs) as stream:
        for feeds in stream.batches(size):
            start = time.perf_counter()
            parts.append(engine.run(feeds))
            seconds += time.perf_counter() - start
        outputs = {name: _joined([part[name] for part in parts]) for name in program.outputs}
        return Execution(outputs, stream.count, seconds, engine, note)


def _joined(parts: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
