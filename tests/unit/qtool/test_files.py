"""A file is replaced as a whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from qtool.files import replacing, write_json


def test_json_is_written_into_new_folders(tmp_path: Path) -> None:
    write_json({"a": [1]}, tmp_path / "new" / "a.json")
    assert (tmp_path / "new" / "a.json").read_text(encoding="utf-8") == '{\n  "a": [\n    1\n  ]\n}\n'
    assert len(list((tmp_path / "new").iterdir())) == 1


def write_half(path: Path) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(b"half")
        raise KeyboardInterrupt


def test_an_exception_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        write_half(path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_nan_is_never_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json({"a": float("nan")}, tmp_path / "a.json")
    assert list(tmp_path.iterdir()) == []
