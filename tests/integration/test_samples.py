"""The samples do what their pages say."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from typer.testing import Result

Cli = Callable[..., Result]


def commands(page: Path) -> list[list[str]]:
    """The lines of a page's shell blocks as words, continued lines joined."""
    blocks = re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line) for line in lines if line.strip()]


def test_every_part_of_it_is_short(repository: Path) -> None:
    files = sorted((repository / "samples" / "third_party" / "qtool_acme").glob("*.py"))
    assert len(files) == 4
    assert all(len(file.read_text(encoding="utf-8").splitlines()) < 60 for file in files)


def test_the_notebook(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "quickstart").symlink_to(repository / "samples" / "quickstart")
    (tmp_path / "pareto").mkdir()
    monkeypatch.chdir(tmp_path / "pareto")
    text = (repository / "samples" / "pareto" / "explore.ipynb").read_text(encoding="utf-8")
    cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] for cell in cells), "commit the notebook without its outputs"
    names: dict[str, Any] = {"__name__": "__main__"}
    for cell in cells:
        tags = cell["metadata"].get("tags", [])
        if "needs-altair" in tags and importlib.util.find_spec("altair") is None:
            continue
        exec(compile("".join(cell["source"]), "explore.ipynb", "exec"), names)
    assert len(names["rows"]) == len(names["front"]["front"]) > 1
    sizes = [row["kB"] for row in names["rows"]]
    assert sizes == sorted(sizes)
    assert names["again"]["front"] == names["front"]["front"]
    assert (tmp_path / "pareto" / "front" / f"point-{names['again']['knee']}" / "model.qpk").is_file()


@pytest.fixture
def deployed(compiled: Path, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which the commands of samples/deploy find what they name."""
    (tmp_path / "samples").symlink_to(repository / "samples")
    (tmp_path / "out").symlink_to(compiled)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_here(words: list[str]) -> str:
    """Run one command of a page; ``python`` is this one."""
    words = [sys.executable if word == "python" else word for word in words]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def expected(quickstart: Path) -> str:
    """What both programs print."""
    session = onnxruntime.InferenceSession("out/model.qdq.onnx", providers=["CPUExecutionProvider"])
    with np.load(quickstart / "digits_eval.npz") as arrays:
        scores = session.run(None, {"image": arrays["image"][:8]})[0]
    return " ".join(str(each) for each in scores.argmax(-1)) + "\n"


def test_deployment_from_c(deployed: Path, quickstart: Path) -> None:
    folder = os.environ.get("ORT", "")
    if not (Path(folder) / "include" / "onnxruntime_c_api.h").is_file() or shutil.which("cc") is None:
        pytest.skip("needs a C compiler, and a release of ONNX Runtime with its headers in the folder $ORT")
    _, convert, build, run = commands(deployed / "samples" / "deploy" / "README.md")
    run_here(convert)
    run_here([word.replace("$ORT", folder) for word in [*build, "-Wall", "-Wextra", "-Werror"]])
    assert run_here(run) == expected(quickstart)


def test_the_c_program_stops_with_a_message(deployed: Path) -> None:
    source = (deployed / "samples" / "deploy" / "c" / "run.c").read_text(encoding="utf-8")
    # Where no headers are, at least every call of the API is one whose result is looked at.
    calls = re.findall(r"^\s+(\w*\(?)ort->(?!Release|GetErrorMessage)", source, re.MULTILINE)
    assert calls
    assert set(calls) == {"need("}
