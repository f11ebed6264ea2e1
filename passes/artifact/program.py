"""`Artifact`: a whole integer program and its .qpk file."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from passes.artifact.check import check_program
from passes.artifact.constants import ConstantReader, ConstantWriter
from passes.artifact.container import parse_json, read_container, write_container
from passes.artifact.document import step_from_json, step_to_json, tensor_from_json, tensor_to_json
from passes.artifact.fields import Fields
from passes.errors import ArtifactError
from passes.numerics import RequantRule, Rounding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from passes.artifact.step import Step
    from passes.artifact.tensor import TensorInfo

FORMAT = "qpk"
VERSION = 2
MAX_GRAPH_BYTES = 1 << 28


@dataclass(frozen=True, slots=True, eq=False)
class Artifact:
    """An integer program: steps in the order of execution, on tensors with fixed parameters.

    Attributes:
        producer: program and version that made it, such as ``"qtool 0.1.0"``.
        model_sha256: digest of the ONNX file that it came from.
        target: name of the machine that it was compiled for.
        rounding: a value of `passes.numerics.Rounding`; how every requantization rounds.
        requantization: a value of `passes.numerics.RequantRule`; how it multiplies by a real number.
        inputs: names of the graph's inputs.
        outputs: names of the graph's outputs.
        tensors: every tensor that is computed, by name.
        steps: in the order of execution.

    Raises:
        ArtifactError: on construction, when the program contradicts itself.
    """

    producer: str
    model_sha256: str
    target: str
    rounding: str
    requantization: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    tensors: dict[str, TensorInfo]
    steps: tuple[Step, ...]

    def __post_init__(self) -> None:
        """Check the program as a whole."""
        _check_word("rounding", self.rounding, list(Rounding))
        _check_word("requantization", self.requantization, list(RequantRule))
        check_program(self.inputs, self.outputs, self.tensors, self.steps)

    def save(self, path: Path | str) -> None:
        """Write the .qpk file under a temporary name, then rename it; equal artifacts give equal bytes.

        Raises:
            OSError: when the file cannot be written.
        """
        constants = ConstantWriter()
        weights: dict[str, NDArray[np.uint8]] = {}
        entries = []
        for step in self.steps:
            keys = [f"w{len(weights) + index}" for index in range(len(step.weights))]
            weights |= {key: weight.data for key, weight in zip(keys, step.weights, strict=True)}
            entries.append(step_to_json(step, keys, constants))
        tensors = {**weights, "constants": constants.data, "graph": self._graph(entries)}
        metadata = {"format": FORMAT, "version": str(VERSION), "producer": self.producer}
        write_container(Path(path), metadata, tensors)

    def _graph(self, steps: list[dict[str, Any]]) -> NDArray[np.uint8]:
        document = {
            "model_sha256": self.model_sha256,
            "target": self.target,
            "rounding": self.rounding,
            "requantization": self.requantization,
            "inputs": list(self.inputs),
            "outputs": list(self.outputs),
            "tensors": [tensor_to_json(tensor) for tensor in self.tensors.values()],
            "steps": steps,
        }
        text = json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
        return np.frombuffer(zlib.compress(text, 9), np.uint8)

    @classmethod
    def load(cls, path: Path | str) -> Artifact:
        """Map a .qpk file and check all of it; the weights stay views of the file.

        Raises:
            ArtifactError: when the file is damaged, of another version or not consistent in itself.
        """
        container = read_container(Path(path))
        producer = _check_metadata(container.metadata, str(path))
        weights = dict(container.tensors)
        graph, pool = weights.pop("graph", None), weights.pop("constants", None)
        if graph is None or pool is None:
            raise ArtifactError(f"{path}: lacks its graph or its constants")
        fields = Fields(parse_json(_inflate(graph, str(path)), f"{path}: graph"), f"{path}: graph")
        artifact = cls._from_fields(fields, producer, weights, ConstantReader(pool))
        if weights:
            raise ArtifactError(f"{path}: no step uses the tensor {min(weights)[:80]!r}")
        return artifact

    @classmethod
    def _from_fields(
        cls, fields: Fields, producer: str, weights: dict[str, NDArray[np.uint8]], constants: ConstantReader
    ) -> Artifact:
        tensors = [tensor_from_json(entry) for entry in fields.items("tensors")]
        artifact = cls(
            producer=producer,
            model_sha256=fields.text("model_sha256"),
            target=fields.text("target"),
            rounding=fields.text("rounding"),
            requantization=fields.text("requantization"),
            inputs=fields.texts("inputs"),
            outputs=fields.texts("outputs"),
            tensors={tensor.name: tensor for tensor in tensors},
            steps=tuple(step_from_json(entry, weights, constants) for entry in fields.items("steps")),
        )
        fields.done()
        if len(artifact.tensors) != len(tensors):
            raise ArtifactError(f"{fields.where}: two tensors have the same name")
        return artifact


def _check_word(key: str, word: str, known: Sequence[str]) -> None:
    if word not in known:
        raise ArtifactError(f"{key} must be one of {', '.join(known)}, got {word[:40]!r}")


def _check_metadata(metadata: dict[str, str], where: str) -> str:
    """Check format and version; return the producer."""
    if metadata.get("format") != FORMAT:
        raise ArtifactError(f"{where}: is no .qpk file: its metadata lack format = {FORMAT!r}")
    version = metadata.get("version", "")
    if version != str(VERSION):
        raise ArtifactError(f"{where}: has version {version[:20]!r}; this program supports version {VERSION}")
    return metadata.get("producer", "unknown")


def _inflate(data: NDArray[np.uint8], where: str) -> bytes:
    """Decompress at most `MAX_GRAPH_BYTES`, so that a small file cannot fill the memory."""
    inflater = zlib.decompressobj()
    try:
        text = inflater.decompress(data.tobytes(), MAX_GRAPH_BYTES)
    except zlib.error as error:
        raise ArtifactError(f"{where}: the graph cannot be decompressed: {error}") from error
    if not inflater.eof or inflater.unused_data:
        raise ArtifactError(f"{where}: the graph is truncated or larger than {MAX_GRAPH_BYTES} bytes")
    return text
