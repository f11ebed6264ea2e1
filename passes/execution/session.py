"""ONNX Runtime sessions: the only place that creates them."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime as ort
from google.protobuf.message import EncodeError

from passes.errors import ModelError
from passes.execution.joined import joined
from passes.execution.prefetch import prefetch
from passes.ir.mapped import outside_values

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import onnx
    from numpy.typing import NDArray

ort.set_default_logger_severity(4)
Feeds = dict[str, "NDArray[np.generic]"]
MANY_NODES = 1000
"""Nodes from which on no buffers are shared by plan: ONNX Runtime 1.31 looks for them in time that grows with
the square of the nodes (37 s of 38 for 6,000). Tensors are freed as before, where they are read last."""
FATAL_WHEN_EMPTY = frozenset({"GRU"})
"""Operators for which ONNX Runtime 1.31 ends the process where their input has no elements."""


class Level(StrEnum):
    """How far ONNX Runtime may rewrite a model."""

    BASIC = "basic"
    """Keeps the arithmetic of the file: the oracle for accuracy."""
    DEFAULT = "default"
    """Everything, integer kernels included: what users deploy."""


_LEVELS = {
    Level.BASIC: ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    Level.DEFAULT: ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
}


class Session:
    """A loaded model that maps named arrays to named arrays.

    Raises:
        ModelError: ONNX Runtime refuses the model, or fails while running it.
    """

    def __init__(
        self,
        proto: onnx.ModelProto,
        level: Level = Level.DEFAULT,
        threads: int = 0,
        *,
        profile: Path | None = None,
        small: bool = False,
        keep_floats: bool = False,
    ) -> None:
        """Load a model.

        Args:
            proto: the model.
            level: how far it may be rewritten.
            threads: 0 leaves their number to ONNX Runtime.
            profile: start of the path of a file for the time of every operator; see `end_profile`.
            small: one of many sessions that live at the same time: it keeps neither memory nor busy threads
                between its runs.
            keep_floats: leave float operators between quantizers as they are. ONNX Runtime 1.31 otherwise
                rounds their weights to 8 bits per tensor, unasked, at every level.
        """
        options = ort.SessionOptions()
        if profile is not None:
            options.enable_profiling = True
            options.profile_file_prefix = str(profile)
        options.graph_optimization_level = _LEVELS[level]
        options.intra_op_num_threads = threads
        options.log_severity_level = 4
        options.enable_mem_reuse = len(proto.graph.node) < MANY_NODES
        if small:
            options.enable_cpu_mem_arena = False
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # Level 4, the default, would turn float activations of weight-only layers into 8 bits.
        options.add_session_config_entry("session.qdq_matmulnbits_accuracy_level", "0")
        if keep_floats:
            options.add_session_config_entry("session.disable_quant_qdq", "1")
        outside = [tensor for tensor in proto.graph.initializer if tensor.data_location == tensor.EXTERNAL]
        held = [ort.OrtValue.ortvalue_from_numpy(outside_values(tensor)) for tensor in outside]
        options.add_external_initializers([tensor.name for tensor in outside], held)
        try:
            self._session = ort.InferenceSession(_bytes(proto), options, providers=["CPUExecutionProvider"])
        except _ORT_ERRORS as error:
            raise ModelError(f"ONNX Runtime cannot load the model: {error}") from error
        self._fatal = any(node.op_type in FATAL_WHEN_EMPTY for node in proto.graph.node)
        outputs = self._session.get_outputs()
        self.outputs: tuple[str, ...] = tuple(it.name for it in outputs if _is_numeric(it.type))

    def described(self) -> dict[str, tuple[np.dtype[np.generic], list[int | str | None]]]:
        """Return element type and shape of every output that is a tensor of a type that numpy has."""
        outputs = self._session.get_outputs()
        return {it.name: (np.dtype(_TYPES[it.type]), list(it.shape)) for it in outputs if it.type in _TYPES}

    def run(
        self, feeds: Mapping[str, NDArray[Any]], names: Sequence[str] | None = None
    ) -> list[NDArray[Any]]:
        """Run one batch and return the named outputs; by default all that are tensors of numbers.

        Raises:
            ModelError: ONNX Runtime fails, or there are no such outputs.
        """
        if names is None and not self.outputs:
            raise ModelError(
                "the model has no output that is a tensor of numbers; cut off what follows those"
            )
        empty = [name for name, array in feeds.items() if array.size == 0] if self._fatal else []
        if empty:
            words = (
                "a GRU of no steps or samples would end the process in ONNX Runtime; leave such samples out"
            )
            raise ModelError(f"input {empty[0]!r} is empty: {words}")
        try:
            return list(self._session.run(list(self.outputs if names is None else names), dict(feeds)))
        except _ORT_ERRORS as error:
            raise ModelError(f"ONNX Runtime failed while running the model: {error}") from error

    def run_all(self, batches: Iterable[Mapping[str, NDArray[Any]]]) -> list[NDArray[Any]]:
        """Run all batches, reading ahead; return the outputs, samples along the first axis."""
        return joined(self.run(feeds) for feeds in prefetch(iter(batches)))

    def end_profile(self) -> Path:
        """Close the profile that the session was opened with; return its path."""
        return Path(self._session.end_profiling())


def _bytes(proto: onnx.ModelProto) -> bytes:
    try:
        data: bytes = proto.SerializeToString()
    except (EncodeError, ValueError) as error:
        raise ModelError("the model has more than 2 GB of constants; ONNX Runtime takes no more") from error
    return data


def _is_numeric(kind: str) -> bool:
    """Tell tensors of numbers from sequences, maps, optional values and text by ONNX Runtime's words."""
    return kind.startswith("tensor(") and kind != "tensor(string)"


_TYPES = {
    f"tensor({word})": name
    for word, name in {
        "float": "float32", "double": "float64", "float16": "float16", "bool": "bool",
        **{f"{sign}int{bits}": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
    }.items()
}  # fmt: skip
"""Names that numpy has for element types, by ONNX Runtime's words."""
_PYBIND = ort.capi.onnxruntime_pybind11_state
_ORT_ERRORS = (
    _PYBIND.Fail,
    _PYBIND.InvalidArgument,
    _PYBIND.InvalidGraph,
    _PYBIND.InvalidProtobuf,
    _PYBIND.NotImplemented,
    _PYBIND.RuntimeException,
    _PYBIND.NoSuchFile,
)
