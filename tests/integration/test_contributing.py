"""The snippets of CONTRIBUTING.md do what the page says."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hwmodels import Precision, Workload, load_target
from hwmodels.testing import check_hardware_model


def snippet(repository: Path, file: str) -> str:
    """Return the fenced block whose first line names a file."""
    page = (repository / "CONTRIBUTING.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```[a-z]+\n(.*?)```", page, re.DOTALL)
    return next(block for block in blocks if block.startswith(f"# file: {file}\n"))


def test_write_a_pass(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "round_biases.py").write_text(snippet(repository, "round_biases.py"), encoding="utf-8")
    model = repository / "samples" / "quickstart" / "digits.onnx"
    pipeline = "canonicalize,fold-batchnorm,round-biases{step=0.25}"
    command = [sys.executable, "-m", "qtool", "opt", str(model), "--plugin", "round_biases", "-p", pipeline]
    out = tmp_path / "rounded.onnx"
    environment = {"PYTHONPATH": f"{tmp_path}:{repository}", "PATH": ""}
    done = subprocess.run(
        [*command, "-o", str(out)], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert out.is_file()


@pytest.mark.parametrize("file", ["wide.toml"])
def test_add_a_machine(repository: Path, tmp_path: Path, file: str) -> None:
    (tmp_path / file).write_text(snippet(repository, file), encoding="utf-8")
    machine = load_target(str(tmp_path / file))
    check_hardware_model(machine)
    assert machine.name == "wide"


def test_a_new_architecture(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "acme.py").write_text(snippet(repository, "acme.py"), encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "acme", raising=False)
    machine = importlib.import_module("acme").machine()
    check_hardware_model(machine)
    work = Workload.gemm("layer", 64, 128, 32)
    # 64 * 128 * 32 products of 8 bits are more than (64 * 160 + 128 * 32) * 8 / 32 cycles of traffic.
    assert machine.cost(work, Precision(8, 8)).cycles == 32768
    assert machine.cost(work, Precision(3, 8)).priced_as == Precision(4, 8)


def test_a_table_of_measurements(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "board.toml").write_text(snippet(repository, "board.toml"), encoding="utf-8")
    table = snippet(repository, "times.csv").removeprefix("# file: times.csv\n")
    (tmp_path / "times.csv").write_text(table, encoding="utf-8")
    machine = load_target(str(tmp_path / "board.toml"))
    check_hardware_model(machine)
    assert machine.cost(Workload.gemm("conv1", 1, 8, 8), Precision(4, 6)).latency_s == 0.0011
