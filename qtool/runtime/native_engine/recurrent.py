"""Native LSTM, GRU and RNN (ONNX, opset 22) over sequences (time, batch, inputs)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from passes.artifact.recurrent import GATES
from qtool.runtime.native.recurrent import prepare_recurrent
from qtool.runtime.native_engine.prepared import Call, Prepared, Shape, fits, run_all
from qtool.runtime.native_engine.stored import Stored
from qtool.runtime.node import Node
from qtool.runtime.recurrent import states_shape

if TYPE_CHECKING:
    from qtool.runtime.native._kernels import Executor


@dataclass(frozen=True, slots=True, eq=False)
class Recurrent:
    """One direction of a recurrent layer: one product for all inputs, then one step after the other.

    Attributes:
        node: the step.
        multiply: takes rows of inputs and their sums.
        run: takes the sums (time, batch, gates x hidden) and the states (time, batch, hidden).
    """

    node: Node
    multiply: Callable[..., None]
    run: Callable[..., None]
    channels_last: bool = False
    in_place: bool = False

    def shape(self, *inputs: Shape) -> Shape:
        """Shape of all states, (time, 1, batch, hidden)."""
        return states_shape(self.node, inputs[0])

    def bind(self, inputs: Sequence[Stored], output: Stored) -> Call | None:
        """Make room for the sums of all inputs."""
        (x,) = inputs
        if not (x.storage.in_order and output.storage.in_order and fits(x, output)):
            return None
        steps, batch, depth = x.storage.shape
        hidden = output.storage.shape[-1]
        sums = np.empty((steps, batch, GATES[self.node.step.op] * hidden), np.int32)
        rows = x.memory.reshape(-1, depth), sums.reshape(steps * batch, -1)
        states = output.memory.reshape(steps, batch, hidden)
        return partial(run_all, [partial(self.multiply, *rows), partial(self.run, sums, states)])


def recurrent(node: Node, executor: Executor) -> Prepared:
    """Prepare one direction of a recurrent layer."""
    product, layer = prepare_recurrent(node, executor)
    reverse = bool(node.step.integer("reverse"))

    def run(sums: np.ndarray, states: np.ndarray) -> None:
        executor.recurrent(layer, sums, reverse, states)

    return Recurrent(node, partial(executor.gemm, product), run)


KERNELS = dict.fromkeys(GATES, recurrent)
