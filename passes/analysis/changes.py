"""How far outputs moved: noise over signal, and the divergence of the distributions that they stand for."""

from __future__ import annotations

from dataclasses import dataclass
from math import fsum
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Outputs = Sequence[NDArray[Any]]

SUM_TOLERANCE = 1e-3
"""Outputs whose rows are positive and add up to one, this closely, are probabilities already."""
_TINY = 1e-12


@dataclass(frozen=True, slots=True)
class Change:
    """What a change of the model does to its outputs, over the samples seen so far.

    Attributes:
        noise: energy of the difference, over all outputs and samples.
        divergence: sum of the Kullback-Leibler divergences of all distributions, in nats.
    """

    noise: float = 0.0
    divergence: float = 0.0

    def __add__(self, other: Change) -> Change:
        """Return both sets of samples together."""
        return Change(self.noise + other.noise, self.divergence + other.divergence)


class OutputReference:
    """Outputs of the float model on some samples, to compare others with."""

    def __init__(self, outputs: Outputs) -> None:
        """Keep the outputs and their distributions."""
        self._outputs = [np.asarray(output) for output in outputs if output.dtype.kind == "f"]
        self._log = log_probabilities(self._outputs[0]) if not reason_without_logits(outputs) else None

    @property
    def rows(self) -> int:
        """Number of distributions; 0 when the outputs stand for none."""
        return 0 if self._log is None else self._log.size // self._log.shape[-1]

    def change(self, outputs: Outputs) -> Change:
        """Compare other outputs of the same shapes; integer outputs are passed over."""
        floats = [output for output in outputs if output.dtype.kind == "f"]
        noise = fsum(energy(new - old) for new, old in zip(floats, self._outputs, strict=True))
        if self._log is None:
            return Change(noise)
        terms = np.exp(self._log) * (self._log - log_probabilities(floats[0]))
        return Change(noise, max(float(terms.sum()), 0.0))


class Power:
    """Energy of outputs around their mean over all samples, which come batch by batch.

    Outputs that change their shape have a mean for each. Around itself a single sample has no energy: it
    counts around the mean of its elements.
    """

    def __init__(self) -> None:
        """Start without samples."""
        self._seen: dict[tuple[int, ...], tuple[int, NDArray[np.float64], float]] = {}

    def add(self, outputs: Outputs) -> None:
        """Add a batch [Chan et al. 1979, eq. 2.1]; a number without axes is one sample."""
        for index, output in enumerate(map(np.atleast_1d, outputs)):
            if output.dtype.kind != "f":
                continue
            key, count, mean = (index, *output.shape[1:]), len(output), output.mean(axis=0, dtype=np.float64)
            before, old, found = self._seen.get(key, (0, mean, 0.0))
            share = count / (before + count)
            found += energy(output - mean) + before * share * energy(mean - old)
            self._seen[key] = before + count, old + share * (mean - old), found

    @property
    def total(self) -> float:
        """Energy of all samples so far."""
        return fsum(found if count > 1 else _alone(mean) for count, mean, found in self._seen.values())


def _alone(sample: NDArray[np.float64]) -> float:
    return energy(sample - sample.mean()) or energy(sample)


def reason_without_logits(outputs: Outputs) -> str:
    """Say why outputs cannot be read as distributions over their last axis; empty when they can."""
    floats = [output for output in outputs if output.dtype.kind == "f"]
    if len(floats) != 1:
        return f"the model has {len(floats)} floating-point outputs, not one"
    if floats[0].ndim < 2 or floats[0].shape[-1] < 2:
        return f"its output has shape {list(floats[0].shape)}, with no classes along the last axis"
    return ""


def log_probabilities(output: NDArray[Any]) -> NDArray[np.float64]:
    """Return the logarithm of the softmax along the last axis, or of the output where it holds shares."""
    rows = output.astype(np.float64)
    if rows.min() >= 0 and np.abs(rows.sum(axis=-1) - 1).max() < SUM_TOLERANCE:
        return np.log(np.maximum(rows, _TINY))
    shifted = rows - rows.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def energy(values: NDArray[Any]) -> float:
    """Return the sum of squares, in float64."""
    return float(np.square(values, dtype=np.float64).sum())
