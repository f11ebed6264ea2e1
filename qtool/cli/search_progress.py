"""Live progress of a search: evaluations, best loss, hypervolume, time left."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from math import isfinite
from time import monotonic
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from passes.search.driver import Progress

    Tell = Callable[[Progress], None]

EVERY_S = 5.0
"""Between two lines where there is no terminal."""


@contextmanager
def search_progress(*, silent: bool) -> Iterator[Tell]:
    """Yield a function that shows how far a search is.

    Args:
        silent: show nothing, for ``--quiet`` and ``--json``.
    """
    if silent:
        yield lambda _progress: None
    elif sys.stderr.isatty():
        with _live() as tell:
            yield tell
    else:
        yield _Lines()


class _Lines:
    """A line every now and then, and one for the last evaluation."""

    def __init__(self) -> None:
        self._next = 0.0

    def __call__(self, progress: Progress) -> None:
        if monotonic() >= self._next or progress.evaluations == progress.limit:
            self._next = monotonic() + EVERY_S
            typer.echo(describe(progress), err=True)


@contextmanager
def _live() -> Iterator[Tell]:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("search")

        def tell(progress: Progress) -> None:
            bars.update(
                task,
                completed=progress.evaluations,
                total=progress.limit,
                description=describe(progress),
            )

        yield tell


def describe(progress: Progress) -> str:
    """Return one line about a search."""
    best = f"{progress.best:.4g}" if isfinite(progress.best) else "none yet"
    left = f", {progress.seconds_left:.0f} s left" if isfinite(progress.seconds_left) else ""
    return (
        f"{progress.evaluations}/{progress.limit} plans, least loss {best}, "
        f"hypervolume {progress.hypervolume:.4f}{left}"
    )
