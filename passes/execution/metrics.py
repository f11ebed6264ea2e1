"""Task metrics, all of the form "larger is better"."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from math import fsum
from typing import TYPE_CHECKING, Any

import numpy as np

from passes.errors import UsageError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

METRICS = ("top1", "top5", "sqnr", "cosine", "agreement", "likelihood")
Outputs = list["NDArray[Any]"]
PLACES = 12
"""Decimal places of a drop: metrics are quotients of counts, and in float64 0.59 - 0.58 is more than 0.01."""


@dataclass(frozen=True)
class Metric:
    """A measure of outputs against labels, or against the outputs of the float model.

    Attributes:
        name: one of `METRICS`, or ``module:function``.
        label_offset: added to labels before they are compared (1 for models with a background class).
    """

    name: str
    label_offset: int = 0

    @property
    def needs_labels(self) -> bool:
        """True when the value depends on labels rather than on the float model."""
        return self.name in ("top1", "top5")

    @property
    def needs_tokens(self) -> bool:
        """True when a language model is measured, against the tokens that it reads."""
        return self.name == "likelihood"

    def __call__(self, outputs: Outputs, reference: Outputs, labels: NDArray[np.int64] | None) -> float:
        """Return the value of the metric.

        Args:
            outputs: the model's outputs, samples along the first axis.
            reference: the float model's outputs, same shapes.
            labels: (N,) classes; for ``likelihood`` the (N, length) tokens; or ``None``.
        """
        if ":" in self.name:
            return float(_user_function(self.name)(outputs, reference, labels))
        if self.needs_tokens and labels is not None:
            return likelihood(outputs[0], labels)
        if self.needs_labels and labels is not None:
            return _top_k(outputs[0], labels + self.label_offset, 1 if self.name == "top1" else 5)
        return _COMPARISONS[self.name](outputs, reference)


def choose_metric(name: str | None, labels: NDArray[np.int64] | None, label_offset: int = 0) -> Metric:
    """Return the metric asked for, or top1 when there are labels and agreement when there are none.

    Raises:
        UsageError: an unknown name, or a metric that needs labels where there are none.
    """
    chosen = name or ("top1" if labels is not None else "agreement")
    if ":" not in chosen and chosen not in METRICS:
        raise unknown_name("metric", chosen, METRICS)
    metric = Metric(chosen, label_offset)
    if metric.needs_labels and labels is None:
        raise UsageError(f"metric {chosen} needs labels, and the data have none")
    return metric


def drop_between(before: float, after: float) -> float:
    """Return how far a metric fell, so that a drop of one sample in a hundred is 0.01 and no more."""
    return round(before - after, PLACES)


def sqnr(outputs: Outputs, reference: Outputs) -> float:
    """Return the signal-to-quantization-noise ratio over all outputs, in dB; capped at 200."""
    signal = fsum(float(np.square(ref, dtype=np.float64).sum()) for ref in reference)
    noise = fsum(
        float(np.square(out.astype(np.float64) - ref).sum())
        for out, ref in zip(outputs, reference, strict=True)
    )
    return float(min(10 * np.log10(max(signal, 1e-300) / max(noise, 1e-300)), 200.0))


def cosine(outputs: Outputs, reference: Outputs) -> float:
    """Return the cosine of the angle between the outputs, taken as one long vector."""
    dot = fsum(float(np.vdot(o.astype(np.float64), r)) for o, r in zip(outputs, reference, strict=True))
    norms = [fsum(float(np.square(x, dtype=np.float64).sum()) for x in side) for side in (outputs, reference)]
    return float(dot / max(np.sqrt(norms[0] * norms[1]), 1e-300))


def agreement(outputs: Outputs, reference: Outputs) -> float:
    """Return the share of samples (and positions) whose largest entry is the float model's."""
    pairs = [(o, r) for o, r in zip(outputs, reference, strict=True) if o.size]
    equal = [np.argmax(o, -1) == np.argmax(r, -1) for o, r in pairs]
    return float(np.mean(np.concatenate([e.reshape(-1) for e in equal]))) if equal else 1.0


def likelihood(logits: NDArray[Any], tokens: NDArray[np.int64]) -> float:
    """Return the geometric mean of the probabilities of the next tokens: 1 / perplexity.

    Perplexity is the exponential of the mean cross-entropy between the logits at one position and the token
    at the next; its inverse lies in 0..1, and larger is better.

    Args:
        logits: (N, length, vocabulary).
        tokens: (N, length), what the model read; each lies in the vocabulary.

    Raises:
        UsageError: the shapes do not belong together, or there is no next token.
    """
    if logits.ndim != 3 or logits.shape[:2] != tokens.shape or tokens.shape[1] < 2:
        raise UsageError(
            f"metric likelihood: expected logits of shape (N, length, vocabulary) for tokens of shape "
            f"{tokens.shape}, 2 long at least, found {logits.shape}"
        )
    following = tokens[:, 1:, None]
    total = 0.0
    for scores, wanted in zip(logits[:, :-1].astype(np.float64), following, strict=True):
        shifted = scores - scores.max(-1, keepdims=True)
        picked = np.take_along_axis(shifted, wanted, -1)[..., 0]
        total += float((picked - np.log(np.exp(shifted).sum(-1))).sum())
    return float(np.exp(total / following.size))


_COMPARISONS: dict[str, Callable[[Outputs, Outputs], float]] = {
    "sqnr": sqnr,
    "cosine": cosine,
    "agreement": agreement,
}


def _top_k(scores: NDArray[Any], labels: NDArray[np.int64], k: int) -> float:
    flat = scores.reshape(len(labels), -1)
    if k == 1:
        return float(np.mean(flat.argmax(-1) == labels))
    best = np.argsort(-flat, axis=-1, kind="stable")[:, :k]
    return float(np.mean((best == labels[:, None]).any(-1)))


def _user_function(location: str) -> Callable[..., Any]:
    module, _, name = location.partition(":")
    try:
        return getattr(importlib.import_module(module), name)  # type: ignore[no-any-return]
    except (ImportError, AttributeError) as error:
        raise UsageError(f"metric {location}: no such function: {error}") from error
