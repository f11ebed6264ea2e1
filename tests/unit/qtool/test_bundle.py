"""Files appear together or not at all."""

from __future__ import annotations

import itertools
import os
import signal
import sys
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
    # Beside a folder, files move one by one.
    (tmp_path / "out" / "point-1").mkdir(parents=True)
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
    assert names(tmp_path / "out") == ["a", "b", "point-1"]
    assert {(tmp_path / "out" / name).read_text(encoding="utf-8") for name in "ab"} == {"old"}


FORKS = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")


def killed_at(step: int, folder: Path) -> bool:
    """Bundle in a process that is killed before its `step`-th call of the system; False if it has fewer."""
    child = os.fork()
    if child == 0:
        calls = itertools.count()

        def hook(event: str, arguments: tuple[object, ...]) -> None:
            if event.startswith(("os.", "open", "shutil.", "ctypes.", "fcntl.")) and next(calls) == step:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        write(folder, "abc")
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


@FORKS
@pytest.mark.parametrize("before", ["", "ab"])
def test_a_process_killed_at_any_step_leaves_the_old_files_or_the_new_ones(
    tmp_path: Path, before: str
) -> None:
    seen = set()
    for step in itertools.count():
        folder = tmp_path / str(step) / "out"
        folder.mkdir(parents=True)
        for name in (*before, "mine"):
            (folder / name).write_text("old", encoding="utf-8")
        killed = killed_at(step, folder)
        found = {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}
        new = dict.fromkeys("abc", "new") | {"mine": "old"}
        assert found in (dict.fromkeys((*before, "mine"), "old"), new)
        seen.add(found == new)
        if not killed:
            break
        write(folder, "abc")
        assert names(folder) == ["a", "b", "c", "mine"]
        assert names(folder.parent) == ["out"]
    assert step > 10
    assert seen == {True, False}


@FORKS
def test_runs_at_the_same_time_leave_the_files_of_one_of_them(tmp_path: Path) -> None:
    """Each writes files that hold its number; the folder always holds three of one number."""
    folder, children = tmp_path / "out", []
    for number in range(4):
        child = os.fork()
        if child == 0:
            for _ in range(25):
                with bundle(folder) as staging:
                    for name in "abc":
                        (staging / name).write_text(str(number), encoding="utf-8")
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    assert names(folder) == ["a", "b", "c"]
    assert len({(folder / name).read_text(encoding="utf-8") for name in "abc"}) == 1
    assert names(tmp_path) == ["out"]
