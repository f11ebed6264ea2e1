"""BISMO, an overlay that multiplies matrices bit plane by bit plane, in the two sizes of HAQ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hwmodels.arrays import Estimate, LayerArrays, PairArrays
from hwmodels.elementwise import VectorUnit
from hwmodels.machine import ArrayMachine
from hwmodels.machines.bismo_cycles import Overlay, overlay_cycles
from hwmodels.rules import read_arithmetic
from hwmodels.types import Metric

if TYPE_CHECKING:
    from hwmodels.spec import HardwareSpec

WIDTHS = frozenset(range(1, 9))


@dataclass(frozen=True)
class Bismo(ArrayMachine):
    """Bit-serial overlay (Umuroglu et al., FPL 2018): every bit of either operand costs time.

    cycles = max(array, activations, weights), where a product of M positions, K inputs and N filters takes

    - array: ceil(N / columns) * images * ceil(M / images / rows) * ceil(K / word) * w * a;
    - activations: M * ceil(K / word) * a;
    - weights: ceil(M / resident rows) * N * K * w / word;

    and a depthwise layer M * ceil(channels / columns) * ceil(taps / word) * a, whatever its weights. The form
    was fitted to the table of cycles for MobileNetV2 in `mit-han-lab/haq`: array size and word follow from
    its large layers, and the resident rows, a multiple of 16, from the layers with few positions.

    Attributes:
        overlay: the array and its memory interface.
    """

    overlay: Overlay

    @classmethod
    def from_spec(cls, spec: HardwareSpec) -> Bismo:
        """Build the machine that a file describes.

        Raises:
            SpecError: a table or key is missing, unknown or wrong.
        """
        spec.expect(("arithmetic", "overlay", "elementwise"))
        arithmetic, overlay = read_arithmetic(spec, WIDTHS), spec.table("overlay", Overlay)
        vector_unit = spec.optional("elementwise", VectorUnit)
        return cls(spec.machine.name, arithmetic, vector_unit, overlay)

    @property
    def estimated(self) -> frozenset[Metric]:
        """Latency; no power of either board is published for it."""
        return frozenset({Metric.LATENCY})

    def estimate(self, layers: LayerArrays, run: PairArrays, stored: PairArrays) -> Estimate:
        """Price layers: loading and computing overlap."""
        cycles = overlay_cycles(layers, run, stored, self.overlay)
        return Estimate(cycles / self.overlay.clock_hz, None, cycles)
