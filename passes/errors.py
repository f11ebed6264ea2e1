"""What can go wrong, as a tree of exceptions; each knows the exit code the command line ends with.

::

    QtoolError                 1   a bug unless a subclass says otherwise
    +-- UsageError             2   the request cannot be understood
    +-- InputError             3   a file that cannot be used
    |   +-- ModelError             the .onnx file, or what it describes
    |   +-- DataError              calibration or evaluation data
    |   +-- PlanError              a plan.json
    |   +-- ConfigError            a qtool.toml, or the baseline beside it
    |   +-- ProblemError           an allocation problem
    |   +-- ArtifactError          a .qpk file
    |   +-- ReportError            a report.json or front.json
    |   +-- LoweringError          a plan that a form cannot express
    +-- InfeasibleError        4   no plan meets the budgets
    +-- AccuracyError          5   the result is below what was asked
    +-- PassContractError      1   a pass wrote what it did not declare
    +-- PreconditionError      3   a pass met a model it cannot work on
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterable


class QtoolError(Exception):
    """Root of every error raised on purpose by the compiler and the tool."""

    exit_code: ClassVar[int] = 1


class UsageError(QtoolError):
    """The request cannot be understood: an unknown name, option or unit."""

    exit_code = 2


class InputError(QtoolError):
    """A file was read but cannot be used."""

    exit_code = 3


class ModelError(InputError):
    """The model is not ONNX, is damaged, or describes something that cannot be compiled."""


class DataError(InputError):
    """Calibration or evaluation data do not fit the model or are damaged."""


class PlanError(InputError):
    """A plan file is damaged or belongs to another model."""


class ConfigError(InputError):
    """A qtool.toml or its baseline is damaged or has keys that it must not have."""


class ProblemError(InputError):
    """An allocation problem is damaged or contradicts itself."""


class ArtifactError(InputError):
    """A packed artifact is truncated, of another version, or lies about its contents."""


class ReportError(InputError):
    """A report of an earlier run is missing, damaged, or of another version."""


class LoweringError(InputError):
    """A plan cannot be expressed in the form asked for."""


class InfeasibleError(QtoolError):
    """No choice of precisions meets the budgets; the message names the least that is feasible."""

    exit_code = 4


class AccuracyError(QtoolError):
    """The best plan found is below the accuracy or tolerance asked for."""

    exit_code = 5


class PassContractError(QtoolError):
    """A pass changed an aspect of the model that it did not report."""


class PreconditionError(QtoolError):
    """A pass was asked to run on a model that does not meet its precondition."""

    exit_code = 3


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """Build the error for a name that is not in a list, with the nearest names as a hint.

    Args:
        kind: what the name stands for, such as ``"pass"``.
        name: what was asked for.
        known: every name that would have been accepted.
    """
    names = sorted(known)
    near = get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f"did you mean {', '.join(near)}?" if near else f"known: {', '.join(names)}"
    return UsageError(f"unknown {kind} {name!r}; {hint}")
