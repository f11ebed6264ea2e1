"""Files appear together or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from qtool.bundle import bundle


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write(folder: Path, files: str, then: type[BaseException] | None = None) -> None:
    """Bundle files named by one letter each, and fail in the end if so asked."""
    with bundle(folder) as staging:
        for name in files:
            (staging / name).write_text("new", encoding="utf-8")
        if then is not None:
            raise then


def test_files_arrive_in_a_folder_that_did_not_exist(tmp_path: Path) -> None:
    with bundle(tmp_path / "deep" / "out") as staging:
        (staging / "a").write_text("1", encoding="utf-8")
        (staging / "b").write_text("2", encoding="utf-8")
        assert not (tmp_path / "deep" / "out").exists()
    assert names(tmp_path / "deep" / "out") == ["a", "b"]
    assert names(tmp_path / "deep") == ["out"]


def test_other_files_stay_and_equal_names_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    for name in ("a", "mine"):
        (tmp_path / "out" / name).write_text("old", encoding="utf-8")
    with bundle(tmp_path / "out") as staging:
        (staging / "a").write_text("new", encoding="utf-8")
    assert (tmp_path / "out" / "a").read_text(encoding="utf-8") == "new"
    assert (tmp_path / "out" / "mine").read_text(encoding="utf-8") == "old"


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, ValueError])
def test_an_interruption_leaves_nothing(tmp_path: Path, interruption: type[BaseException]) -> None:
    with pytest.raises(interruption):
        write(tmp_path / "out", "a", then=interruption)
    assert names(tmp_path) == []


def test_a_failure_while_files_move_brings_the_old_ones_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").mkdir()
    for name in ("a", "b"):
        (tmp_path / "out" / name).write_text("old", encoding="utf-8")
    move = Path.replace

    def failing(source: Path, target: Path) -> Path:
        if source.name == "b" and source.parent.name.endswith(".tmp"):
            raise OSError(28, "No space left on device")
        return move(source, target)

    monkeypatch.setattr(Path, "replace", failing)
    with pytest.raises(OSError, match="No space"):
        write(tmp_path / "out", "abc")
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == ["a", "b"]
    assert {path.read_text(encoding="utf-8") for path in (tmp_path / "out").iterdir()} == {"old"}
