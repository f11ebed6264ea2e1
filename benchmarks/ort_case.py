"""`Case`: a quantized ONNX operator, and the same as a step of an artifact; `Builder` draws its parts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from passes.artifact import Artifact, Step, TensorInfo
from passes.execution.session import Level, Session
from passes.numerics import IntFormat
from qtool.runtime import Engine

Codes = NDArray[Any]
CONTRIB = "com.microsoft"


@dataclass(frozen=True)
class Case:
    """The same computation twice.

    Attributes:
        proto: a model of one operator, whose output is ``y``.
        artifact: a program of one step with the float rule.
        feeds: codes, or real numbers, of what both read.
    """

    proto: onnx.ModelProto
    artifact: Artifact
    feeds: dict[str, Codes]

    def both(self) -> tuple[Codes, Codes]:
        """Return the output of ONNX Runtime and that of the reference engine."""
        [theirs] = Session(self.proto, Level.BASIC, 1).run(self.feeds)
        engine = Engine(self.artifact)
        if all(values.dtype == np.float32 for values in self.feeds.values()):
            return theirs, engine.trace(self.feeds)["x"]
        return theirs, engine.run_step("step", self.feeds)

    def steps_apart(self) -> NDArray[np.float64]:
        """Return the magnitude of the differences, in steps of the output."""
        theirs, ours = self.both()
        return np.asarray(np.abs(theirs.astype(np.float64) - ours.astype(np.float64)))


@dataclass
class Builder:
    """Draws the parts of a case."""

    rng: np.random.Generator
    tied: bool = False
    """Whether scales are powers of two, which brings many sums exactly between two codes."""
    tensors: dict[str, TensorInfo] = field(default_factory=dict)
    constants: list[onnx.TensorProto] = field(default_factory=list)
    feeds: dict[str, Codes] = field(default_factory=dict)

    def scale(self, middle: float = 0.05) -> float:
        """Return a float32 value within a factor of two around the middle."""
        drawn = middle * 2 ** self.rng.uniform(-1, 1)
        return float(np.float32(2.0 ** np.round(np.log2(drawn)) if self.tied else drawn))

    def scales(self, count: int) -> NDArray[np.float32]:
        """Return one value per channel."""
        return np.array([self.scale() for _ in range(count)], np.float32)

    def tensor(self, name: str, shape: tuple[int, ...], *, signed: bool, scale: float) -> None:
        """Define an 8-bit tensor with any zero point."""
        fmt = IntFormat(8, signed)
        zero = int(self.rng.integers(fmt.qmin, fmt.qmax + 1))
        free: tuple[int | None, ...] = (None,) * len(shape)
        self.tensors[name] = TensorInfo(name, free, 8, signed, scale, zero)

    def feed(self, name: str, shape: tuple[int, ...], *, signed: bool, scale: float) -> None:
        """Define a tensor and draw its codes."""
        self.tensor(name, shape, signed=signed, scale=scale)
        info = self.tensors[name]
        self.feeds[name] = self.rng.integers(info.qmin, info.qmax + 1, shape).astype(info.dtype)

    def constant(self, name: str, values: Codes) -> str:
        """Add an initializer; return its name."""
        self.constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def parameters(self, name: str) -> list[str]:
        """Add scale and zero point of a tensor as initializers; return their names."""
        info = self.tensors[name]
        zero = np.array(info.zero_point, info.dtype)
        scale = np.array(info.scale, np.float32)
        return [self.constant(f"{name}_scale", scale), self.constant(f"{name}_zero", zero)]

    def case(self, node: onnx.NodeProto, step: Step, rule: str = "float") -> Case:
        """Put the parts together."""
        kinds = {name: helper.np_dtype_to_tensor_dtype(values.dtype) for name, values in self.feeds.items()}
        inputs = [helper.make_tensor_value_info(name, kinds[name], self.feeds[name].shape) for name in kinds]
        graph = helper.make_graph([node], "case", inputs, [onnx.ValueInfoProto(name="y")], self.constants)
        domains = [helper.make_opsetid("", 21), helper.make_opsetid(CONTRIB, 1)]
        proto = helper.make_model(graph, opset_imports=domains, ir_version=10)
        names = tuple(self.feeds)
        artifact = Artifact(
            "cases", "", "any", "half_even", rule, names, (step.output,), self.tensors, (step,)
        )
        return Case(proto, artifact, self.feeds)
