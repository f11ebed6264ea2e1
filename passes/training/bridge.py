"""`Bridge`: runs a graph, or any part of one, in PyTorch, node by node, with gradients."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import onnx_graphsurgeon as gs
import torch
from torch import Tensor

from passes.errors import ModelError, UsageError
from passes.training.call import Call
from passes.training.operators import OPERATORS, refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from passes.training.call import Operator

Values = dict[str, Tensor]
"""Tensors by name."""
MAX_NAMED = 5
"""Nodes that a message lists."""


@dataclass(frozen=True, slots=True)
class Step:
    """One node, ready to run: the function, and the names of its tensors, empty where there is none."""

    call: Call
    function: Operator
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Bridge:
    """A graph as steps in topological order.

    Attributes:
        steps: all nodes.
        constants: by name; callers may put others in their place.
        inputs: names of the graph's inputs.
        outputs: names of the graph's outputs.
        device: where tensors live.
    """

    steps: tuple[Step, ...]
    constants: Values
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    device: torch.device
    _producer: dict[str, int] = field(repr=False)

    @classmethod
    def of(
        cls, graph: gs.Graph, device: str = "cpu", biases: Mapping[str, NDArray[np.float32]] | None = None
    ) -> Bridge:
        """Prepare a graph in topological order.

        Args:
            graph: it is read once and not kept.
            device: ``cpu``, ``cuda`` or ``auto``, which takes a GPU when there is one.
            biases: of layers, by node name; each becomes a constant of its own, named by `bias_name`.

        Raises:
            ModelError: nodes that cannot be run; the message names them and says why.
            UsageError: there is no such device.
        """
        check_graph(graph)
        place, own = find_device(device), biases or {}
        steps = tuple(_step(node, graph.opset, own=node.name in own) for node in graph.nodes)
        constants = {
            tensor.name: torch.from_numpy(np.array(tensor.values)).to(place)
            for node in graph.nodes
            for tensor in node.inputs
            if isinstance(tensor, gs.Constant)
        }
        constants |= {bias_name(name): torch.from_numpy(np.array(it)).to(place) for name, it in own.items()}
        producer = {name: at for at, step in enumerate(steps) for name in step.outputs if name}
        names = [tuple(tensor.name for tensor in tensors) for tensors in (graph.inputs, graph.outputs)]
        return cls(steps, constants, names[0], names[1], place, producer)

    def run(
        self,
        feeds: Mapping[str, Tensor],
        wanted: Sequence[str] = (),
        changes: Mapping[str, Callable[[Tensor], Tensor]] | None = None,
    ) -> Values:
        """Compute tensors from others.

        Args:
            feeds: values of inputs, of tensors in the middle, or in place of constants, by name.
            wanted: what to compute; the outputs of the graph by default.
            changes: functions applied to computed tensors before anything reads them, by name. Fed tensors
                are taken as they are.

        Returns:
            The wanted tensors.

        Raises:
            ModelError: something needed is neither fed nor computed, or a node fails on the shapes it gets.
        """
        names = tuple(wanted) or self.outputs
        values: Values = dict(feeds)
        needed = self._needed(names, values)
        last = {name: at for at in needed for name in self.steps[at].inputs}
        keep = {*names, *feeds}
        for at in needed:
            step = self.steps[at]
            for name, value in zip(step.outputs, self._compute(step, values), strict=False):
                change = (changes or {}).get(name)
                values[name] = value if change is None or name in feeds else change(value)
            for name in step.inputs:
                if last[name] == at and name not in keep:
                    values.pop(name, None)
        return {name: values[name] if name in values else self.constants[name] for name in names}

    def _needed(self, names: Iterable[str], known: Mapping[str, Tensor]) -> list[int]:
        """Return the steps that compute tensors, in order."""
        open_, found = list(names), set[int]()
        while open_:
            name = open_.pop()
            if not name or name in known or name in self.constants:
                continue
            at = self._producer.get(name)
            if at is None:
                raise ModelError(f"tensor {name!r} is needed, but neither fed nor computed by any node")
            if at not in found:
                found.add(at)
                open_.extend(self.steps[at].inputs)
        return sorted(found)

    def _compute(self, step: Step, values: Values) -> tuple[Tensor, ...]:
        arguments = [
            None if not name else values[name] if name in values else self.constants[name]
            for name in step.inputs
        ]
        try:
            results = step.function(step.call, *arguments)
        except (RuntimeError, IndexError, ValueError, TypeError) as error:
            shapes = [None if value is None else tuple(value.shape) for value in arguments]
            raise ModelError(
                f"node {step.call.name} ({step.call.op}) fails in PyTorch on shapes {shapes}: {error}"
            ) from error
        return results if isinstance(results, tuple) else (results,)


def check_graph(graph: gs.Graph) -> None:
    """Check that every node can be run.

    Raises:
        ModelError: some cannot; the message names the first few, and why.
    """
    found = [(node, reason) for node in graph.nodes if (reason := refusal(node, graph.opset))]
    if not found:
        return
    lines = [f"node {node.name} ({node.op}): {reason}" for node, reason in found[:MAX_NAMED]]
    more = f"; and {len(found) - MAX_NAMED} more" if len(found) > MAX_NAMED else ""
    raise ModelError(
        f"the PyTorch bridge cannot run this graph: {'; '.join(lines)}{more}. "
        "Methods without gradients still work: leave this pass out"
    )


def find_device(name: str) -> torch.device:
    """Return a device by name.

    Raises:
        UsageError: it is unknown, or this machine has none.
    """
    there = torch.cuda.is_available()
    if name == "auto":
        return torch.device("cuda" if there else "cpu")
    if name not in ("cpu", "cuda") or (name == "cuda" and not there):
        raise UsageError(f"device {name!r}: expected cpu, auto, or cuda where there is a GPU PyTorch can use")
    return torch.device(name)


def bias_name(layer: str) -> str:
    """Return the name of the bias that belongs to one layer alone."""
    return f"{layer}.bias"


def _step(node: gs.Node, opset: int, *, own: bool) -> Step:
    inputs = [tensor.name for tensor in node.inputs]
    if own:
        inputs = [*inputs[:2], bias_name(node.name)]
    outputs = tuple(tensor.name for tensor in node.outputs)
    return Step(Call.of(node, opset), OPERATORS[node.op], tuple(inputs), outputs)
