"""`qtool targets probe` as users call it: a file that other commands take, and going on after a stop."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from qtool.probe import measure
from qtool.probe.shapes import Point

Cli = Callable[..., Result]


@pytest.fixture(autouse=True)
def _calm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests run beside others: times of this machine are noise."""
    monkeypatch.setattr("qtool.probe.tables.MAX_NOISE", 1e6)


def test_a_probed_machine_is_a_target(cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "mine.toml"
    result = cli("targets", "probe", "-o", out, "--quick", "--repeat", 2, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["target"] == "mine"
    assert found["measured_now"] == 2 * (found["points"] + 1)
    shown = cli("targets", "show", out, "--json")
    assert shown.exit_code == 0, shown.output
    assert json.loads(shown.stdout)["metrics"] == "bops, latency_s, peak_memory_bytes, weight_bytes"


def test_an_interrupted_probe_goes_on(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, seen = tmp_path / "mine.toml", []

    def fake(point: Point, _threads: int) -> float:
        if len(seen) == 10:
            raise KeyboardInterrupt
        seen.append(point)
        return 1e-5

    monkeypatch.setattr(measure, "time_point", fake)
    assert cli("targets", "probe", "-o", out, "--quick", "--repeat", 2, "--quiet").exit_code != 0
    assert not out.exists()
    seen.extend([seen[0]] * 10)
    result = cli("targets", "probe", "-o", out, "--quick", "--repeat", 2, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    # Ten points and the first cost of the profile were there.
    assert found["measured_now"] == 2 * (found["points"] + 1) - 11
    other = cli("targets", "probe", "-o", out, "--quick", "--repeat", 2, "--threads", 2)
    assert other.exit_code == 2
    assert "--fresh" in other.stderr


@pytest.mark.parametrize(("name", "message"), [("mine", "ends with .toml"), ("folder.toml", "is a folder")])
def test_where_no_machine_file_can_be_is_refused_at_once(
    cli: Cli, tmp_path: Path, name: str, message: str
) -> None:
    (tmp_path / "folder.toml").mkdir()
    result = cli("targets", "probe", "-o", tmp_path / name, "--quick")
    assert result.exit_code == 2
    assert message in result.stderr
