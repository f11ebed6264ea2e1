"""MOHAQ's experiment on this network: fronts of error, speed and energy under a limit on memory.

Rezk et al., "MOHAQ: Multi-Objective Hardware-Aware Quantization of Recurrent Neural Networks" (IEEE Access 2021),
section 5: NSGA-II over the widths of weights and activations of every layer, quantized after training. SiLago has
4, 8 and 16 bits, both operands alike, and 6 MB; BitFusion has 2 to 16 bits and 2 MB. Their network has 21.17 MB
in floating point, so the same shares of this one are allowed here. Needs ``pip install "qtool[search]"``::

    python samples/sru/mohaq.py out [--evaluations 250]
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import qtool

FOLDER = Path(__file__).parent
OBJECTIVES = {"silago": "loss,latency,energy,size", "bitfusion": "loss,latency,energy,size"}
MEMORY = {"silago": 6 / 21.17, "bitfusion": 2 / 21.17}
"""Share of the bytes of weights in floating point that fit."""
WIDEST, NARROWEST = {"silago": "w16a16", "bitfusion": "w16a16"}, {"silago": "w4a4", "bitfusion": "w2a2"}
POINT = 0.01
"""A loss of one percentage point."""


def explore(target: str, out: Path, evaluations: int, samples: int | None) -> dict[str, Any]:
    """Search on one machine; return what front.json holds. A search that was stopped goes on."""
    return qtool.search(
        FOLDER / "sru.onnx",
        target=target,
        out=out / target,
        calib=str(FOLDER / "sru_calib.npz"),
        eval=str(FOLDER / "sru_eval.npz"),
        samples=samples,
        solver="nsga2",
        objectives=OBJECTIVES[target],
        max_size=f"{4 * MEMORY[target]:.3f}x",
        evaluations=evaluations,
    )
