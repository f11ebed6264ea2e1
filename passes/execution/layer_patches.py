"""What some layers multiply, from a sweep of its own: for passes that learn late which layers they need."""

from __future__ import annotations

from typing import TYPE_CHECKING

from passes.execution.instrument import Wanted, instrument
from passes.execution.observers import PatchObserver
from passes.execution.padding import CalibrationSamples
from passes.execution.sweep import sweep

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from passes.api import PassContext
    from passes.ir.layers import Layer
    from passes.ir.model import Model

BATCH = 4


def observe_patches(
    model: Model, ctx: PassContext, layers: Sequence[Layer]
) -> dict[str, NDArray[np.float32]]:
    """Run the float model over the calibration data and keep columns of what layers multiply.

    Args:
        model: with its constants as they are now.
        ctx: with the data.
        layers: Conv, ConvTranspose, Gemm or MatMul with constant weights.

    Returns:
        By layer name, shape (samples, positions, groups, depth); see `PatchObserver`.

    Raises:
        UsageError: there are no calibration data.
    """
    acts = list(dict.fromkeys(layer.act.name for layer in layers))
    proto, _ = instrument(model, Wanted(full=tuple(acts)))
    rng = ctx.rng("patches")
    observers = {layer.name: PatchObserver(layer) for layer in layers}
    for _, found in sweep(proto, acts, ctx.get(CalibrationSamples(), model).batches(BATCH), ctx):
        for observer in observers.values():
            observer.update(found[observer.layer.act.name], rng)
    return {name: observer.matrix() for name, observer in observers.items()}
