"""The journal outlives an interruption, and refuses what does not belong to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from passes.errors import DataError, UsageError
from qtool.probe.journal import Journal

SETTINGS = {"threads": "1", "onnxruntime": "1.31.1"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A journal with two measurements."""
    file = tmp_path / "machine.toml.journal"
    journal = Journal.open(file, SETTINGS, fresh=False)
    journal.add("a", 0, 1.5)
    journal.add("a", 1, 0.5)
    return file


def test_measurements_are_read_again(path: Path) -> None:
    journal = Journal.open(path, SETTINGS, fresh=False)
    assert journal.found == {"a": {0: 1.5, 1: 0.5}}
    assert journal.count == 2
    assert journal.has("a", 1)
    assert not journal.has("a", 2)
    assert not journal.has("b", 0)


@pytest.mark.parametrize("rest", ['{"point": "b", "rou', '{"point": "b", "round": 0, "seconds": 1.0}'])
def test_a_line_cut_short_is_measured_again(path: Path, rest: str) -> None:
    path.write_text(path.read_text() + rest)
    journal = Journal.open(path, SETTINGS, fresh=False)
    assert journal.count == 2
    journal.add("b", 0, 2.0)
    assert Journal.open(path, SETTINGS, fresh=False).rounds("b") == [2.0]


def test_fresh_discards(path: Path) -> None:
    assert Journal.open(path, {"threads": "2"}, fresh=True).count == 0
    assert Journal.open(path, {"threads": "2"}, fresh=False).count == 0


def test_other_settings_are_refused(path: Path) -> None:
    with pytest.raises(UsageError, match=r"threads '1', now it is '2'.*--fresh"):
        Journal.open(path, {**SETTINGS, "threads": "2"}, fresh=False)


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        "[" * 100_000,
        '{"point": "b", "round": 0}',
        '{"point": "b", "round": 0, "seconds": -1.0}',
        '{"point": "b", "round": 0, "seconds": NaN}',
        '{"point": 3, "round": 0, "seconds": 1.0}',
    ],
)
def test_a_damaged_line_is_named(path: Path, line: str) -> None:
    path.write_text(path.read_text() + line + '\n{"point": "c", "round": 0, "seconds": 1.0}\n')
    with pytest.raises(DataError, match=r"line 4.*--fresh"):
        Journal.open(path, SETTINGS, fresh=False)


@pytest.mark.parametrize("content", [b"", b"3\n", b"\xff\xfe"])
def test_what_is_no_journal_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "journal"
    path.write_bytes(content)
    with pytest.raises(DataError, match="--fresh"):
        Journal.open(path, SETTINGS, fresh=False)
