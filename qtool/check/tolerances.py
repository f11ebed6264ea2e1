"""`Tolerances`: how far a result may be from its baseline, or from what was promised."""

from __future__ import annotations

from dataclasses import dataclass, fields

from hwmodels import Metric
from passes.allocation.quantities import METRICS, parse_budget
from passes.errors import UsageError

OFF = "off"
SAME, ANY = "same", "any"
LEVELS = ("error", "warning", "note")
"""Levels of findings, the gravest first."""


@dataclass(frozen=True, slots=True)
class Tolerances:
    """What a file says under ``tolerances``; ``off`` leaves a check out.

    A limit on a cost is ``2%`` over the baseline, an absolute ``12ms``, or ``0.6x`` of uniform 8 bits on the
    same target.

    Attributes:
        accuracy: points that the metric may be below the baseline; empty for ``0.5%``, of ``sqnr`` ``0.5dB``.
        drop: points that it may be below the float model; empty for no limit.
        latency: limit on the latency.
        energy: limit on the energy.
        size: limit on the bytes of the weights.
        bops: limit on the bit operations.
        memory: limit on the peak memory of activations.
        coverage: least share of the multiplications that run on integers; empty for that of the baseline.
        agreement: least share of samples on which Q/DQ model and artifact name the same class.
        lsb: steps that the two may be apart, layer by layer.
        lint: level from which findings of ``qtool lint`` fail the check: error, warning or note.
        plan: ``same`` when every layer must keep the bits of the baseline, or ``any``.
    """

    accuracy: str = ""
    drop: str = ""
    latency: str = "1%"
    energy: str = "1%"
    size: str = "1%"
    bops: str = "1%"
    memory: str = "1%"
    coverage: str = ""
    agreement: str = "99%"
    lsb: int = 1
    lint: str = "error"
    plan: str = SAME

    def __post_init__(self) -> None:
        """Read every text once, so that a mistake shows before anything is compiled.

        Raises:
            UsageError: a text that is not of its kind.
        """
        for name in ("accuracy", "drop"):
            points(name, getattr(self, name))
        for name in ("coverage", "agreement"):
            share(name, getattr(self, name))
        for word, metric in METRICS.items():
            limit(metric, getattr(self, word))
        _one_of("lint", self.lint, (*LEVELS, OFF))
        _one_of("plan", self.plan, (SAME, ANY))
        if self.lsb < 0:
            raise UsageError(f"tolerance lsb: expected 0 or more steps, found {self.lsb}")


NAMES = tuple(field.name for field in fields(Tolerances))
"""The keys of the table."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit on a cost: an absolute one in the unit of its metric, or a factor.

    Attributes:
        value: in that unit, or the factor.
        of: ``absolute``, ``baseline`` or ``uniform``: what the factor multiplies.
        text: as it was written.
    """

    value: float
    of: str
    text: str


def points(name: str, text: str) -> tuple[float, str] | None:
    """Read ``0.5%`` as (0.005, "%") and ``0.5dB`` as (0.5, "dB"); ``None`` where there is no limit.

    Raises:
        UsageError: neither of the two.
    """
    if text in (OFF, ""):
        return None
    for unit, scale in (("%", 0.01), ("dB", 1.0)):
        if text.endswith(unit) and (value := _number(text.removesuffix(unit))) is not None:
            return value * scale, unit
    raise UsageError(f"tolerance {name}: expected points such as 0.5%, or 0.5dB, found {text[:40]!r}")


def share(name: str, text: str) -> float | None:
    """Read ``99%`` as 0.99; ``None`` where there is no limit.

    Raises:
        UsageError: not a percentage from 0 to 100.
    """
    if text in (OFF, ""):
        return None
    value = _number(text.removesuffix("%")) if text.endswith("%") else None
    if value is None or value > 100:
        raise UsageError(f"tolerance {name}: expected a share from 0% to 100%, found {text[:40]!r}")
    return value / 100


def limit(metric: Metric, text: str) -> Limit | None:
    """Read a limit on a cost; ``None`` where there is none.

    Raises:
        UsageError: not of a form that `Tolerances` lists.
    """
    if text in (OFF, ""):
        return None
    if text.endswith("%"):
        over = _number(text.removesuffix("%"))
        if over is not None:
            return Limit(1 + over / 100, "baseline", text)
    try:
        asked = parse_budget(metric, text)
    except UsageError as error:
        raise UsageError(f"tolerance {error}, or 1% over the baseline, or off") from error
    return Limit(asked.value, "uniform" if asked.relative else "absolute", text)


def _number(text: str) -> float | None:
    """Read a decimal number that is not negative."""
    text = text.strip()
    plain = text.replace(".", "", 1)
    return float(text) if plain.isascii() and plain.isdigit() and len(plain) < 20 else None


def _one_of(name: str, found: str, known: tuple[str, ...]) -> None:
    if found not in known:
        raise UsageError(f"tolerance {name}: expected {', '.join(known)}, found {found[:40]!r}")
