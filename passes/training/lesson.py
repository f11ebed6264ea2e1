"""What a model is taught: batches, the float model's results for them, and the loss under given constants."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from passes.training.goal import Goal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from passes.training.bridge import Values
    from passes.training.simulation import Simulation
    from passes.training.training_data import TrainingData

FEW = 8
"""Units that the kind of results is told from."""


class Lesson:
    """Loss functions over one model and its data.

    Attributes:
        simulation: of the model; quantizers of its activations may change under way.
        data: samples, divided.
        few: inputs of a few samples that are held out.
    """

    def __init__(self, simulation: Simulation, data: TrainingData) -> None:
        """Look at the results of the float model for a few samples.

        Raises:
            UsageError: labels are asked for, and no result stands for classes.
            DataError: the data do not fit the model.
        """
        self.simulation, self.data = simulation, data
        self.few = data.feeds(data.held[:FEW], None, simulation.bridge.device)
        with torch.no_grad():
            results = simulation.bridge.run(self.few)
        labelled = data.dataset.labels is not None
        self._goal = Goal.of(results, data.rows, data.course.labels, labelled)
        self._teacher: dict[int, Values] = {}

    def loss(self, constants: Values, step: int) -> tuple[Tensor, Values]:
        """Return the loss of the batch of a step, and its inputs.

        Args:
            constants: of the quantized model, by name.
            step: counted from 0.

        Raises:
            DataError: a label is none of the model's classes.
        """
        units = self.data.chosen(step)
        feeds = self.data.feeds(units, step, self.simulation.bridge.device)
        return self._loss(constants, feeds, units, self._wanted(feeds)), feeds

    def over_held(self, constants: Values) -> float:
        """Return the mean loss over the samples held out."""
        total, held, size = 0.0, self.data.held, self.data.size
        with torch.no_grad():
            for start in range(0, len(held), size):
                units = held[start : start + size]
                feeds = self.data.feeds(units, None, self.simulation.bridge.device)
                if start not in self._teacher:
                    self._teacher[start] = self._wanted(feeds) or {}
                loss = self._loss(constants, feeds, units, self._teacher[start] or None)
                total += float(loss) * len(units)
        return total / len(held)

    def results(self, constants: Values, feeds: Values, wanted: tuple[str, ...] = ()) -> Values:
        """Run the quantized model.

        Args:
            constants: as for `loss`.
            feeds: inputs, not quantized.
            wanted: tensors to compute; the results of the model by default.
        """
        bridge, steps = self.simulation.bridge, self.simulation.steps
        read = {name: steps[name](value) if name in steps else value for name, value in feeds.items()}
        return bridge.run({**read, **constants}, wanted, steps)

    def first_unsound(self, constants: Values, feeds: Values) -> str:
        """Name the first layer, in graph order, whose result is NaN or infinite, or say that none is."""
        layers = {it.output.name: it.name for it in self.simulation.setup.stored if it.output.name}
        with torch.no_grad():
            results = self.results(constants, feeds, tuple(layers))
        for tensor, layer in layers.items():
            if not torch.isfinite(results[tensor]).all():
                return f"the result of layer {layer} is NaN or infinite"
        return "the results of all layers are finite, the loss itself is not"

    def _wanted(self, feeds: Values) -> Values | None:
        if self._goal.share == 1:
            return None
        with torch.no_grad():
            return self.simulation.bridge.run(feeds)

    def _loss(
        self, constants: Values, feeds: Values, units: NDArray[np.int64], wanted: Values | None
    ) -> Tensor:
        device = self.simulation.bridge.device
        labels = self.data.labels(units, self._goal.classes, device) if self._goal.share else None
        return self._goal.loss(self.results(constants, feeds), wanted, labels)
