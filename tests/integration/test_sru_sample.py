"""The committed files of samples/sru are what its README says, and MOHAQ's experiment runs on them."""

from __future__ import annotations

import importlib.util
from collections import Counter
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import onnxruntime
import pytest

from hwmodels import load_target
from passes.api import PassContext
from passes.execution.session import Level, Session
from passes.ir.onnx_io import read_model, to_proto
from passes.ir.setup import quantizer_setup
from passes.transform.canonicalize import Canonicalize

STYLES = ("sru", "sru_unrolled")
MAX_MODEL, MAX_DATA = 300_000, 500_000


@pytest.fixture(scope="module")
def sample(repository: Path) -> Path:
    return repository / "samples" / "sru"


@pytest.fixture(scope="module")
def words(sample: Path) -> tuple[np.ndarray, np.ndarray]:
    with np.load(sample / "sru_eval.npz", allow_pickle=False) as data:
        return data["frames"], data["labels"]


def script(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def logits(path: Path, frames: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"frames": frames})[0])


def test_both_styles_are_as_accurate_as_the_readme_says(sample: Path, words) -> None:
    frames, labels = words
    scan, unrolled = (logits(sample / f"{name}.onnx", frames) for name in STYLES)
    np.testing.assert_allclose(unrolled, scan, atol=1e-5 * np.abs(scan).max())
    assert frames.shape == (500, 16, 20)
    # Three words may change sides between processors.
    assert np.isclose((scan.argmax(axis=1) == labels).mean(), 0.99, atol=3 / 500)


def test_the_words_come_from_the_seed(sample: Path, words) -> None:
    spoken = script(sample / "spoken.py")
    rng = np.random.default_rng(0)
    spoken.spoken_words(rng, 2400)
    frames, labels = spoken.spoken_words(rng, 500)
    np.testing.assert_array_equal(labels, words[1])
    # A level on the edge of two steps may fall to either side.
    assert np.mean(frames != words[0]) < 1e-3


def test_the_files_are_small_and_the_styles_differ(sample: Path) -> None:
    ops = [Counter(node.op_type for node in onnx.load(sample / f"{name}.onnx").graph.node) for name in STYLES]
    assert (ops[0]["Scan"], ops[1]["Scan"]) == (6, 0)
    assert ops[0]["MatMul"] == ops[1]["MatMul"] == 5
    assert all((sample / f"{name}.onnx").stat().st_size < MAX_MODEL for name in STYLES)
    assert sum(path.stat().st_size for path in sample.glob("*.npz")) < MAX_DATA


@pytest.mark.parametrize("name", STYLES)
def test_nothing_stays_float(sample: Path, words, name: str) -> None:
    model, ctx = read_model(sample / f"{name}.onnx"), PassContext(load_target("silago"))
    Canonicalize().run(model, ctx)
    frames = words[0][:20]
    (found,) = Session(to_proto(model), Level.BASIC, 1).run({"frames": frames})
    expected = logits(sample / f"{name}.onnx", frames)
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())
    setup = quantizer_setup(model.graph, ctx.target)
    assert [layer.name for layer in setup.layers] == ["sru0", "proj1", "sru1", "proj2", "sru2", "logits"]
    assert setup.unquantized == ()


def test_the_experiment(sample: Path, tmp_path: Path) -> None:
    pytest.importorskip("pymoo")
    mohaq = script(sample / "mohaq.py")
    front = mohaq.explore("silago", tmp_path, 2, 20, "attribution")
    assert front["budgets"][0]["limit"] == pytest.approx(20_864 * 4 * 6 / 21.17, rel=1e-3)
    points = mohaq.gains(front)
    assert points
    for point, entry in zip(points, front["front"], strict=True):
        assert point["compression"] == pytest.approx(4 * 20_864 / entry["cost"]["weight_bytes"])
        assert 0 < point["share"] <= 1 <= point["speedup"]
        assert entry["cost"]["weight_bytes"] <= front["budgets"][0]["limit"]
