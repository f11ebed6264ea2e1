"""A transposed convolution as plain ones: outputs that lie a stride apart share their taps.

Along one axis, input i and tap t add to output ``o = i * stride + t * dilation - pad``. Outputs with equal
``(o + pad) % stride`` meet the taps for which ``t * dilation`` leaves the same remainder, in falling order at
rising inputs: a convolution of stride 1 over the input.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd


@dataclass(frozen=True, slots=True)
class Phase:
    """Outputs of one remainder, along one axis.

    Attributes:
        first: first output; the others follow a stride apart.
        taps: that they meet, falling; none leave the bias alone.
        dilation: inputs between two of these taps.
        start: input under the first tap of the first output; may be negative.
    """

    first: int
    taps: tuple[int, ...]
    dilation: int
    start: int

    @property
    def pad(self) -> int:
        """Padding in front of the input."""
        return max(0, -self.start)

    @property
    def skipped(self) -> int:
        """Windows in front of the first output."""
        return max(0, self.start)


def axis_phases(kernel: int, stride: int, dilation: int, pad: int) -> tuple[Phase, ...]:
    """Return the phases of one axis, one for each remainder."""
    phases = []
    for remainder in range(stride):
        taps = tuple(tap for tap in reversed(range(kernel)) if tap * dilation % stride == remainder)
        first = (remainder - pad) % stride
        reach = (taps[0] * dilation - remainder) // stride if taps else 0
        start = (first + pad) // stride - reach if taps else 0
        phases.append(Phase(first, taps, dilation // gcd(dilation, stride), start))
    return tuple(phases)
