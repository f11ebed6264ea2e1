"""Progress of long runs on standard error: bars on a terminal, else a line per stage."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING

import typer

from qtool.cli.logs import LOG

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.progress import Progress, TaskID

    Report = Callable[[str, int, int], None]

PATIENCE_S = 2.0
"""A stage shorter than this shows no bar."""


@contextmanager
def progress(*, silent: bool) -> Iterator[Report]:
    """Yield a function that takes a stage, the steps done and the steps in all.

    Args:
        silent: show nothing, for ``--quiet`` and ``--json``.
    """
    if silent:
        yield _Logged(lambda _stage, _done, _total: None)
    elif sys.stderr.isatty():
        with _bars() as report:
            yield _Logged(report)
    else:
        yield _Logged(_Lines())


class _Logged:
    """Logs how long every stage took, and passes on what it is told."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._stage, self._since = "", monotonic()

    def __call__(self, stage: str, done: int, total: int) -> None:
        if stage != self._stage:
            now = monotonic()
            if self._stage:
                LOG.debug("stage %s: %.2f s", self._stage, now - self._since)
            self._stage, self._since = stage, now
        self._report(stage, done, total)


class _Lines:
    """Names every stage once, when it begins."""

    def __init__(self) -> None:
        self._stage = ""

    def __call__(self, stage: str, _done: int, _total: int) -> None:
        if stage != self._stage:
            self._stage = stage
            typer.echo(f"{stage} ...", err=True)


@contextmanager
def _bars() -> Iterator[Report]:
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bars:
        yield _Bars(bars)


class _Bars:
    """A bar for the stage that runs, once it has taken `PATIENCE_S`."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._stage = ""
        self._task: TaskID | None = None
        self._since = 0.0

    def __call__(self, stage: str, done: int, total: int) -> None:
        if stage != self._stage:
            self._begin(stage)
        if self._task is None and monotonic() - self._since > PATIENCE_S:
            self._task = self._bars.add_task(stage)
        if self._task is not None:
            self._bars.update(self._task, completed=done, total=total or None)

    def _begin(self, stage: str) -> None:
        if self._task is not None:
            self._bars.remove_task(self._task)
        self._stage, self._task, self._since = stage, None, monotonic()
