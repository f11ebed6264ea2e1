"""Values of constants that a plan keeps, because passes chose them by data that lowering does not have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_graphsurgeon as gs

from passes.errors import PlanError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Constants = Mapping[str, NDArray[np.float32]]


def same_constants(first: Constants, second: Constants) -> bool:
    """Tell whether two plans keep the same names with the same values."""
    return first.keys() == second.keys() and all(
        np.array_equal(values, second[name]) for name, values in first.items()
    )


def constants_of(graph: gs.Graph, names: set[str]) -> dict[str, NDArray[np.float32]]:
    """Return read-only copies of constants, by name, sorted."""
    tensors = graph.tensors()
    kept = {name: np.array(tensors[name].values, dtype=np.float32) for name in sorted(names)}
    for values in kept.values():
        values.setflags(write=False)
    return kept


def apply_constants(graph: gs.Graph, constants: Constants) -> None:
    """Give constants the values that a plan keeps.

    Raises:
        PlanError: the graph has no such constant, it has another shape or type, or a value is not finite.
    """
    tensors = graph.tensors() if constants else {}
    for name, values in constants.items():
        tensor = tensors.get(name)
        if not isinstance(tensor, gs.Constant):
            raise PlanError(
                f"the plan keeps values of constant {name[:80]!r}, which the prepared model does not have"
            )
        if tuple(tensor.shape) != values.shape or tensor.dtype != np.float32:
            raise PlanError(
                f"the plan keeps float32 values of shape {values.shape} for {name[:80]!r}, "
                f"the model has {tensor.dtype} of shape {tuple(tensor.shape)}"
            )
        if not np.isfinite(values).all():
            raise PlanError(f"the plan keeps values of {name[:80]!r} that are NaN or infinite")
        tensor.values = np.array(values)
