"""The command line as users call it, a small model to break, and one finished compilation to start from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from typer.testing import CliRunner, Result

from qtool.cli.main import app

Cli = Callable[..., Result]


@pytest.fixture(scope="session")
def cli() -> Cli:
    """Run ``qtool`` with the given words; output and error come back apart."""

    def run(*words: object) -> Result:
        return CliRunner().invoke(app, [str(word) for word in words])

    return run


@pytest.fixture(scope="session")
def compilation(
    cli: Cli, quickstart: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[str], Path, str]:
    """The first command of the README: its words, the folder that it left behind, and what it printed."""
    out = tmp_path_factory.mktemp("compiled") / "out"
    data = ["--calib", quickstart / "digits_calib.npz", "--eval", quickstart / "digits_eval.npz"]
    options = ["--target", "bitfusion", "--max-latency", "0.5x", "-o", out]
    words = [str(word) for word in ("quantize", quickstart / "digits.onnx", *data, *options)]
    result = cli(*words)
    assert result.exit_code == 0, result.output
    return words, out, result.stdout


@pytest.fixture(scope="session")
def compiled(compilation: tuple[list[str], Path, str]) -> Path:
    """The folder that one compilation of the sample network left behind."""
    return compilation[1]


@pytest.fixture(scope="session")
def exploration(
    cli: Cli, quickstart: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[str], Path, str]:
    """The command of docs/search.md: its words, the folder that it left behind, and what it printed."""
    out = tmp_path_factory.mktemp("searched") / "out"
    data = ["--calib", quickstart / "digits_calib.npz", "--eval", quickstart / "digits_eval.npz"]
    options = ["--target", "bitfusion", "--samples", 50, "--evaluations", 8, "-o", out]
    words = [str(word) for word in ("search", quickstart / "digits.onnx", *data, *options)]
    result = cli(*words)
    assert result.exit_code == 0, result.output
    return words, out, result.stdout


@pytest.fixture
def tiny_model(rng: np.random.Generator) -> onnx.ModelProto:
    """One convolution: ``x`` float32 (N, 2, 4, 4) to ``y`` (N, 3, 4, 4)."""
    weight = numpy_helper.from_array(rng.normal(size=(3, 2, 1, 1)).astype(np.float32), "w")
    node = helper.make_node("Conv", ["x", "w"], ["y"], name="conv")
    graph = helper.make_graph([node], "tiny", [value("x", 2)], [value("y", 3)], [weight])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def value(name: str, channels: int) -> onnx.ValueInfoProto:
    """A float32 tensor of images of 4 x 4."""
    return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", channels, 4, 4])
