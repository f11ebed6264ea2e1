"""The sensitivities that can be asked for by name, without importing any."""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING

from passes.errors import UsageError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from passes.analysis.sensitivity import SensitivityTable
    from passes.api import Analysis

SENSITIVITIES: dict[str, str] = {
    "attribution": "passes.analysis.attribution:Attribution",
    "scaled": "passes.analysis.scaled:ScaledAttribution",
    "sqnr": "passes.analysis.output_sqnr:OutputSqnr",
    "kl": "passes.analysis.output_kl:OutputKl",
    "bit-planes": "passes.analysis.bit_planes:BitPlanes",
    "ompq": "passes.analysis.orthogonality:Orthogonality",
    "size-only": "passes.analysis.orthogonality:SizeOnly",
    "fisher": "passes.training.fisher:Fisher",
}
"""Name and ``module:Class``; each class takes ``bits`` and gives a `SensitivityTable`."""


def installed_sensitivities() -> tuple[str, ...]:
    """Return the names of the sensitivities whose packages are installed."""
    found = []
    for name in SENSITIVITIES:
        with suppress(UsageError):
            find_sensitivity(name)
            found.append(name)
    return tuple(found)


def find_sensitivity(name: str) -> Callable[..., Analysis[SensitivityTable]]:
    """Return the class of a sensitivity.

    Raises:
        UsageError: there is none of this name, or it needs a package that is not installed.
    """
    if name not in SENSITIVITIES:
        raise unknown_name("sensitivity", name, SENSITIVITIES)
    module, _, found = SENSITIVITIES[name].partition(":")
    try:
        return getattr(import_module(module), found)  # type: ignore[no-any-return]
    except ModuleNotFoundError as error:
        message = f"sensitivity {name} needs {error.name}; install the extra: pip install 'qtool[train]'"
        raise UsageError(message) from error
