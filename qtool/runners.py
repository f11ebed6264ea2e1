"""Anything that maps inputs to outputs: a float or Q/DQ model in ONNX Runtime, or a packed artifact."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from passes.artifact import Artifact
from passes.execution.dataset import InputSpec, graph_inputs
from passes.execution.feed_source import samples_in
from passes.execution.joined import joined
from passes.execution.prefetch import prefetch
from passes.execution.session import Level, Session
from passes.ir.onnx_io import read_model, to_proto
from qtool.runtime import IntegerEngine, open_engine

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import onnx
    from numpy.typing import NDArray

    from passes.execution.dataset import Dataset

BATCH = 16


class Runner(Protocol):
    """Runs batches."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs, in order."""

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Return the outputs of one batch, in the model's order."""


@dataclass(frozen=True)
class OnnxRunner:
    """A model in ONNX Runtime."""

    session: Session

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the model's outputs."""
        return self.session.outputs

    @classmethod
    def of(cls, proto: onnx.ModelProto, level: Level, threads: int) -> OnnxRunner:
        """Load a model."""
        return cls(Session(proto, level, threads))

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Return the outputs of one batch."""
        return self.session.run(feeds)


@dataclass(frozen=True)
class PackedRunner:
    """An artifact in the integer runtime.

    The native engine has threads of its own; for the reference, samples are spread over threads.

    Attributes:
        engine: gives the same results whatever ran before.
        threads: 0 for one per processor.
    """

    engine: IntegerEngine
    threads: int = 0

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs, in order."""
        return self.engine.artifact.outputs

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Return the outputs of one batch; inputs that nothing reads are no part of an artifact."""
        read = self.engine.artifact.inputs
        feeds = {name: array for name, array in feeds.items() if name in read}
        if not self._samples_are_free(feeds):
            result = self.engine.run(feeds)
            return [result[name] for name in self.outputs]
        count = len(next(iter(feeds.values())))
        parts = min(self.threads or os.cpu_count() or 1, count)
        bounds = [count * index // parts for index in range(parts + 1)]
        slices = [
            {name: array[start:stop] for name, array in feeds.items()} for start, stop in pairwise(bounds)
        ]
        with ThreadPoolExecutor(parts) as pool:
            results = list(pool.map(self.engine.run, slices))
        return [np.concatenate([result[name] for result in results]) for name in self.outputs]

    def _samples_are_free(self, feeds: Mapping[str, NDArray[Any]]) -> bool:
        """True when the reference engine runs, and inputs and outputs may have any number of samples."""
        if self.engine.kind == "native":
            return False
        info = self.engine.artifact.tensors
        return all(info[name].shape[:1] == (None,) for name in (*feeds, *self.outputs))


def open_runner(path: Path, level: Level, threads: int) -> tuple[Runner, tuple[InputSpec, ...]]:
    """Load a model or an artifact from a file, and say what it reads.

    Raises:
        ModelError: the .onnx file cannot be used.
        ArtifactError: the .qpk file cannot be used.
    """
    if path.suffix == ".qpk":
        artifact = Artifact.load(path)
        tensors = [artifact.tensors[name] for name in artifact.inputs]
        specs = tuple(
            InputSpec(tensor.name, tensor.shape, np.dtype(np.int64 if tensor.is_index else np.float32))
            for tensor in tensors
        )
        return PackedRunner(open_engine(artifact, threads=threads)[0], threads), specs
    model = read_model(path)
    return OnnxRunner.of(to_proto(model), level, threads), graph_inputs(model.graph)


def run_all(
    runners: Sequence[Runner], data: Dataset, tell: Callable[[str, int, int], None], limit: int | None = None
) -> list[list[NDArray[Any]]]:
    """Run several models over the same data.

    Returns:
        For each runner its outputs, samples along the first axis.
    """
    collected: list[list[list[NDArray[Any]]]] = [[] for _ in runners]
    total, done = min(data.count, limit or data.count), 0
    for feeds in prefetch(data.batches(BATCH, limit)):
        for runner, outputs in zip(runners, collected, strict=True):
            outputs.append(runner.run(feeds))
        done += samples_in(feeds) or 1
        tell("compare", done, total)
    return [joined(outputs) for outputs in collected]
