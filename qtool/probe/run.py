"""The whole probe: measure, fit, write, and load what was written."""

from __future__ import annotations

import datetime
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwmodels import load_target
from hwmodels.plausibility import implausible
from passes.errors import UsageError
from qtool import __version__
from qtool.files import write_text
from qtool.output_folder import check_output_file
from qtool.probe.grid import grid
from qtool.probe.journal import Journal
from qtool.probe.measure import measure
from qtool.probe.tables import fit_tables
from qtool.probe.write import machine_toml

if TYPE_CHECKING:
    from collections.abc import Callable

FULL_SHAPES, QUICK_SHAPES = 56, 8
"""Shapes per kind of layer; the few of a quick probe suffice to try the command, not to trust its result."""

PROCESSOR_FILE = Path("/proc/cpuinfo")


@dataclass(frozen=True, slots=True)
class ProbeRequest:
    """What to measure.

    Attributes:
        out: the machine file to write; its name without the suffix is that of the machine.
        threads: of ONNX Runtime within an operator.
        repeat: rounds over all points, of which the fastest counts.
        shapes: shapes per kind of layer.
        fresh: discard what an earlier probe measured.
    """

    out: Path
    threads: int = 1
    repeat: int = 5
    shapes: int = FULL_SHAPES
    fresh: bool = False

    @property
    def journal(self) -> Path:
        """The file that measurements are kept in."""
        return self.out.with_name(f"{self.out.name}.journal")


def run_probe(request: ProbeRequest, tell: Callable[[str, int, int], None]) -> dict[str, Any]:
    """Measure this machine and write its file.

    Args:
        request: what to do.
        tell: called with (stage, done, total) as work proceeds.

    Returns:
        What was found, for display: points, noise, errors by table, and what is implausible.

    Raises:
        UsageError: the file cannot be written or is no .toml, or the journal has other settings.
        DataError: the journal is damaged, or the machine is too noisy.
    """
    if request.out.suffix != ".toml":
        raise UsageError(f"-o {request.out}: expected a name that ends with .toml, as targets do")
    check_output_file(request.out)
    points = grid(request.shapes)
    facts = measured_with(request.threads)
    journal = Journal.open(request.journal, facts, fresh=request.fresh)
    known = journal.count
    measure(points, request.repeat, request.threads, journal, tell)
    fits = fit_tables(points, journal)
    dated = facts | {"date": datetime.datetime.now(datetime.UTC).date().isoformat()}
    write_text(machine_toml(request.out.stem, dated, fits), request.out)
    machine = load_target(str(request.out))
    return {
        "target": machine.name,
        "file": str(request.out),
        "journal": str(request.journal),
        "points": len(points),
        "measured_now": journal.count - known,
        "noise": round(fits.noise, 4),
        "implausible": [{"remark": remark} for remark in implausible(machine)],
        "fits": [
            {
                "table": name,
                "points": fit.points,
                "median_error": fit.median_error,
                "p90_error": fit.p90_error,
            }
            for name, fit in sorted(fits.tables.items())
        ],
    }


def measured_with(threads: int) -> dict[str, str]:
    """Return what measurements depend on, in words."""
    versions = {name: version(name) for name in ("onnxruntime", "numpy")}
    return {"processor": _processor(), "threads": str(threads), "qtool": __version__} | versions


def _processor() -> str:
    """Return the processor's name; Linux keeps it in a file, other systems answer for themselves."""
    if PROCESSOR_FILE.is_file():
        for line in PROCESSOR_FILE.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
