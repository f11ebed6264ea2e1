"""The committed files of samples/quickstart are what its README says."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

MAX_BYTES = 2_000_000


def test_the_float_model_is_as_accurate_as_the_readme_says(quickstart: Path) -> None:
    session = onnxruntime.InferenceSession(quickstart / "digits.onnx", providers=["CPUExecutionProvider"])
    with np.load(quickstart / "digits_eval.npz", allow_pickle=False) as data:
        images, labels = data["image"], data["labels"]
    (logits,) = session.run(["logits"], {"image": images})
    assert images.shape == (450, 1, 8, 8)
    # Three images may change sides between processors.
    assert np.isclose((logits.argmax(axis=1) == labels).mean(), 0.989, atol=3 / 450)


def test_the_calibration_images_are_scaled_and_not_held_out(quickstart: Path) -> None:
    with np.load(quickstart / "digits_calib.npz", allow_pickle=False) as data:
        calibration = data["image"]
    with np.load(quickstart / "digits_eval.npz", allow_pickle=False) as data:
        held_out = {image.tobytes() for image in data["image"]}
    assert calibration.shape == (300, 1, 8, 8)
    assert calibration.dtype == np.float32
    assert (calibration.min(), calibration.max()) == (0.0, 1.0)
    assert not any(image.tobytes() in held_out for image in calibration)


def test_the_network_has_the_variety_that_it_is_for(quickstart: Path) -> None:
    model = onnx.load(quickstart / "digits.onnx")
    ops = Counter(node.op_type for node in model.graph.node)
    assert ops["BatchNormalization"] == ops["Conv"] == 7
    assert {"Clip", "Add", "MaxPool", "Concat", "GlobalAveragePool", "Gemm"} <= ops.keys()
    assert [entry.version for entry in model.opset_import] == [17]


def test_the_folder_is_small(quickstart: Path) -> None:
    assert sum(path.stat().st_size for path in quickstart.iterdir() if path.is_file()) < MAX_BYTES
