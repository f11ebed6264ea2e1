"""Names of what lowering adds: ``x.dq`` for the dequantized ``x``.

Where the model has an ``x.dq`` of its own, it is ``x.dq.1``. While a model is put together, a
character that no name has stands for the dot, so that nothing is mixed up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from passes.ir.nested import graphs_of
from passes.ir.text_fields import SEPARATOR

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    import onnx


def made(name: str, label: str) -> str:
    """Return the name of something that lowering makes for a tensor or a node, until it is settled."""
    return f"{name}{SEPARATOR}{label}"


def free_name(name: str, taken: Collection[str]) -> str:
    """Return a name, or the first that is free of those with a number behind it."""
    found, count = name, 0
    while found in taken:
        count += 1
        found = f"{name}.{count}"
    return found


def settle_names(graph: onnx.GraphProto) -> None:
    """Give everything that lowering made a name that nothing else has; the rest keeps its own.

    Args:
        graph: its names are changed, in the order in which they appear.
    """
    names = list(dict.fromkeys(_names(graph)))
    taken = {name for name in names if SEPARATOR not in name}
    settled: dict[str, str] = {}
    for name in names:
        if SEPARATOR in name:
            settled[name] = free_name(name.replace(SEPARATOR, "."), taken)
            taken.add(settled[name])
    for part in graphs_of(graph):
        _rename(part, settled)


def made_name(name: str, label: str, names: Collection[str]) -> str | None:
    """Return what `settle_names` called something that was made for a tensor: the last of its kind.

    Args:
        name: of the tensor.
        label: of what was made for it.
        names: all that may have been made.
    """
    found, count = None, 0
    following = f"{name}.{label}"
    while following in names:
        found, count = following, count + 1
        following = f"{name}.{label}.{count}"
    return found


def _names(graph: onnx.GraphProto) -> Iterator[str]:
    for part in graphs_of(graph):
        for values in (part.input, part.output, part.initializer):
            yield from (value.name for value in values)
        for node in part.node:
            yield from (node.name, *node.input, *node.output)


def _rename(graph: onnx.GraphProto, settled: dict[str, str]) -> None:
    for value in (*graph.input, *graph.output, *graph.initializer):
        if value.name in settled:
            value.name = settled[value.name]
    for node in graph.node:
        node.name = settled.get(node.name, node.name)
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                if name in settled:
                    names[index] = settled[name]
