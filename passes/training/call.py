"""`Call`: one node as the function that computes it sees it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_graphsurgeon as gs
import torch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DEFAULT_DOMAINS = ("", "ai.onnx")
Operator = Callable[..., "torch.Tensor | tuple[torch.Tensor, ...]"]
"""Takes a `Call` and the inputs in order, ``None`` for absent ones; returns the outputs."""


@dataclass(frozen=True, slots=True)
class Call:
    """A node without its tensors.

    Attributes:
        name: unique node name, for messages.
        op: ONNX operator of the default domain.
        opset: version of the default domain.
        outputs: how many tensors the node writes.
        attrs: attributes; tensors among them are numpy arrays.
    """

    name: str
    op: str
    opset: int
    outputs: int
    attrs: Mapping[str, Any]

    @classmethod
    def of(cls, node: gs.Node, opset: int) -> Call:
        """Describe a graphsurgeon node."""
        attrs = {key: _plain(value) for key, value in node.attrs.items()}
        return cls(node.name, node.op, opset, len(node.outputs), attrs)

    def integer(self, key: str, default: int) -> int:
        """Return an integer attribute."""
        return int(self.attrs.get(key, default))

    def number(self, key: str, default: float) -> float:
        """Return a float attribute."""
        return float(self.attrs.get(key, default))

    def text(self, key: str, default: str) -> str:
        """Return a string attribute."""
        value = self.attrs.get(key, default)
        return value.decode() if isinstance(value, bytes) else str(value)

    def integers(self, key: str, default: Sequence[int]) -> list[int]:
        """Return an attribute that is a list of integers."""
        found = self.attrs.get(key)
        return [int(value) for value in (default if found is None else found)]

    def setting(self, key: str, tensor: torch.Tensor | None) -> list[int] | None:
        """Return integers that are an attribute in old opsets and an input in new ones."""
        if tensor is not None:
            return integers_of(tensor)
        return self.integers(key, ()) if self.attrs.get(key) is not None else None


def integers_of(tensor: torch.Tensor) -> list[int]:
    """Return the elements of an integer tensor."""
    return [int(value) for value in tensor.reshape(-1).tolist()]


def _plain(value: Any) -> Any:
    return np.asarray(value.values) if isinstance(value, gs.Constant) else value
