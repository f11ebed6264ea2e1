"""`Simulator`: run many plans of one model on the same data, with everything shared that can be."""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING, Any

import onnx

from passes.execution.batches import MEMORY_BYTES, Batches
from passes.execution.joined import joined
from passes.execution.prepared import PreparedSessions
from passes.execution.session import Level, Session
from passes.ir.float_layers import fitted
from passes.ir.onnx_io import to_proto
from passes.ir.opsets import raise_opset
from passes.lowering.encoding import PER_CHANNEL_OPSET, Form
from passes.lowering.qdq import emit_qdq

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from passes.execution.dataset import Dataset
    from passes.ir.model import Model
    from passes.ir.plan import QuantPlan
    from passes.ir.setup import QuantizerSetup

BATCH = 16
Outputs = list["NDArray[Any]"]


class Simulator:
    """Evaluates plans.

    At `Level.BASIC` one session takes the plan as its input, and outputs are those of the lowered model to
    the last bit. At `Level.DEFAULT` integer kernels run; they want constants, so that every plan gets a
    session of its own, which costs a few percent of a pass over the data; outputs may be a step apart.

    The graph and its weights must not change while a simulator is in use; plans are arguments.

    Attributes:
        seconds: that sessions have run so far, without building them and without reading data.
    """

    def __init__(
        self,
        model: Model,
        setup: QuantizerSetup,
        data: Dataset,
        threads: int = 0,
        limit: int | None = None,
        memory_bytes: int = MEMORY_BYTES,
    ) -> None:
        """Prepare for a model and its data.

        Args:
            model: its graph; its own plan is not used.
            setup: the quantizable part of the graph.
            data: samples to run.
            threads: for ONNX Runtime; 0 leaves their number to it.
            limit: run the first so many samples; ``None`` for all.
            memory_bytes: keep prepared samples in memory up to this size.
        """
        self._model, self._setup, self._threads = model, setup, threads
        self._float = to_proto(model)
        self._narrow = without_weights(raise_opset(self._float, PER_CHANNEL_OPSET), setup)
        self._batches = Batches(data, BATCH, limit, memory_bytes)
        self._prepared = PreparedSessions(threads)
        self.seconds = 0.0
        self._reference: Outputs | None = None
        self._float_session: Session | None = None

    def reference(self) -> Outputs:
        """Return the outputs of the float model, samples along the first axis; computed once."""
        if self._reference is None:
            self._reference = self.run_float()
        return self._reference

    def run_float(self) -> Outputs:
        """Return the outputs of the float model, computed anew: the unit in which costs are given."""
        if self._float_session is None:
            self._float_session = Session(self._float, Level.DEFAULT, self._threads)
        return joined(self._run(self._float_session, {}))

    def run(self, plan: QuantPlan, level: Level = Level.DEFAULT) -> Outputs:
        """Return the outputs under a plan, samples along the first axis.

        Args:
            plan: precision, scales and biases of everything that the setup quantizes.
            level: exact, or as deployed.

        Raises:
            LoweringError: the plan cannot be lowered.
            ModelError: ONNX Runtime refuses the model.
        """
        return joined(self.stream(plan, level))

    def stream(self, plan: QuantPlan, level: Level = Level.DEFAULT) -> Iterator[Outputs]:
        """Yield the outputs under a plan batch by batch, for callers that may have seen enough early.

        Args:
            plan: as for `run`.
            level: as for `run`.

        Raises:
            LoweringError: the plan cannot be lowered.
            ModelError: ONNX Runtime refuses the model.
        """
        model, base = replace(self._model, plan=plan), self._base(plan)
        if level is Level.BASIC:
            session, fed = self._prepared.open(model, self._setup, base)
        else:
            proto = emit_qdq(model, self._setup, Form.QCDQ, base)
            session, fed = Session(proto, level, self._threads), {}
        yield from self._run(session, fed)

    @property
    def sessions_built(self) -> int:
        """Number of sessions that exact runs have needed so far."""
        return self._prepared.built

    def _base(self, plan: QuantPlan) -> onnx.ModelProto:
        """Return what to lower from: types of more than 8 bits raise the opset, which needs all constants.

        So do layers that stay in floating point.
        """
        narrow = all(quant.spec.format.bits <= 8 for quant in plan.tensors.values())
        narrow = narrow and not fitted(self._setup, plan).floats
        return self._narrow if narrow else self._float

    def _run(self, session: Session, fed: Mapping[str, NDArray[Any]]) -> Iterator[Outputs]:
        for feeds in self._batches:
            start = perf_counter()
            outputs = session.run({**feeds, **fed})
            self.seconds += perf_counter() - start
            yield outputs


def without_weights(proto: onnx.ModelProto, setup: QuantizerSetup) -> onnx.ModelProto:
    """Return a copy without the constants that every lowering replaces, so that copies of it are cheap."""
    slim = onnx.ModelProto()
    slim.CopyFrom(proto)
    replaced = {part.weight.name for layer in setup.layers for part in layer.parts}  # type: ignore[union-attr]
    kept = [init for init in proto.graph.initializer if init.name not in replaced]
    del slim.graph.initializer[:]
    slim.graph.initializer.extend(kept)
    return slim
