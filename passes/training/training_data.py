"""`TrainingData`: samples in the order in which they are learned from, the same for every run of a seed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from passes.errors import DataError, UsageError
from passes.execution.dataset import fixed_batch
from passes.training.augmentation import augmented

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from passes.execution.dataset import Dataset
    from passes.training.bridge import Values
    from passes.training.course import Course

PICTURE_RANK = 4
LEAST_SHARE = 8
"""At most one sample in so many is held out."""
DIGEST_SAMPLES = 64
"""Samples whose bytes tell one set of data from another."""


@dataclass(frozen=True)
class TrainingData:
    """A data set, divided; a unit is a sample, or a whole batch where the model fixes its size.

    Attributes:
        dataset: where samples come from.
        course: how to learn from them.
        seed: of the division, the order and the augmentation.
        rows: samples of a unit.
        learned: units that are learned from.
        held: units that decide what is kept; some of the others where none are held out.
    """

    dataset: Dataset
    course: Course
    seed: int
    rows: int
    learned: NDArray[np.int64]
    held: NDArray[np.int64]

    @classmethod
    def of(cls, dataset: Dataset, course: Course, seed: int) -> TrainingData:
        """Divide a data set at random.

        Raises:
            UsageError: labels are to be learned from, and there are none.
        """
        if course.labels and dataset.labels is None:
            raise UsageError(
                f"finetune: {dataset.where} has no labels; give some, or learn from the float model alone "
                "with labels=0"
            )
        rows = fixed_batch(dataset.inputs) or 1
        units = dataset.count // rows
        order = np.random.default_rng([seed, 0]).permutation(units)
        out = min(course.held // rows, units // LEAST_SHARE)
        held = order[:out] if out else order[: max(min(units, 64 // rows), 1)]
        return cls(dataset, course, seed, rows, order[out:], held)

    @property
    def size(self) -> int:
        """Units of a batch."""
        return self.course.batch if self.rows == 1 else 1

    def chosen(self, step: int) -> NDArray[np.int64]:
        """Return the units of a step: all of them in random order, then in another one, and so on."""
        places = np.arange(step * self.size, (step + 1) * self.size)
        rounds = places // len(self.learned)
        orders = {
            int(turn): np.random.default_rng([self.seed, 1, int(turn)]).permutation(len(self.learned))
            for turn in np.unique(rounds)
        }
        picked = [
            orders[int(turn)][place % len(self.learned)] for turn, place in zip(rounds, places, strict=True)
        ]
        return self.learned[picked]

    def feeds(self, units: NDArray[np.int64], step: int | None, device: torch.device) -> Values:
        """Return the inputs of some units, augmented where they are for a step.

        Raises:
            DataError: an array does not fit its input, or holds NaN or infinity.
        """
        parts = [self.dataset.part(int(unit) * self.rows, self.rows) for unit in units]
        joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        if step is not None:
            joined = {name: self._augmented(value, step) for name, value in joined.items()}
        return {name: channels_last(torch.from_numpy(it).to(device)) for name, it in joined.items()}

    def labels(self, units: NDArray[np.int64], classes: int, device: torch.device) -> torch.Tensor | None:
        """Return the classes of some units, or ``None`` without labels.

        Raises:
            DataError: a label is none of the model's classes.
        """
        if self.dataset.labels is None:
            return None
        places = (units[:, None] * self.rows + np.arange(self.rows)).reshape(-1)
        found = self.dataset.labels[places] + self.course.label_offset
        if found.min() < 0 or found.max() >= classes:
            raise DataError(
                f"{self.dataset.where}: expected labels from 0 to {classes - 1}, found {found.min()} to "
                f"{found.max()}; give label-offset where classes are counted from elsewhere"
            )
        return torch.from_numpy(found).to(device)

    def digest(self) -> str:
        """Return a fingerprint of the samples, from a few of them."""
        total = hashlib.sha256(str((self.dataset.count, self.dataset.arrays)).encode())
        for unit in self.held[:: max(len(self.held) // DIGEST_SAMPLES, 1)]:
            for value in self.dataset.part(int(unit) * self.rows, self.rows).values():
                total.update(value.tobytes())
        labels = self.dataset.labels
        total.update(b"" if labels is None else labels.tobytes())
        return total.hexdigest()

    def _augmented(self, value: NDArray[Any], step: int) -> NDArray[Any]:
        last = self.dataset.preprocess is not None and self.dataset.preprocess.layout == "nhwc"
        rng = np.random.default_rng([self.seed, 2, step])
        return augmented(value, self.course.shift, self.course.mirror, rng, channels_last=last)


def channels_last(x: torch.Tensor) -> torch.Tensor:
    """Return pictures (N, C, H, W) with channels last in memory, where CPUs convolve them faster."""
    last = x.ndim == PICTURE_RANK
    return x.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)
