"""Instruments: what a pass manager shows to those who watch a pipeline run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from passes.ir.onnx_io import to_proto, write_proto

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from passes.api import Aspect, Pass
    from passes.ir.model import Model


@dataclass(frozen=True, slots=True)
class PassRecord:
    """What one pass of a pipeline did.

    Attributes:
        name: of the pass.
        text: the pass with its options, as a pipeline spells it.
        summary: one line for people.
        facts: figures for reports, by name.
        wrote: the aspects that it reported.
        seconds: wall-clock time of its check and its run.
    """

    name: str
    text: str
    summary: str
    facts: Mapping[str, float | int | str]
    wrote: Aspect
    seconds: float


class Instrument(Protocol):
    """Watches a pipeline; it must not change the model."""

    def before(self, position: int, step: Pass, model: Model) -> None:
        """Called before the pass at a position, counted from 0."""

    def after(self, position: int, record: PassRecord, model: Model) -> None:
        """Called when the pass is done."""


@dataclass(frozen=True, slots=True)
class TimePasses:
    """Tells how long each pass took.

    Attributes:
        write: takes one line per pass.
    """

    write: Callable[[str], None]

    def before(self, position: int, step: Pass, model: Model) -> None:
        """Nothing to do."""

    def after(self, position: int, record: PassRecord, model: Model) -> None:
        """Write seconds, the pass and its summary."""
        self.write(f"{record.seconds:9.3f} s  {record.text}: {record.summary}")


@dataclass(frozen=True, slots=True)
class DumpModels:
    """Writes the graph after each pass as ``{position:03d}_{name}.onnx``.

    Attributes:
        folder: where; it is made when it does not exist.
    """

    folder: Path

    def before(self, position: int, step: Pass, model: Model) -> None:
        """Nothing to do."""

    def after(self, position: int, record: PassRecord, model: Model) -> None:
        """Write the file."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_proto(to_proto(model), self.folder / f"{position:03d}_{record.name}.onnx")
