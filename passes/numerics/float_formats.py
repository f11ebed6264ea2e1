"""Floating-point formats of few bits, and how often products of random numbers fall under their least one.

The model is that of adaptive loss scaling [arXiv 1910.12385]: a product is taken as normally distributed
about 0 with the second moments of its factors, so that ``P(|p| < u) = erf(u / (sqrt(2) sigma))``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.special import erf, erfinv


@dataclass(frozen=True, slots=True)
class FloatFormat:
    """A floating-point format.

    Attributes:
        name: as it is spelled.
        least: smallest positive number, a subnormal one.
        largest: largest finite number.
    """

    name: str
    least: float
    largest: float


FP16 = FloatFormat("fp16", 2.0**-24, 65504.0)
"""IEEE 754 binary16."""
BF16 = FloatFormat("bf16", 2.0**-133, (2 - 2**-7) * 2.0**127)
"""The upper half of binary32."""
E4M3 = FloatFormat("e4m3", 2.0**-9, 448.0)
"""FLOAT8E4M3FN of ONNX, without infinities."""
E5M2 = FloatFormat("e5m2", 2.0**-16, 57344.0)
"""FLOAT8E5M2 of ONNX."""
FLOAT_FORMATS = (FP16, BF16, E4M3, E5M2)


def underflow_share(sigma: float, form: FloatFormat) -> float:
    """Return the probability, 0 to 1, that a number is too small for a format and becomes 0.

    Args:
        sigma: standard deviation of the number, about 0; 0 stands for no number at all.
        form: numbers of less than half its least one become 0.
    """
    return float(erf(form.least / 2 / (math.sqrt(2.0) * sigma))) if sigma > 0 else 0.0


def least_scale(sigma: float, share: float, form: FloatFormat) -> float:
    """Return the factor by which numbers must grow so that at most a share of them is too small for a format.

    Args:
        sigma: their standard deviation, about 0; positive.
        share: 0 to 1.
        form: the format.

    Returns:
        At least 1 [arXiv 1910.12385, section 3: ``u / (sqrt(2) erfinv(share) sigma)``].
    """
    return max(form.least / 2 / (math.sqrt(2.0) * float(erfinv(share)) * sigma), 1.0)
