"""The scripts of the charts: kept between runs, made again when damaged."""

from __future__ import annotations

from pathlib import Path

import pytest
import vl_convert

from qtool.report.page.vega import LICENCE, vega_script


@pytest.fixture
def bundled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Bundle a short script that would end its element; return a list that grows with every bundling."""
    calls: list[str] = []
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(
        vl_convert, "javascript_bundle", lambda: calls.append("") or "x = '</script><!--'", raising=True
    )
    return calls


def test_the_script_cannot_end_its_element(bundled: list[str]) -> None:
    assert vega_script() == f"{LICENCE}x = '<\\/script><\\!--'"


def test_the_script_is_bundled_once(bundled: list[str], tmp_path: Path) -> None:
    assert vega_script() == vega_script()
    assert len(bundled) == 1
    assert [path.suffix for path in (tmp_path / "qtool").iterdir()] == [".js"]


@pytest.mark.parametrize("damage", [b"", b"0000\nalert(1)", b"\xff\xfe"])
def test_a_damaged_file_is_made_again(bundled: list[str], tmp_path: Path, damage: bytes) -> None:
    good = vega_script()
    (file,) = (tmp_path / "qtool").iterdir()
    kept = file.read_bytes()
    file.write_bytes(damage)
    assert vega_script() == good
    assert file.read_bytes() == kept
    assert len(bundled) == 2


def test_without_a_cache_folder_nothing_is_kept(bundled: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("HOME", raising=False)
    assert vega_script() == vega_script()
    assert len(bundled) == 2


def test_a_cache_folder_that_cannot_be_written_does_no_harm(
    bundled: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert vega_script().startswith(LICENCE)
