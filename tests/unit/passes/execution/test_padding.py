"""Calibration without padding: masks that are heeded, those that are not, and batches of one length."""

from __future__ import annotations

import numpy as np
import pytest

from hwmodels.registry import load_target
from passes.api import PassContext
from passes.errors import UsageError
from passes.execution.dataset import Dataset, graph_inputs
from passes.execution.padding import CalibrationSamples, Unpadded, lengths
from passes.execution.sources import ArraySource
from passes.ir.model import Model
from passes.ir.onnx_io import model_from_text

LENGTHS = (2, 4, 2, 1, 3)
TOKENS = np.array([[7 if place < length else 99 for place in range(4)] for length in LENGTHS], np.float32)
MASK = np.array([[int(place < length) for place in range(4)] for length in LENGTHS], np.int64)

HEEDED = "{ kept = Cast <to = 1> (mask)  t = Mul (x, kept)  y = ReduceSum <keepdims = 0> (t, axes) }"
IGNORED = "{ kept = Cast <to = 1> (mask)  t = Add (x, kept)  y = ReduceSum <keepdims = 0> (t, axes) }"
BY_PLACE = "{ kept = Cast <to = 1> (mask)  y = Mul (x, kept) }"


def network(body: str, length: str = "L", result: str = "float[N] y") -> Model:
    return model_from_text(
        f"""<ir_version: 8, opset_import: ["" : 13]>
        net (float[N,{length}] x, int64[N,{length}] mask) => ({result}) <int64[1] axes = {{1}}> {body}"""
    )


def samples_of(model: Model, mask: np.ndarray = MASK) -> PassContext:
    source = ArraySource(("x", "mask"), len(mask), None, {"x": TOKENS, "mask": mask})
    ctx = PassContext(load_target("generic"), workers=1)
    ctx.calibration = Dataset(
        source, graph_inputs(model.graph), ("x", "mask"), None, len(mask), "test"
    )  # fmt: skip
    return ctx


def test_every_sample_comes_once_with_others_of_its_length() -> None:
    model = network(HEEDED)
    ctx = samples_of(model)
    found = ctx.get(CalibrationSamples(), model)
    assert isinstance(found, Unpadded)
    batches = list(found.batches(1 << 10))
    assert [batch["x"].shape for batch in batches] == [(1, 1), (2, 2), (1, 3), (1, 4)]
    assert all((batch["x"] == 7).all() and (batch["mask"] == 1).all() for batch in batches)
    assert [len(batch["x"]) for batch in found.batches(1)] == [1, 1, 1, 1, 1]
    assert any(entry.source == "padding" and entry.subject == "mask" for entry in ctx.journal)


def test_results_for_every_place_may_be_shorter() -> None:
    model = network(BY_PLACE, result="float[N,L] y")
    assert isinstance(samples_of(model).get(CalibrationSamples(), model), Unpadded)


@pytest.mark.parametrize(
    ("model", "mask"),
    [
        (network(IGNORED), MASK),
        (network(HEEDED, "4"), MASK),
        (network(HEEDED), MASK[:, ::-1].copy()),
        (network(HEEDED), np.ones_like(MASK)),
        (network(HEEDED), 2 * MASK),
    ],
    ids=["not heeded", "fixed length", "padding in front", "no padding", "no mask"],
)
def test_data_stay_as_they_are_otherwise(model: Model, mask: np.ndarray) -> None:
    ctx = samples_of(model, mask)
    assert ctx.get(CalibrationSamples(), model) is ctx.calibration


def test_samples_with_gaps_keep_their_length() -> None:
    mask = np.array([[1, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0], [1, 1, 1, 1]])
    np.testing.assert_array_equal(lengths(mask), [2, 4, 4, 4])


def test_without_data_it_says_what_to_give() -> None:
    with pytest.raises(UsageError, match="--calib"):
        PassContext(load_target("generic")).get(CalibrationSamples(), network(HEEDED))
