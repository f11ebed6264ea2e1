"""Folders and files that cannot take a result are refused before any work."""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from passes.errors import UsageError
from qtool.output_folder import check_output_file, check_output_folder

FORK = multiprocessing.get_context("fork")
NOBODY = 65534


def test_a_new_folder_is_accepted_and_not_made(tmp_path: Path) -> None:
    check_output_folder(tmp_path / "a" / "b", force=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("below", ["file", "file/out", "file/a/b"])
def test_a_file_is_no_folder(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("kept", encoding="utf-8")
    with pytest.raises(UsageError, match="is a file; choose a folder"):
        check_output_folder(tmp_path / below, force=True)
    assert (tmp_path / "file").read_text(encoding="utf-8") == "kept"


def refusal(folder: Path, sender: Connection) -> None:
    """Send what a user without rights is told; root may write everywhere."""
    if os.geteuid() == 0:
        os.setresuid(NOBODY, NOBODY, NOBODY)
    try:
        check_output_folder(folder, force=False)
    except UsageError as error:
        sender.send(str(error))


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
@pytest.mark.parametrize(("mode", "reason"), [(0o555, "cannot be written"), (0o500, "annot be")])
def test_a_folder_that_is_read_only_is_refused(mode: int, reason: str) -> None:
    with TemporaryDirectory() as name:
        Path(name).chmod(mode)
        receiver, sender = FORK.Pipe(duplex=False)
        process = FORK.Process(target=refusal, args=(Path(name) / "out", sender))
        process.start()
        sender.close()
        process.join()
        assert reason in receiver.recv()
        assert list(Path(name).iterdir()) == []


def test_what_the_system_forbids_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)
    with pytest.raises(UsageError, match=f"{tmp_path} cannot be written"):
        check_output_folder(tmp_path / "out", force=False)


def test_an_output_file_may_exist_but_be_no_folder(tmp_path: Path) -> None:
    (tmp_path / "y.npz").write_bytes(b"old")
    check_output_file(tmp_path / "y.npz")
    with pytest.raises(UsageError, match="is a folder; name a file in it"):
        check_output_file(tmp_path)
    with pytest.raises(UsageError, match="is a file"):
        check_output_file(tmp_path / "y.npz" / "z.npz")
