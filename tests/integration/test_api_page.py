"""Every snippet of docs/api.md runs, one after the other, in a folder with the sample network."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import qtool
from qtool.keywords import quantize_request
from qtool.report import CostReport


def page(repository: Path) -> str:
    return (repository / "docs" / "api.md").read_text(encoding="utf-8")


def test_the_snippets_run(
    repository: Path,
    quickstart: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("digits.onnx", "digits_calib.npz", "digits_eval.npz"):
        shutil.copy(quickstart / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    said = {}
    for snippet in re.findall(r"```python\n(# .*?)```", page(repository), re.DOTALL):
        # An own module name, as dataclasses look themselves up by it.
        exec(compile(snippet, "docs/api.md", "exec"), {"__name__": "__main__"})
        said[snippet.partition("\n")[0]] = capsys.readouterr().out
    assert len(said) == 6
    accuracy, size, uniform = map(float, said["# compile"].splitlines()[0].split())
    assert accuracy > 0.9
    assert size <= 0.6 * uniform
    assert len(list((tmp_path / "front").iterdir())) > 1
    assert int(said["# an analysis"]) == 59056
    assert "fold-batchnorm" in said["# a pipeline"]
    assert said["# what a layer costs"].endswith("True\n")


def test_every_public_name_is_on_the_page(repository: Path) -> None:
    missing = [
        name for name in qtool.__all__ if f"`{name}`" not in page(repository) and name != "__version__"
    ]
    assert not missing


def test_the_readme_asks_for_what_there_is(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def ask(model: str, *, target: str, out: str, **options: Any) -> Any:
        asked.append(quantize_request(model, target, out, options))
        return SimpleNamespace(cost=CostReport(latency_s=1.0), cost_8bit=CostReport(latency_s=2.0))

    monkeypatch.setattr(qtool, "quantize", ask, raising=False)
    text = (repository / "README.md").read_text(encoding="utf-8")
    (snippet,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(compile(snippet, "README.md", "exec"), {})
    assert (repository / asked[0].model).is_file()
    assert (repository / asked[0].calib).is_file()
