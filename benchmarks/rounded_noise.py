"""What weights of few bits do to the output: with the nearest integers, and with those that data choose.

    python benchmarks/rounded_noise.py --data ../shared/data [--models NAME,...] [--bits 4] [--samples 32]

One layer at a time with all others in floating point, and all layers at once. Writes
benchmarks/results/rounded_noise.json; results of models that are not asked for are kept.
"""

from __future__ import annotations

import argparse
import json
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any

import numpy as np
from environment import environment
from sensitivities import CASES, RESULTS, Case, prepare

from passes.analysis.changes import OutputReference, Power
from passes.analysis.places import by_data, weight_places
from passes.execution.scale_memo import ScaleMemos
from passes.execution.stages import StagedModel, Variant
from passes.ir.onnx_io import to_proto
from passes.ir.setup import quantizer_setup
from passes.numerics import RangeMethod
from passes.rounding.local import LocalRounding, LocalRoundings

BATCH = 8
KINDS = ("nearest", "data")


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", default=",".join(case.name for case in CASES))
    parser.add_argument("--bits", type=int, default=4)
    parser.add_argument("--samples", type=int, default=32)
    options = parser.parse_args()
    results = RESULTS.with_name("rounded_noise.json")
    document = json.loads(results.read_text()) if results.exists() else {}
    for case in (case for case in CASES if case.name in options.models.split(",")):
        document[case.name] = measure(case, options) | {"environment": environment()}
        results.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        print(case.name, json.dumps({kind: document[case.name][kind]["sum"] for kind in KINDS}), flush=True)


def measure(case: Case, options: argparse.Namespace) -> dict[str, Any]:
    """Return noise over signal at the output: of layers, of their sum, and of all at once."""
    model, ctx = prepare(case, options.data, None)
    setup, staged = quantizer_setup(model.graph, ctx.target), StagedModel(to_proto(model), ctx.workers)
    memo, local = ctx.get(ScaleMemos(), model), ctx.get(LocalRoundings(), model)
    locals_ = {"nearest": LocalRounding({}), "data": local}
    variants = {
        kind: {
            place.name: (place.start, place.variant(options.bits))
            for place in weight_places(
                setup, staged, by_data(setup, lambda *of: memo.weight(*of, RangeMethod.MSE), seen), seen
            )
        }
        for kind, seen in locals_.items()
    }
    noise: dict[str, dict[str, float]] = {kind: dict.fromkeys(found, 0.0) for kind, found in variants.items()}
    at_once, power = dict.fromkeys(KINDS, 0.0), Power()
    for feeds in ctx.calibration.spread(BATCH, options.samples):
        outputs = staged.finish(feeds, 0)
        reference = OutputReference(outputs)
        power.add(outputs)
        for kind, found in variants.items():
            for name, (start, variant) in found.items():
                values = staged.advance(feeds, 0, start)
                noise[kind][name] += reference.change(staged.finish(values, start, variant)).noise
            whole = reduce(or_, (variant for _, variant in found.values()), Variant())
            at_once[kind] += reference.change(staged.finish(feeds, 0, whole)).noise
    return {"bits": options.bits, "samples": options.samples} | {
        kind: {
            "sum": float(np.sum(list(noise[kind].values())) / power.total),
            "at_once": at_once[kind] / power.total,
            "layers": {name: value / power.total for name, value in noise[kind].items()},
        }
        for kind in KINDS
    }


if __name__ == "__main__":
    main()
