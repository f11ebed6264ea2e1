"""Gives every tensor of a plan its memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtool.runtime.native_engine.arena import Life, allocate, place
from qtool.runtime.native_engine.layout import is_view

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qtool.runtime.native_engine.program import BoundStep
    from qtool.runtime.native_engine.stored import Storage, Stored


def lay_out(
    steps: Sequence[BoundStep], storages: Mapping[str, Storage], outputs: Sequence[str], *, keep: bool
) -> tuple[dict[str, Stored], int]:
    """Place all tensors in one arena, but for constants, which are written once.

    Args:
        steps: in the order of execution.
        storages: form of every tensor.
        outputs: tensors that must outlive the last step.
        keep: every tensor stays as it is written; nothing shares memory.

    Returns:
        All tensors, and the bytes of the arena.
    """
    last_use = {name: index for index, it in enumerate(steps) for name in (*it.step.inputs, it.step.output)}
    last_use |= dict.fromkeys(storages if keep else outputs, len(steps))
    roots = _roots(steps, storages, {} if keep else last_use)
    born = {it.step.output: index for index, it in enumerate(steps)}
    fixed = _constants(steps)
    lives: dict[str, Life] = {}
    for name, root in roots.items():
        if root in fixed:
            continue
        dies = max(last_use.get(name, -1), lives[root].dies if root in lives else -1)
        lives[root] = Life(storages[root].size_bytes, born.get(root, -1), dies)
    offsets, size = place(lives)
    arena = allocate(size)
    blocks = {root: arena[offset:] for root, offset in offsets.items()}
    blocks |= {root: allocate(storages[root].size_bytes) for root in fixed}
    return {name: storages[name].at(blocks[root]) for name, root in roots.items()}, size


def _constants(steps: Sequence[BoundStep]) -> set[str]:
    return {it.step.output for it in steps if not it.step.inputs}


def _roots(
    steps: Sequence[BoundStep], storages: Mapping[str, Storage], last_use: Mapping[str, int]
) -> dict[str, str]:
    """Return the tensor whose memory each tensor takes; only tensors in `last_use` give theirs away."""
    produced = {it.step.output for it in steps}
    roots = {name: name for name in storages if name not in produced}
    fixed = _constants(steps)
    ends = dict(last_use)
    for index, bound in enumerate(steps):
        output = bound.step.output
        roots[output] = output
        for name in bound.step.inputs:
            root = roots[name]
            if name not in last_use or root in fixed:
                continue
            view = name == bound.step.inputs[0] and is_view(bound, storages[name], storages[output])
            if view or (ends[root] <= index and _in_place(bound, storages[name], storages[output])):
                roots[output] = root
                ends[root] = max(ends[root], last_use[output])
                break
    return roots


def _in_place(bound: BoundStep, source: Storage, output: Storage) -> bool:
    """Whether the kernel may write its output over this input, element by element."""
    if bound.native is None or not bound.native.in_place:
        return False
    return source.extents == output.extents and source.dtype == output.dtype
