"""Every command explains itself with an example that parses."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from qtool.cli.main import app

COMMANDS = [
    ["inspect"],
    ["analyze"],
    ["quantize"],
    ["allocate"],
    ["search"],
    ["lower"],
    ["lint"],
    ["run"],
    ["compare"],
    ["opt"],
    ["targets", "list"],
    ["targets", "show"],
    ["targets", "check"],
    ["targets", "price"],
    ["passes", "list"],
    ["passes", "show"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_has_an_example_of_options_that_exist(command: list[str]) -> None:
    result = CliRunner().invoke(app, [*command, "--help"])
    assert result.exit_code == 0
    text, _, example = result.output.partition("Example: ")
    words = example.split()
    assert words[: len(command) + 1] == ["qtool", *command]
    for option in (word for word in words if re.match("--?[a-z]", word)):
        assert re.search(rf"(^|\s){re.escape(option)}\b", text), option
    for option in ("--json", "--quiet", "--debug"):
        assert option in text


def test_help_loads_nothing_heavy(repository: Path) -> None:
    script = (
        "import sys, qtool.cli.main as m\n"
        "m.app(['--help'], standalone_mode=False)\n"
        "print('HEAVY', *({'numpy', 'onnx', 'rich', 'hwmodels', 'passes'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=repository, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1].split() == ["HEAVY"]
