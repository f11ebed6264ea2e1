"""Progress: silent, in lines, or as bars."""

from __future__ import annotations

import sys

import pytest

from qtool.cli import progress as module


def test_silence(capsys: pytest.CaptureFixture[str]) -> None:
    with module.progress(silent=True) as tell:
        tell("calibrate", 1, 2)
    assert capsys.readouterr() == ("", "")


def test_a_stage_is_named_once_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    with module.progress(silent=False) as tell:
        for done in range(3):
            tell("calibrate", done, 3)
        tell("lower", 0, 0)
    assert capsys.readouterr() == ("", "calibrate ...\nlower ...\n")


def test_bars_on_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(module, "PATIENCE_S", -1.0)
    with module.progress(silent=False) as tell:
        tell("calibrate", 1, 2)
        tell("calibrate", 2, 2)
        tell("lower", 0, 0)
    out, err = capsys.readouterr()
    assert out == ""
    assert "lower" in err
