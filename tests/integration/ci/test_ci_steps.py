"""action.yml, the GitLab template and the hook: valid by their schemas, and run as their runners run them."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

SCHEMAS = {
    "action.yml": "github-actions",
    "samples/ci/github-workflow.yml": "github-workflows",
    "samples/ci/gitlab-ci.yml": "gitlab-ci",
}
Shell = Callable[..., subprocess.CompletedProcess[str]]


def document(file: Path) -> dict[str, Any]:
    """A YAML file; ``on`` stays a word, as it is for GitHub."""
    loaded = yaml.safe_load(file.read_text(encoding="utf-8"))
    return {"on" if key is True else key: value for key, value in loaded.items()}


@pytest.fixture
def shell(repo: Path, repository: Path) -> Shell:
    """Run a script in the repository under test, as runners do: bash that stops at the first error."""

    def run(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        surroundings = os.environ | {"PATH": path, "PYTHONPATH": str(repository)} | environment
        command = ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", script]
        return subprocess.run(
            command, cwd=repo, env=surroundings, capture_output=True, text=True, check=False
        )

    return run


@pytest.mark.parametrize(("file", "schema"), SCHEMAS.items())
def test_the_files_are_what_their_services_expect(repository: Path, file: str, schema: str) -> None:
    stored = resources.files("check_jsonschema") / "builtin_schemas" / "vendor" / f"{schema}.json"
    jsonschema.validate(document(repository / file), json.loads(stored.read_text(encoding="utf-8")))


@pytest.mark.parametrize("file", ["action.yml", "samples/ci/github-workflow.yml"])
def test_actions_of_others_are_pinned_to_a_commit(repository: Path, file: str) -> None:
    text = (repository / file).read_text(encoding="utf-8")
    used = re.findall(r"uses: (.*)$", text, re.MULTILINE)
    assert used
    own = "OWNER/qtool@v0.1.0"
    assert [line for line in used if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v[\d.]+", line)] in ([], [own])


class Action:
    """Runs the steps of action.yml that have a script; notes those that use other actions."""

    def __init__(self, file: Path, folder: Path, **inputs: str) -> None:
        self._action = document(file)
        known = self._action["inputs"]
        self._values = {f"inputs.{name}": inputs.get(name, spec["default"]) for name, spec in known.items()}
        assert not inputs.keys() - known.keys()
        self._values |= {"github.action_path": str(file.parent), "github.sha": "0", "runner.os": "Linux"}
        self._values["runner.arch"] = "X64"
        self.output, self.summary = folder / "output", folder / "summary"
        self.used: dict[str, dict[str, str]] = {}

    def run(self, shell: Shell) -> int:
        """Run the steps; after one that failed, only those that say always()."""
        code = 0
        for step in self._action["runs"]["steps"]:
            if not self._wanted(step.get("if", "success()"), code):
                continue
            if "uses" in step:
                name = step["uses"].partition("@")[0]
                self.used[name] = {key: self._filled(text) for key, text in step["with"].items()}
                continue
            assert step["shell"] == "bash"
            assert "${{" not in step["run"], "an expression in a script is an injection"
            files = {"GITHUB_OUTPUT": str(self.output), "GITHUB_STEP_SUMMARY": str(self.summary)}
            filled = {key: self._filled(text) for key, text in step["env"].items()}
            done = shell(step["run"], **files, **filled)
            code = code or done.returncode
        return code

    def _wanted(self, condition: str, code: int) -> bool:
        parts = condition.split(" && ")
        if code and "always()" not in parts:
            return False
        return all(self._holds(part) for part in parts if part not in ("always()", "success()"))

    def _holds(self, part: str) -> bool:
        left, operator, right = re.fullmatch(r"(\S+) (==|!=) '(.*)'", part).groups()  # type: ignore[union-attr]
        return (self._values[left] == right) is (operator == "==")

    def _filled(self, text: str) -> str:
        return re.sub(r"\$\{\{ (\S+) \}\}", lambda found: self._values[found[1]], text)


def test_the_action_passes_and_uploads(repository: Path, shell: Shell, tmp_path: Path) -> None:
    action = Action(repository / "action.yml", tmp_path, install="none", sarif="true")
    assert action.run(shell) == 0
    assert action.output.read_text(encoding="utf-8") == "exit-code=0\n"
    assert action.summary.read_text(encoding="utf-8").startswith("# qtool check: 1 model ok")
    assert action.used["actions/cache"]["path"] == "qtool-out/cache"
    assert action.used["github/codeql-action/upload-sarif"]["sarif_file"] == "qtool-out/check.sarif"
    assert "qtool-out/models" in action.used["actions/upload-artifact"]["path"]


def test_the_action_fails_with_the_code_of_the_check(repository: Path, shell: Shell, tmp_path: Path) -> None:
    shell('rm qtool-baseline.json; mv qtool.toml "o\'clock.toml"')
    action = Action(repository / "action.yml", tmp_path, install="none", config="o'clock.toml", out="a b")
    assert action.run(shell) == 5
    assert action.output.read_text(encoding="utf-8") == "exit-code=5\n"
    assert "baseline" in action.summary.read_text(encoding="utf-8")
    assert "actions/upload-artifact" in action.used
    assert "github/codeql-action/upload-sarif" not in action.used


def test_the_action_installs_what_is_asked_for(repository: Path, shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    called = tmp_path / "bin" / "python"
    called.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/called\n', encoding="utf-8")
    called.chmod(0o755)
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    for install in ("", "qtool==0.1.0 numpy<3"):
        Action(repository / "action.yml", tmp_path, install=install).run(
            lambda script, **given: shell(script, **given, PATH=path)
        )
    lines = (tmp_path / "called").read_text(encoding="utf-8").splitlines()
    assert lines[0].split()[-1] == str(repository)
    assert lines[2].split()[-2:] == ["qtool==0.1.0", "numpy<3"]
    assert lines[1] == "-m qtool check qtool.toml --out qtool-out"


def test_the_gitlab_job(repository: Path, shell: Shell, repo: Path) -> None:
    template = document(repository / "samples" / "ci" / "gitlab-ci.yml")
    job = template[template["qtool-check"]["extends"]]
    variables = job["variables"] | {"QTOOL_INSTALL": "none"}
    done = shell("\n".join([*job["before_script"], *job["script"]]), **variables)
    assert done.returncode == 0, done.stderr
    named = [*job["cache"]["paths"], *job["artifacts"]["paths"], job["artifacts"]["reports"]["junit"]]
    missing = [path for path in named if not (repo / path.replace("$QTOOL_OUT", "qtool-out")).exists()]
    assert not missing
    (repo / "qtool-baseline.json").unlink()
    assert shell("\n".join(job["script"]), **variables).returncode == 5


def test_the_hook(repository: Path, shell: Shell) -> None:
    (hook,) = yaml.safe_load((repository / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    assert hook["language"] == "python"
    assert hook["pass_filenames"] is False
    command = shlex.join([*shlex.split(hook["entry"]), *hook["args"]])
    assert command == "qtool check qtool.toml"
    assert shell(f"python -m {command}").returncode == 0
    wanted = ["net.onnx", "nets/big.onnx.data", "data/calib.npz", "qtool.toml", "a/qtool-baseline.json"]
    assert all(re.search(hook["files"], name) for name in wanted)
    assert not any(re.search(hook["files"], name) for name in ("README.md", "pyproject.toml", "onnx.py"))
