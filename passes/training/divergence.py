"""Where a training run went wrong: the first thing that is NaN or infinite."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from passes.training.bridge import Values
    from passes.training.simulation import Simulation
    from passes.training.tunables import Tunables


def first_unsound(simulation: Simulation, tunables: Tunables, feeds: Values) -> str:
    """Name the first layer, in graph order, whose result is not finite, or what else is not.

    Args:
        simulation: of the model.
        tunables: as they are now.
        feeds: inputs of the model.
    """
    for name, parameter in tunables.parameters().items():
        if not torch.isfinite(parameter).all():
            return f"the {name} is NaN or infinite"
    bridge, steps = simulation.bridge, simulation.steps
    read = {name: steps[name](value) if name in steps else value for name, value in feeds.items()}
    layers = {layer.output.name: layer.name for layer in simulation.setup.stored if layer.output.name}
    with torch.no_grad():
        results = bridge.run({**read, **tunables.constants()}, tuple(layers), steps)
    for tensor, layer in layers.items():
        if not torch.isfinite(results[tensor]).all():
            return f"the result of layer {layer} is NaN or infinite"
    return "all layers are finite, the loss itself is not"
