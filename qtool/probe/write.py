"""Writes what was fitted as a machine file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwmodels.machines.measured_features import FEATURES
from hwmodels.spec import MIN_NUMBER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qtool.probe.fit import Fit
    from qtool.probe.tables import Fits

OPERATOR_KEYS = ("per_step_s", "per_input_s", "per_output_s")
PAIRS = ("w8a8", "w32a32")
GEMM_PAIRS = ("w2a32", "w4a32", "w8a8", "w8a32", "w32a32")


def machine_toml(name: str, facts: Mapping[str, str], fits: Fits) -> str:
    """Return the text of a machine file of architecture ``measured``.

    Args:
        name: of the machine.
        facts: what it was measured with: processor, threads, versions, date.
        fits: rates by table.
    """
    setting = ", ".join(f"{key} {value}" for key, value in facts.items())
    head = {
        "name": name,
        "architecture": "measured",
        "description": f"this machine through ONNX Runtime, measured by qtool targets probe ({setting})",
        "checked": checked(fits),
    }
    arithmetic = {
        "pairs": list(PAIRS),
        "gemm_pairs": list(GEMM_PAIRS),
        "unsupported_kinds": ["ConvTranspose", "Recurrent"],
        "accumulator_bits": 32,
        "rounding": "half_even",
        "requantization": "float",
        "packed_storage": False,
        "shared_parameter_ops": [],
        "source": "pairs: those measured; rounding: ONNX QuantizeLinear",
    }
    tables: dict[str, Mapping[str, object]] = {"machine": head, "arithmetic": arithmetic}
    tables |= {table: _table(table, fit, setting) for table, fit in sorted(fits.tables.items())}
    return "\n".join(f"[{table}]\n{_lines(values)}" for table, values in tables.items())


def checked(fits: Fits) -> str:
    """Say how far predictions of held-out points are off, in one sentence."""
    known = [fit for fit in fits.tables.values() if not fit.free]
    median = sum(fit.median_error * fit.points for fit in known) / max(1, sum(fit.points for fit in known))
    worst = max((fit.p90_error for fit in known), default=0.0)
    return (
        f"{sum(fit.points for fit in known)} measured points, each predicted from a fit to others: median "
        f"error {median:.1%} on average over tables, 90th percentile of the worst table {worst:.1%}; rounds "
        f"differed by {fits.noise:.1%}"
    )


def _table(name: str, fit: Fit, setting: str) -> dict[str, object]:
    keys = OPERATOR_KEYS if len(fit.rates) == len(OPERATOR_KEYS) else FEATURES
    rates = {
        key: float(f"{rate:.4g}") for key, rate in zip(keys, fit.rates, strict=True) if rate > MIN_NUMBER
    }
    if fit.free:
        return {"source": "measured: fused into its neighbours, takes no time of its own"}
    errors = f"median error {fit.median_error:.1%}, 90th percentile {fit.p90_error:.1%}"
    return rates | {"source": f"measured: {fit.points} points, held-out {errors}"}


def _lines(values: Mapping[str, object]) -> str:
    return "".join(f"{key} = {_value(value)}\n" for key, value in values.items())


def _value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(_value(item) for item in value)}]"
    if isinstance(value, str):
        escaped = "".join(character for character in value if character.isprintable())
        return '"' + escaped.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return repr(value)
