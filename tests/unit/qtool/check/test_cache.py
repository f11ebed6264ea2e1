"""What is kept is found again, and nothing that is damaged is."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qtool.check.cache import ENTRY, KEPT, Cache, Entry
from qtool.check.digest import file_digest, text_digest

KEY = "ab" * 32


def build(folder: Path) -> Entry:
    folder.mkdir()
    (folder / "model.qpk").write_bytes(b"model")
    digests = {"model.qpk": file_digest(folder / "model.qpk")}
    return Entry(folder, {"model": "1"}, digests, {"seed": 0}, ({"code": "QT101"},), "too far")


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    """A cache with one entry."""
    filled = Cache(tmp_path / "cache")
    filled.put(KEY, build)
    return filled


def test_an_entry_comes_back_as_it_was(cache: Cache, tmp_path: Path) -> None:
    folder = tmp_path / "cache" / KEY
    found = cache.get(KEY)
    assert found is not None
    assert found == replace(build(tmp_path / "other"), folder=folder)
    assert cache.get("cd" * 32) is None
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [KEY]


@pytest.mark.parametrize(
    "values",
    [
        {"files": {"../model.qpk": "0"}},
        {"files": {"model.qpk": "0"}},
        {"files": {"gone": "0"}},
        {"files": 3},
        {"findings": None},
        {"other": 1},
    ],
)
def test_an_entry_that_lies_is_none(cache: Cache, tmp_path: Path, values: dict[str, Any]) -> None:
    file = tmp_path / "cache" / KEY / ENTRY
    document = json.loads(file.read_text(encoding="utf-8"))
    document["entry"] |= values
    # With the right digest, so that it is the content that is refused.
    document["sha256"] = text_digest(json.dumps(document["entry"], sort_keys=True))
    file.write_text(json.dumps(document), encoding="utf-8")
    assert cache.get(KEY) is None


def test_an_entry_that_was_edited_is_none(cache: Cache, tmp_path: Path) -> None:
    file = tmp_path / "cache" / KEY / ENTRY
    text = file.read_text(encoding="utf-8")
    for old, new in (('"schema_version": 1', '"schema_version": 2'), ('"seed": 0', '"seed": 1')):
        assert old in text
        file.write_text(text.replace(old, new), encoding="utf-8")
        assert cache.get(KEY) is None
    file.write_text(text, encoding="utf-8")
    assert cache.get(KEY) is not None


@pytest.mark.parametrize("text", ["", "[]", "3", "{", '{"schema_version": 1}', "[" * 100_000])
def test_an_entry_that_is_no_document_is_none(cache: Cache, tmp_path: Path, text: str) -> None:
    (tmp_path / "cache" / KEY / ENTRY).write_text(text, encoding="utf-8")
    assert cache.get(KEY) is None


def test_a_build_that_fails_leaves_what_was_there(cache: Cache, tmp_path: Path) -> None:
    def fail(folder: Path) -> Entry:
        build(folder)
        raise ValueError("half-way")

    with pytest.raises(ValueError, match="half-way"):
        cache.put(KEY, fail)
    assert cache.get(KEY) is not None
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [KEY]


def test_the_oldest_entries_go(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    keys = [f"{index:064d}" for index in range(KEPT + 3)]
    for age, key in enumerate(keys):
        cache.put(key, build)
        os.utime(tmp_path / key / ENTRY, (age, age))
    cache.prune({keys[0]})
    assert {path.name for path in tmp_path.iterdir()} == {keys[0], *keys[3:]}


def test_a_cache_that_cannot_be_touched_serves_all_the_same(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "read-only", str(path))

    monkeypatch.setattr(os, "utime", refuse)
    assert cache.get(KEY) is not None
