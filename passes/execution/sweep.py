"""Runs a model over a data set, batch by batch, in segments where its constants take too much memory."""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING, Any

from passes.errors import ModelError
from passes.execution.feed_source import samples_in
from passes.execution.prefetch import prefetch
from passes.execution.segment import cut
from passes.execution.session import Session
from passes.execution.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import onnx
    from numpy.typing import NDArray

    from passes.api import PassContext
    from passes.execution.segment import Segment

    Values = dict[str, NDArray[Any]]


def sweep(
    proto: onnx.ModelProto, names: Sequence[str] | None, batches: Iterable[Values], ctx: PassContext
) -> Iterator[tuple[int, Values]]:
    """Yield every batch's number of samples and its outputs, by name.

    With ``ctx.segment_bytes`` all batches go through a segment of the model before the next one is loaded.
    What crosses a cut, and outputs, wait in memory and then on disk (`passes.execution.store`).

    Args:
        proto: the model.
        names: outputs of it; ``None`` for all that are tensors of numbers.
        batches: to run.
        ctx: with the number of threads and the limit.

    Raises:
        ModelError: ONNX Runtime refuses the model or a part of it, or fails while running it.
    """
    segments = cut(proto, ctx.segment_bytes) if ctx.segment_bytes else ()
    if len(segments) > 1:
        wanted = [it.name for it in proto.graph.output] if names is None else names
        yield from _in_segments(proto, segments, wanted, batches, ctx)
        return
    session = Session(proto, threads=ctx.workers)
    names = session.outputs if names is None else names
    for feeds in prefetch(iter(batches)):
        yield samples_in(feeds) or 1, dict(zip(names, session.run(feeds, names), strict=True))


def _in_segments(
    proto: onnx.ModelProto,
    segments: Sequence[Segment],
    names: Sequence[str],
    batches: Iterable[Values],
    ctx: PassContext,
) -> Iterator[tuple[int, Values]]:
    last = {name: at for at, segment in enumerate(segments) for name in segment.reads}
    last |= dict.fromkeys(names, len(segments))
    store, counts = Store(exact=True), []
    try:
        for feeds in batches:
            counts.append(samples_in(feeds) or 1)
            store.add({name: array for name, array in feeds.items() if name in last})
        for at, segment in enumerate(segments):
            if counts and segment.results:
                _pass(proto, segment, store, len(counts), ctx.workers)
            store.drop([name for name in store.names() if last.get(name, -1) <= at])
            ctx.progress("segments", at + 1, len(segments))
        yield from zip(counts, store.batches(names), strict=True)
    finally:
        store.clear()


def _pass(proto: onnx.ModelProto, segment: Segment, store: Store, count: int, threads: int) -> None:
    """Send all batches through one segment."""
    examples = {name: next(store.compact(name)) for name in segment.reads}
    session = segment.open(proto, examples, threads)
    odd = sorted(set(segment.results) - set(session.outputs))
    if odd:
        raise ModelError(
            f"cannot cut the model behind {odd[0]!r}: expected tensors of numbers there; give a larger limit"
        )
    for feeds in store.batches(segment.reads) if segment.reads else repeat({}, count):
        store.add(dict(zip(session.outputs, session.run(feeds), strict=True)))
