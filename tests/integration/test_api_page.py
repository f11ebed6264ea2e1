"""Every snippet of docs/api.md runs, one after the other, in a folder with the sample network."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

import qtool


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
