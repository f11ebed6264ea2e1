"""Which tensors keep their channels last in memory, and which are other names for the same bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtool.runtime.native_engine.stored import Storage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from passes.artifact import TensorInfo
    from qtool.runtime.native_engine.prepared import Shape
    from qtool.runtime.native_engine.program import BoundStep

INDIFFERENT = frozenset(
    {"add", "sub", "mul", "lut", "requantize", "concat", "identity", "resize", "upsample"}
)
"""Steps that work in any order of axes, as long as all their tensors share it."""
VIEWS = frozenset({"identity", "reshape", "flatten", "squeeze", "unsqueeze", "reshape_like"})
"""Steps whose output holds the values of the first input in the same order."""


def storages(
    steps: Sequence[BoundStep], shapes: Mapping[str, Shape], infos: Mapping[str, TensorInfo]
) -> dict[str, Storage]:
    """Choose the form of every tensor: images that a convolution or a pool touches keep their channels last.

    Tensors of equal rank on both sides of an indifferent step are kept alike.
    """
    group = {name: name for name in shapes}
    wanted: set[str] = set()
    for bound in steps:
        names = [name for name in (*bound.step.inputs, bound.step.output) if len(shapes[name]) >= 3]
        if bound.native is not None and bound.native.channels_last:
            wanted.update(names)
        elif bound.step.op in INDIFFERENT:
            for name in names:
                if len(shapes[name]) == len(shapes[bound.step.output]):
                    group[_find(group, name)] = _find(group, bound.step.output)
    last = {_find(group, name) for name in wanted}
    return {name: Storage(infos[name], shape, _find(group, name) in last) for name, shape in shapes.items()}


def is_view(bound: BoundStep, source: Storage, output: Storage) -> bool:
    """Whether the bytes of the output are those of the input, in the same order."""
    if bound.step.op not in VIEWS:
        return False
    same = source.extents == output.extents and source.channels_last == output.channels_last
    return same or (source.in_order and output.in_order)


def _find(group: dict[str, str], name: str) -> str:
    while group[name] != name:
        group[name] = group[group[name]]
        name = group[name]
    return name
