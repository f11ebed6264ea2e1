"""MOHAQ's experiment on this network: fronts of error, speed, energy and size under a limit on memory.

Rezk et al., "MOHAQ: Multi-Objective Hardware-Aware Quantization of Recurrent Neural Networks" (IEEE Access
2021, arXiv 2108.01192): NSGA-II over the widths of weights and activations of all layers, quantized after
training. SiLago has 4, 8 and 16 bits, both operands alike, and room for 6 MB of weights; BitFusion has 2 to
16 bits and 2 MB. Their network has 21.17 MB in floating point, and the same shares of this one are allowed.
Needs ``pip install "qtool[search]"``; a search that was stopped goes on::

    python samples/sru/mohaq.py out [--evaluations 120] [--samples 500] [--targets silago,bitfusion]
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import qtool

FOLDER = Path(__file__).parent
WIDTHS = {"silago": [4, 8, 16], "bitfusion": [2, 4, 8, 16]}
MEMORY = {"silago": 6 / 21.17, "bitfusion": 2 / 21.17}
"""Share of the bytes of float32 weights that fit."""
POINT = 0.01
"""A loss of one percentage point."""
FLOAT_BITS = 32


def explore(
    target: str, out: Path, evaluations: int, samples: int | None, sensitivity: str = "kl"
) -> dict[str, Any]:
    """Search on one machine; return what front.json holds.

    Args:
        target: name of the machine.
        out: folder of the searches.
        evaluations: plans to measure.
        samples: held-out words to measure on; ``None`` for all.
        sensitivity: how the losses are estimated that the first plans are taken from.
    """
    return qtool.search(
        FOLDER / "sru.onnx",
        target=target,
        out=out / target,
        calib=str(FOLDER / "sru_calib.npz"),
        eval=str(FOLDER / "sru_eval.npz"),
        samples=samples,
        solver="nsga2",
        objectives=["loss", "latency", "energy", "size"],
        bits=WIDTHS[target],
        # Budgets count from uniform 8 bits, a quarter of float32.
        max_size=f"{MEMORY[target] * FLOAT_BITS / 8:.3f}x",
        evaluations=evaluations,
        sensitivity=sensitivity,
    )


def gains(front: dict[str, Any]) -> list[dict[str, float]]:
    """Return for every point of a front what it loses, and how much it gains.

    The loss is a fraction; ``compression`` is over float32 weights, ``speedup`` and ``energy`` are over the
    slowest uniform plan that the machine runs, and ``share`` is that of the speed-up of the fastest one.
    """
    uniform = {entry["name"]: entry["cost"] for entry in front["uniform"]}
    narrow, *_, wide = sorted(uniform.values(), key=lambda cost: cost["latency_s"])
    float_bytes = uniform["w8a8"]["weight_bytes"] * FLOAT_BITS / 8
    most = wide["latency_s"] / narrow["latency_s"]
    return [
        {
            "loss": point["loss"],
            "compression": float_bytes / point["cost"]["weight_bytes"],
            "speedup": (speedup := wide["latency_s"] / point["cost"]["latency_s"]),
            "share": speedup / most,
            "energy": wide["energy_j"] / point["cost"]["energy_j"],
        }
        for point in front["front"]
    ]


def main() -> None:
    """Search on both machines and say what the fronts hold."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--evaluations", type=int, default=120)
    parser.add_argument("--samples", type=int)
    parser.add_argument("--targets", default=",".join(WIDTHS))
    options = parser.parse_args()
    for target in options.targets.split(","):
        points = gains(explore(target, options.out, options.evaluations, options.samples))
        print(f"{target}: {len(points)} plans on the front")
        print("points lost  compression  speed-up  of the most  energy")
        for point in sorted(points, key=lambda it: it["loss"]):
            print(
                f"{point['loss']:11.1%}  {point['compression']:10.1f}x  {point['speedup']:7.2f}x"
                f"  {point['share']:11.0%}  {point['energy']:5.2f}x"
            )
        good = [point for point in points if point["loss"] < POINT]
        for name in ("compression", "share"):
            best = max((point[name] for point in good), default=float("nan"))
            print(f"greatest {name} at less than a point lost: {best:.2f}")


if __name__ == "__main__":
    main()
