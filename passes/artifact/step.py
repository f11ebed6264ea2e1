"""`Step`: one operation of an integer program."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from passes.errors import ArtifactError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from passes.artifact.weight import PackedWeight

Attr = int | str | list[int]


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One operation; `passes.artifact.ops` lists the operations and their attributes.

    Attributes:
        op: name of the operation.
        name: unique in its artifact; the ONNX node's name where there is one.
        inputs: names of the tensors read.
        output: name of the tensor written.
        attrs: JSON scalars and lists of integers.
        weight: of conv, conv_transpose and gemm; of lstm, gru and rnn that of their input.
        bias: int64, one per output channel, in units of ``input scale * weight scale``; those
            of lstm, gru and rnn as `passes.artifact.recurrent` says.
        lo: lowest output code (a fused Relu or Clip); ``None`` for that of the output's format.
        hi: highest output code, as `lo`.
        table: int64; output codes of a lut, indices of a gather or resize, codes of a constant.
        hidden_weight: of lstm, gru and rnn that of their state.
    """

    op: str
    name: str
    inputs: tuple[str, ...]
    output: str
    attrs: dict[str, Attr] = field(default_factory=dict)
    weight: PackedWeight | None = None
    bias: NDArray[np.int64] | None = field(default=None, repr=False)
    lo: int | None = None
    hi: int | None = None
    table: NDArray[np.int64] | None = field(default=None, repr=False)
    hidden_weight: PackedWeight | None = None

    @property
    def weights(self) -> tuple[PackedWeight, ...]:
        """All packed weights, in the order in which a file holds them."""
        return tuple(weight for weight in (self.weight, self.hidden_weight) if weight is not None)

    def integer(self, name: str) -> int:
        """Return an attribute that is one integer; raises `ArtifactError` when it is anything else."""
        value = self.attrs.get(name)
        if not isinstance(value, int):
            raise ArtifactError(
                f"step {self.name!r} ({self.op}): attribute {name} must be an integer, got {value!r}"
            )
        return value

    def integers(self, name: str) -> tuple[int, ...]:
        """Return an attribute that is a list of integers; raises `ArtifactError` as `integer` does."""
        value = self.attrs.get(name)
        if not isinstance(value, list):
            raise ArtifactError(
                f"step {self.name!r} ({self.op}): attribute {name} must be a list, got {value!r}"
            )
        return tuple(value)
