"""The samples do what their pages say."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from hwmodels import load_target
from hwmodels.testing import check_hardware_model

Cli = Callable[..., Result]


def commands(page: Path) -> list[list[str]]:
    """The lines of a page's shell blocks as words, continued lines joined."""
    blocks = re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line) for line in lines if line.strip()]


@pytest.fixture(scope="module")
def plugin(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the third-party package was installed."""
    site = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    source = str(repository / "samples" / "third_party")
    subprocess.run([*pip, "--no-index", "--target", str(site), source], check=True)
    return site


def test_the_third_party_package(
    cli: Cli, plugin: Path, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "samples").symlink_to(repository / "samples")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(plugin)
    said = []
    install, *lines, conformance = commands(repository / "samples" / "third_party" / "README.md")
    assert install == ["pip", "install", "samples/third_party"]
    for words in lines:
        result = cli(*words[1:])
        assert result.exit_code == 0, result.output
        said.append(result.stdout)
    assert "clamp-weights" in said[0]
    assert "acme" in said[1]
    assert (tmp_path / "clamped.onnx").is_file()
    assert "budget latency" in said[3]
    environment = os.environ | {"PYTHONPATH": f"{plugin}:{repository}", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, *conformance[1:], "-p", "no:cacheprovider"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout


def test_every_part_of_it_is_short(repository: Path) -> None:
    files = sorted((repository / "samples" / "third_party" / "qtool_acme").glob("*.py"))
    assert len(files) == 4
    assert all(len(file.read_text(encoding="utf-8").splitlines()) < 60 for file in files)


def test_a_machine_in_one_file(
    cli: Cli, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "samples").symlink_to(repository / "samples")
    monkeypatch.chdir(tmp_path)
    check_hardware_model(load_target("samples/custom_target/board.toml"))
    for words in commands(repository / "samples" / "custom_target" / "README.md"):
        result = cli(*words[1:])
        assert result.exit_code == 0, result.output
    assert (tmp_path / "out" / "model.qpk").is_file()
