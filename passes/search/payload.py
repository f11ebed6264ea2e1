"""`Payload`: everything that measuring plans of one model needs, to be sent to a worker once."""

from __future__ import annotations

import hashlib
import platform
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np

from passes.errors import ModelError
from passes.execution.collect import MEANS, PATCHES, CollectActivations
from passes.execution.simulator import Simulator
from passes.fingerprint import Fingerprint
from passes.ir.onnx_io import to_proto
from passes.ir.setup import quantizer_setup
from passes.rounding.local import OPTIONS
from passes.search.beacons import Beacons
from passes.search.digest import digest_of
from passes.transform.assign_scales import AssignScales
from passes.transform.bias_correction import BiasCorrection
from passes.transform.clip_search import Clip

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from hwmodels import HardwareModel
    from passes.api import PassContext
    from passes.execution.collect import ActivationStats
    from passes.execution.dataset import Dataset
    from passes.execution.metrics import Metric
    from passes.ir.model import Model
    from passes.search.retraining import Retraining

SCHEME = 3
"""Version of how plans are measured; older entries of a cache do not count."""
PACKAGES = ("qtool", "onnx", "onnxruntime", "numpy")


@dataclass(frozen=True)
class Payload:
    """A prepared model, its statistics, and the data that plans are measured on. It can be pickled.

    Attributes:
        model: the ONNX file that has gone through the passes that come before allocation.
        path: of the original file, for messages.
        sha256: digest of the original file.
        target: the machine whose rules plans follow.
        stats: of the calibration data.
        scales: how plans get their scales.
        data: samples to measure on.
        truth: what the metric compares with: labels, tokens or ``None``.
        metric: the measure.
        reference: outputs of the float model.
        float_value: its metric.
        float_seconds: that it took for a sample.
        hopeless: a plan is given up when it is confidently this far below `float_value`; 0: never, nor are
            plans given up on samples of several shapes.
        threads: for ONNX Runtime.
        beacons: refined plans that others borrow weights from.
        retraining: of every plan before it is measured; ``None`` for none.
        digest: of all of the above that a measurement depends on, and of the versions of what runs it.
    """

    model: bytes
    path: str
    sha256: str
    target: HardwareModel
    stats: ActivationStats
    scales: AssignScales
    data: Dataset
    truth: NDArray[np.int64] | None
    metric: Metric
    reference: list[NDArray[Any]]
    float_value: float
    float_seconds: float
    hopeless: float
    threads: int
    digest: str
    beacons: Beacons = field(default_factory=Beacons)
    retraining: Retraining | None = None

    def with_beacons(self, beacons: Beacons) -> Payload:
        """Return the same with beacons, which measurements depend on."""
        return replace(self, beacons=beacons, digest=self._extended(beacons.digest()))

    def with_retraining(self, retraining: Retraining) -> Payload:
        """Return the same with plans trained before they are measured, which measurements depend on."""
        return replace(self, retraining=retraining, digest=self._extended(retraining.digest()))

    def _extended(self, digest: str) -> str:
        return hashlib.sha256(f"{self.digest} {digest}".encode()).hexdigest()


def make_payload(
    model: Model, ctx: PassContext, metric: Metric, scales: AssignScales, hopeless: float = 0.0
) -> Payload:
    """Collect what workers need; runs the float model once over the calibration and the evaluation data.

    Args:
        model: after the passes that come before allocation.
        ctx: with calibration and evaluation data.
        metric: what is measured.
        scales: how plans get their scales; clips are not searched, which takes longer than all the rest.
        hopeless: see `Payload`.

    Raises:
        InputError: model or data cannot be used.
    """
    scales = replace(scales, clip=Clip.NONE)
    ctx.observes |= scales.observes | {MEANS, PATCHES}
    stats = ctx.get(CollectActivations(), model)
    data: Dataset = ctx.evaluation
    simulator = Simulator(model, quantizer_setup(model.graph, ctx.target), data, ctx.workers)
    reference, truth = simulator.reference(), data.truth(metric)
    if data.even and any(output.ndim < 1 or len(output) != data.count for output in reference):
        shapes = ", ".join(str(output.shape) for output in reference)
        raise ModelError(
            f"{model.path}: expected outputs with {data.count} samples along the first axis, found {shapes}"
        )
    print_ = Fingerprint.of(model)
    parts = {
        "scheme": SCHEME,
        "graph": print_.graph,
        "weights": print_.weights,
        "target": repr(ctx.target),
        "passes": repr((scales, OPTIONS, BiasCorrection())),
        "calibration": digest_of(ctx.calibration),
        "evaluation": digest_of(data),
        "truth": "" if truth is None else hashlib.sha256(truth.tobytes()).hexdigest(),
        "metric": repr(metric),
        "hopeless": hopeless,
        "versions": {name: version(name) for name in PACKAGES},
        "machine": platform.machine(),
    }
    return Payload(
        model=to_proto(model).SerializeToString(deterministic=True),
        path=model.path,
        sha256=model.sha256,
        target=ctx.target,
        stats=stats,
        scales=scales,
        data=data,
        truth=truth,
        metric=metric,
        reference=reference,
        float_value=metric(reference, reference, truth),
        float_seconds=simulator.seconds / data.count,
        hopeless=hopeless,
        threads=ctx.workers,
        digest=hashlib.sha256(repr(sorted(parts.items())).encode()).hexdigest(),
    )
