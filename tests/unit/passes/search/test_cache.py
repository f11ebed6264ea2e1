from __future__ import annotations

import sqlite3
from contextlib import closing
from math import isnan
from pathlib import Path

import pytest

from passes.errors import UsageError
from passes.search.cache import EvaluationCache
from passes.search.point import Evaluation

GOOD = Evaluation(0.75, 100)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A cache that holds one plan."""
    with closing(EvaluationCache(tmp_path / "cache.sqlite")) as cache:
        cache.put("digest", "w8a8", GOOD)
    return tmp_path / "cache.sqlite"


def test_what_is_put_is_there_after_reopening_for_this_digest_only(path: Path) -> None:
    with closing(EvaluationCache(path)) as cache:
        assert cache.message == ""
        assert cache.get("digest", "w8a8") == GOOD
        assert cache.get("other", "w8a8") is None
        assert cache.get("digest", "w4a4") is None


def test_failures_are_remembered(path: Path) -> None:
    with closing(EvaluationCache(path)) as cache:
        cache.put("digest", "w2a2", Evaluation.failed("it broke"))
        found = cache.get("digest", "w2a2")
    assert found is not None
    assert found.failure == "it broke"


def test_two_connections_see_each_other(path: Path) -> None:
    with closing(EvaluationCache(path)) as one, closing(EvaluationCache(path)) as two:
        one.put("digest", "w4a4", Evaluation(0.5, 10))
        assert two.get("digest", "w4a4") == Evaluation(0.5, 10)
        two.put("digest", "w4a4", Evaluation(0.1, 10))
        assert one.get("digest", "w4a4") == Evaluation(0.5, 10)


def spoil_version(path: Path) -> None:
    with closing(sqlite3.connect(path)) as file:
        file.execute("PRAGMA user_version=99")


def spoil_columns(path: Path) -> None:
    with closing(sqlite3.connect(path)) as file:
        file.execute("ALTER TABLE evaluations RENAME COLUMN value TO worth")


def spoil_pages(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    path.write_bytes(bytes(data))


def spoil_everything(path: Path) -> None:
    path.write_bytes(b"no database at all" * 100)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (spoil_version, "version 99"),
        (spoil_columns, "damaged"),
        (spoil_pages, "damaged"),
        (spoil_everything, "damaged"),
    ],
)
def test_a_file_that_cannot_be_used_is_set_aside_and_rebuilt(path: Path, spoil: object, reason: str) -> None:
    assert callable(spoil)
    spoil(path)
    spoiled = path.read_bytes()
    with closing(EvaluationCache(path)) as cache:
        assert reason in cache.message
        assert cache.get("digest", "w8a8") is None
        cache.put("digest", "w8a8", GOOD)
    assert path.with_name("cache.sqlite.1.bad").read_bytes() == spoiled
    with closing(EvaluationCache(path)) as cache:
        assert (cache.message, cache.get("digest", "w8a8")) == ("", GOOD)


def test_a_damaged_schema_that_is_no_text_is_quoted_by_no_one(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"CREATE TABLE", b"CREATE TABL\xcb"))
    with closing(EvaluationCache(path)) as cache:
        assert "is damaged" in cache.message


def test_an_empty_file_is_what_an_interrupted_start_leaves(tmp_path: Path) -> None:
    (tmp_path / "empty.sqlite").touch()
    with closing(EvaluationCache(tmp_path / "empty.sqlite")) as cache:
        assert cache.message == ""


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written"):
        EvaluationCache(tmp_path / "missing" / "cache.sqlite")


def test_how_long_a_plan_ran_is_remembered(path: Path) -> None:
    with closing(EvaluationCache(path)) as cache:
        cache.put("digest", "w6a6", Evaluation(0.5, 10, seconds=0.25))
        timed, untimed = cache.get("digest", "w6a6"), cache.get("digest", "w8a8")
    assert timed is not None
    assert timed.seconds == 0.25
    assert untimed is not None
    assert isnan(untimed.seconds)
